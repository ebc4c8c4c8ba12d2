//! The only place that writes to the terminal. Lines for people, values for programs, never both mixed.
//! Must not know what is printed.

use std::io::{IsTerminal, Write};

use mainstay_model::Style;
use serde::Serialize;

use crate::{error::Failure, live::Live};

/// Who reads the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A person or a log.
    Person,
    /// A program: one JSON value on stdout.
    Program,
}

/// Where a verb's words go.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    reader: Reader,
    quiet: bool,
    colour: bool,
    terminal: bool,
}

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Good news.
    Good,
    /// Look here.
    Warn,
    /// Bad news.
    Bad,
    /// Background.
    Dim,
    /// A heading.
    Strong,
}

impl Output {
    /// Looks at the terminal and at `NO_COLOR`.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let reader = if json {
            Reader::Program
        } else {
            Reader::Person
        };
        Self {
            reader,
            quiet,
            colour,
            terminal,
        }
    }

    /// Rows that may be drawn again and again: only where a person looks at a terminal that can.
    pub(crate) fn live(&self) -> Option<Live> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let looked_at = self.terminal && self.reader == Reader::Person && !self.quiet;
        (looked_at && !dumb).then(Live::new)
    }

    /// Whether a program reads.
    pub(crate) fn is_json(&self) -> bool {
        self.reader == Reader::Program
    }

    /// How a plan file's problems are drawn.
    pub(crate) fn style(&self) -> Style {
        if self.colour {
            Style::Coloured
        } else {
            Style::Plain
        }
    }

    /// Marks text, if the terminal shows colours.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// A line for people; programs do not see it.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if self.reader == Reader::Person {
            write_out(text.as_ref());
        }
    }

    /// A line about progress; `--quiet` leaves it out.
    pub(crate) fn progress(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.line(text);
        }
    }

    #[expect(clippy::unused_self, reason = "whoever prints holds the output")]
    /// A line that is the result itself, for people and pipes alike.
    pub(crate) fn raw(&self, text: impl AsRef<str>) {
        write_out(text.as_ref());
    }

    #[expect(clippy::unused_self, reason = "whoever prints holds the output")]
    /// A note on stderr, for people and logs.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
    }

    /// The one value that a program reads.
    pub(crate) fn value(&self, value: &impl Serialize) {
        if self.reader == Reader::Program {
            match serde_json::to_string_pretty(value) {
                Ok(text) => write_out(&text),
                Err(error) => self.note(format!("failed to write the result as JSON: {error}")),
            }
        }
    }

    /// A failure: as a value for programs, as lines on stderr for people.
    pub(crate) fn failure(&self, failure: &Failure) {
        #[derive(Serialize)]
        struct Wrapped<'a> {
            error: &'a Failure,
        }
        if self.is_json() {
            self.value(&Wrapped { error: failure });
            return;
        }
        let refused = failure.exit == crate::error::Exit::Refused;
        let word = if refused { "refused" } else { "error" };
        self.note(format!(
            "{}: {}",
            self.paint(Tone::Bad, &format!("{word}[{}]", failure.code)),
            failure.what
        ));
        for line in &failure.evidence {
            self.note(format!("  {line}"));
        }
        if let Some(next) = &failure.next {
            self.note(format!("{} {next}", self.paint(Tone::Strong, "next:")));
        }
    }
}

/// A closed pipe (`mainstay status | head`) is the reader's choice, not an error.
fn write_out(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
