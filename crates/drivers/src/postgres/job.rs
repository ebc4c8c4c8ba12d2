//! Long operations: a status file that anyone can read after a restart, and at most one worker for each store.
//! Must not know what is worked on.

use std::{
    collections::BTreeSet,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use mainstay_driver::{ActError, Cause, Handle, Progress};
use mainstay_model::{Output, Span};
use serde::{Deserialize, Serialize};

use crate::shared::passing;

/// What is known of a long operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Status {
    /// The effect that started it.
    pub(super) effect: String,
    /// What it does now, for people.
    pub(super) note: String,
    /// How it ended.
    pub(super) end: Option<End>,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// Well.
    Done(Output),
    /// Not; the next attempt starts where it left off.
    Failed(Cause),
}

/// Writes notes while an operation goes on.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    file: PathBuf,
    effect: String,
}

impl Notes {
    /// Says what is being done.
    pub(super) fn say(&self, note: &str) {
        let status = Status {
            effect: self.effect.clone(),
            note: note.to_owned(),
            end: None,
        };
        // A note that cannot be written is no reason to stop the work.
        if let Err(error) = write(&self.file, &status) {
            tracing::warn!(%error, "no status file");
        }
    }
}

/// The workers of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Jobs(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Jobs {
    /// Starts the work, unless this process already does it, and says how far it is. The work must be such that a
    /// second attempt after a crash carries on.
    pub(super) async fn ensure<F, W>(
        &self,
        file: PathBuf,
        effect: &str,
        work: W,
    ) -> Result<Progress, ActError>
    where
        F: Future<Output = Result<Output, Cause>> + Send + 'static,
        W: FnOnce(Notes) -> F,
    {
        if let Some(status) = read(&file)
            && status.effect == effect
            && let Some(end) = status.end
        {
            return match end {
                End::Done(output) => Ok(Progress::Done(output)),
                End::Failed(cause) => Err(ActError::Unknown(cause)),
            };
        }
        if self.begin(&file) {
            let notes = Notes {
                file: file.clone(),
                effect: effect.to_owned(),
            };
            notes.say("starting");
            let (jobs, effect) = (self.clone(), effect.to_owned());
            let job = work(notes);
            let path = file.clone();
            tokio::spawn(async move {
                let end = match job.await {
                    Ok(output) => End::Done(output),
                    Err(cause) => End::Failed(cause),
                };
                let status = Status {
                    effect,
                    note: "over".to_owned(),
                    end: Some(end),
                };
                if let Err(error) = write(&path, &status) {
                    tracing::error!(%error, "the end of a long operation cannot be recorded");
                }
                jobs.end(&path);
            });
        }
        // Short work is over at once: most rebuilds of a small cluster take a second or two.
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            if let Some(status) = read(&file)
                && let Some(End::Done(output)) = status.end
                && status.effect == effect
            {
                return Ok(Progress::Done(output));
            }
        }
        Ok(Progress::Running {
            handle: Handle(file.display().to_string()),
            again_in: Span::from_millis(200),
            note: read(&file).map(|status| status.note),
        })
    }

    /// Takes the place of an operation while something else works on the same store; none if it is under way.
    pub(super) fn turn(&self, file: PathBuf) -> Option<Turn> {
        self.begin(&file).then(|| Turn {
            jobs: self.clone(),
            file,
        })
    }

    fn begin(&self, file: &Path) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(file.to_owned())
    }

    fn end(&self, file: &Path) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(file);
    }
}

/// Keeps an operation from starting until it is dropped.
pub(super) struct Turn {
    jobs: Jobs,
    file: PathBuf,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.jobs.end(&self.file);
    }
}

fn read(file: &Path) -> Option<Status> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

fn write(file: &Path, status: &Status) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("new");
    std::fs::write(&new, serde_json::to_vec_pretty(status)?)?;
    std::fs::rename(new, file)
}

/// The cause of something that could not be written to the agent's own folder.
pub(super) fn state_failed(error: &io::Error) -> Cause {
    passing(
        "state-unwritable",
        format!("cannot write in the agent's folder: {error}"),
    )
}
