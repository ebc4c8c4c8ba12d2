//! What a person at the terminal can mend: a code, what, why, what to type next, and the exit code.
//! Must not know any verb.

use std::{fmt::Display, process::ExitCode};

use serde::Serialize;

use crate::output::Output;

/// The documented exit codes (see the design's "Verbs").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Exit {
    /// 0
    Done,
    /// 1: failed, retreated or cancelled.
    Failed,
    /// 2: usage or an invalid plan file.
    Usage,
    /// 3: refused by a safety rule or gate before any effect.
    Refused,
    /// 4: done with exceptions, or incomplete.
    Exceptions,
    /// 5: paused, stuck or waiting for a person.
    Waiting,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// The number a shell sees.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Exceptions => 4,
            Self::Waiting => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// A verb that could not do what it was asked to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    /// A stable code with a page under `docs/errors/`.
    pub(crate) code: String,
    /// What failed.
    pub(crate) what: String,
    /// Why, as far as known: one line each.
    pub(crate) evidence: Vec<String>,
    /// What to type next.
    pub(crate) next: Option<String>,
    /// How the process ends.
    pub(crate) exit: Exit,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(code: &str, what: impl Display) -> Self {
        Self {
            code: code.to_owned(),
            what: what.to_string(),
            evidence: Vec::new(),
            next: None,
            exit: Exit::Failed,
        }
    }

    /// A wrong call: exit code 2.
    pub(crate) fn usage(code: &str, what: impl Display) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::new(code, what)
        }
    }

    /// A safety rule says no: exit code 3.
    pub(crate) fn refused(code: &str, what: impl Display) -> Self {
        Self {
            exit: Exit::Refused,
            ..Self::new(code, what)
        }
    }

    /// Something no user can mend.
    pub(crate) fn bug(doing: &str, error: impl Display) -> Self {
        Self::new("MS0001", format!("failed to {doing}: {error}"))
    }

    /// Adds a line of evidence.
    pub(crate) fn because(mut self, line: impl Display) -> Self {
        self.evidence.push(line.to_string());
        self
    }

    /// Says what to type next.
    pub(crate) fn next(mut self, line: impl Display) -> Self {
        self.next = Some(line.to_string());
        self
    }

    /// Ends with another exit code.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Prints it and gives the exit code.
    pub(crate) fn report(&self, out: &Output) -> ExitCode {
        out.failure(self);
        self.exit.into()
    }
}
