//! Problems, collected: a file is checked whole, and everything found is told at once.
//! Must not know what is checked.

use std::{fmt, ops::Range, sync::Arc};

use serde::Serialize;
use serde_json::{Value, json};

use super::place::Place;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and someone should know.
    Warning,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Its stable code, such as `MS1001`. `mainstay explain CODE` shows its page.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// Where it is.
    pub place: Place,
    /// What to write instead.
    pub help: Option<String>,
}

/// The most problems that are kept; the rest is counted.
const MOST: usize = 100;

/// All problems of one file, with the source they point into. Secrets in the source are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    source: Arc<str>,
    list: Vec<Diagnostic>,
    left_out: usize,
    errors: usize,
}

impl Diagnostics {
    /// No problems yet, of that file with that text.
    #[must_use]
    pub fn new(file: &str, source: &str) -> Self {
        Self {
            file: file.to_owned(),
            source: source.into(),
            list: Vec::new(),
            left_out: 0,
            errors: 0,
        }
    }

    /// Adds a problem.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
        }
        if self.list.len() < MOST {
            self.list.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// Adds an error.
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        place: Place,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.push(Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            place,
            help: help.into(),
        });
    }

    /// Adds a warning.
    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        place: Place,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.push(Diagnostic {
            code,
            severity: Severity::Warning,
            message: message.into(),
            place,
            help: help.into(),
        });
    }

    /// Whether one more problem would be kept. Where not, nobody sees what it says.
    pub(crate) fn has_room(&self) -> bool {
        self.list.len() < MOST
    }

    /// Covers these bytes of the source, so that no report shows them.
    pub(crate) fn mask(&mut self, ranges: &[Range<usize>]) {
        if ranges.is_empty() {
            return;
        }
        let mut masked = self.source.to_string();
        for range in ranges {
            let range = range.start.min(masked.len())..range.end.min(masked.len());
            if masked.is_char_boundary(range.start) && masked.is_char_boundary(range.end) {
                let stars = masked[range.clone()].bytes().map(|byte| match byte {
                    b'\n' => '\n',
                    _ => '*',
                });
                let stars: String = stars.collect();
                masked.replace_range(range, &stars);
            }
        }
        self.source = masked.into();
    }

    /// Puts the problems in the order of the file.
    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|one| (one.place.start, one.severity));
    }

    /// The file's name, as given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The file's text, secrets masked.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The problems that were kept, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// How many more there were.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether the file cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors there are, those that were left out included.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// For `--json`: `{file, errors, warnings, left_out, problems: [{code, severity, message, help, line, column, start, end}]}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let problems: Vec<Value> = (self.list.iter())
            .map(|one| {
                json!({
                    "code": one.code,
                    "severity": one.severity,
                    "message": one.message,
                    "help": one.help,
                    "line": one.place.line,
                    "column": one.place.column,
                    "start": one.place.start,
                    "end": one.place.end,
                })
            })
            .collect();
        let all = self.list.len() + self.left_out;
        json!({
            "file": self.file,
            "errors": self.errors,
            "warnings": all - self.errors,
            "left_out": self.left_out,
            "problems": problems,
        })
    }
}

/// One line for each problem, without the source: `file:line:column: error[CODE]: message`.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.list.iter().enumerate() {
            let severity = match one.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let Place { line, column, .. } = one.place;
            let end = if index == 0 { "" } else { "\n" };
            let (code, message) = (one.code, &one.message);
            write!(
                f,
                "{end}{}:{line}:{column}: {severity}[{code}]: {message}",
                self.file
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
