//! One task does all of a replica's writes: it gathers what is waiting into one transaction, so
//! that many clients share a disk sync, and it closes the database when the site does not own it.

use tokio::sync::{mpsc, oneshot, watch};

use super::database::{Session, Write, Writer, Written};
use super::gate::{Refusal, owned_epoch};
use super::mark::MarkReading;
use super::options::DatabaseUrl;

/// Most writes in one transaction.
const BATCH: usize = 64;

/// A write and where its outcome goes.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) write: Write,
    pub(crate) reply: oneshot::Sender<Result<Written, Refusal>>,
}

/// Runs until no sender of jobs is left.
pub(crate) async fn run(
    url: DatabaseUrl,
    by: Writer,
    mut jobs: mpsc::Receiver<Job>,
    mut mark: watch::Receiver<MarkReading>,
) {
    let mut session: Option<Session> = None;
    let mut waiting = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            count = jobs.recv_many(&mut waiting, BATCH) => {
                if count == 0 {
                    return;
                }
                session = settle(&url, &by, session, std::mem::take(&mut waiting)).await;
            }
            changed = mark.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        let owned = owned_epoch(&mark.borrow_and_update(), &by.site).is_ok();
        if !owned {
            session = None;
        }
    }
}

/// Writes one batch and answers everyone in it.
async fn settle(
    url: &DatabaseUrl,
    by: &Writer,
    session: Option<Session>,
    jobs: Vec<Job>,
) -> Option<Session> {
    let session = match session {
        Some(session) => session,
        None => match Session::open(url).await {
            Ok(session) => session,
            Err(refusal) => {
                answer_all(jobs, &refusal);
                return None;
            }
        },
    };
    let (writes, replies): (Vec<_>, Vec<_>) =
        jobs.into_iter().map(|job| (job.write, job.reply)).unzip();
    let (session, result) = session.write(by, writes).await;
    match result {
        Ok(written) => {
            for (reply, outcome) in replies.into_iter().zip(written) {
                // A client that went away needs no answer.
                let _ = reply.send(Ok(outcome));
            }
        }
        Err(refusal) => {
            for reply in replies {
                let _ = reply.send(Err(refusal.clone()));
            }
        }
    }
    session
}

fn answer_all(jobs: Vec<Job>, refusal: &Refusal) {
    for job in jobs {
        let _ = job.reply.send(Err(refusal.clone()));
    }
}
