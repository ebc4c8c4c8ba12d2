//! Calls Mainstay's verbs as a user would: another process of the same program, in the world's folder.
//! Must not know what a verb does.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;

use super::process::Identity;
use super::record::World;
use crate::error::PartError;

/// What a verb answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its exit code; none when it was killed.
    pub exit: Option<i32>,
    /// What it printed for programs; null when that was nothing.
    pub value: Value,
    /// What it said on stderr.
    pub words: String,
}

/// A verb on its way.
#[derive(Debug)]
pub struct Verb {
    child: tokio::process::Child,
    line: String,
}

/// A verb whose progress is read line by line, as on a terminal's log.
#[derive(Debug)]
pub struct Watched {
    verb: Verb,
    lines: Lines<BufReader<ChildStdout>>,
    logs: PathBuf,
}

impl World {
    /// Starts a verb. `--json` is added.
    pub fn start_verb(&self, args: &[&str]) -> Result<Verb, PartError> {
        self.run_verb(args, Some("--json"))
    }

    /// Starts a verb to read along.
    pub fn watch_verb(&self, args: &[&str]) -> Result<Watched, PartError> {
        let mut verb = self.run_verb(args, None)?;
        let out = verb.child.stdout.take();
        let out = out.ok_or_else(|| PartError::Start {
            name: verb.line.clone(),
            source: std::io::Error::other("it has no output"),
        })?;
        Ok(Watched {
            verb,
            lines: BufReader::new(out).lines(),
            logs: self.logs(),
        })
    }

    /// What `mainstay serve` has said so far, one value for each thing.
    pub fn watch_says(&self) -> Result<Vec<Value>, PartError> {
        let path = self.logs().join("serve.log");
        let text = std::fs::read_to_string(&path).map_err(PartError::file("read", &path))?;
        let values = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(values.collect())
    }

    fn run_verb(&self, args: &[&str], more: Option<&str>) -> Result<Verb, PartError> {
        let mut command = tokio::process::Command::from(self.command(None));
        command
            .args(args)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let line = format!("mainstay {}", args.join(" "));
        let child = command.spawn().map_err(|source| PartError::Start {
            name: line.clone(),
            source,
        })?;
        Ok(Verb { child, line })
    }

    /// Runs a verb to its end.
    pub async fn verb(&self, args: &[&str]) -> Result<Answer, PartError> {
        self.start_verb(args)?.end().await
    }

    /// Runs a verb to its end; any end but success is an error with the verb's own words.
    pub async fn do_verb(&self, args: &[&str]) -> Result<Value, PartError> {
        let verb = self.start_verb(args)?;
        let line = verb.line.clone();
        let answer = verb.end().await?;
        if answer.exit == Some(0) {
            return Ok(answer.value);
        }
        Err(PartError::Verb {
            line,
            why: answer.why(),
            logs: self.logs(),
        })
    }
}

impl Verb {
    /// The process.
    #[must_use]
    pub fn process(&self) -> Option<Identity> {
        Identity::of(i32::try_from(self.child.id()?).ok()?)
    }

    /// Waits for its end.
    pub async fn end(self) -> Result<Answer, PartError> {
        let Self { child, line } = self;
        let output = child.wait_with_output().await;
        let output = output.map_err(|source| PartError::Start { name: line, source })?;
        Ok(Answer {
            exit: output.status.code(),
            value: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            words: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

impl Watched {
    /// Kills it once so many of its lines had `word` in them; returns the last of these.
    pub async fn kill_after(mut self, count: usize, word: &str) -> Result<String, PartError> {
        let mut seen = 0;
        loop {
            let line = self.lines.next_line().await.unwrap_or_default();
            let Some(line) = line else {
                let answer = self.verb.end().await?;
                return Err(PartError::Verb {
                    line: "the move that was to be killed".to_owned(),
                    why: format!("it was over before: {}", answer.why()),
                    logs: self.logs,
                });
            };
            seen += usize::from(line.contains(word));
            if seen == count {
                if let Some(process) = self.verb.process() {
                    process.kill();
                }
                self.verb.end().await?;
                return Ok(line);
            }
        }
    }
}

impl Answer {
    /// Why it did not succeed, in its own words.
    #[must_use]
    pub fn why(&self) -> String {
        let exit = self
            .exit
            .map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
        match &self.value {
            Value::Null => format!("{exit}: {}", self.words),
            value => format!("{exit}: {value} {}", self.words),
        }
    }
}
