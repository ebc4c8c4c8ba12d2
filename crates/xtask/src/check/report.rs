//! What a check says: findings fail it, notes are printed and nothing more.

/// The result of one check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// What is wrong, each with its place and what to do about it.
    pub(crate) findings: Vec<String>,
    /// What a reader should know though nothing is wrong.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// Adds a finding.
    pub(crate) fn find(&mut self, text: impl Into<String>) {
        self.findings.push(text.into());
    }

    /// Adds a note.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}
