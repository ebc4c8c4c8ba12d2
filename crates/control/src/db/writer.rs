//! The writer thread: takes everything that is queued, runs it in one transaction, syncs once, then acknowledges.
//! Must not know what is written.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI32, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, hooks::Wal};
use tokio::sync::oneshot;

use super::{
    DbError,
    open::{self, Schema, SlowSync},
};

/// The most jobs in one transaction, so that the first does not wait for ever.
const GROUP: usize = 512;
/// Pages in the write-ahead log after which they are moved into the database.
const CHECKPOINT_PAGES: i32 = 4000;
/// A busy writer's log is not moved more often than this.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);

/// What the writer did so far.
#[derive(Debug, Default)]
pub struct Stats {
    /// Transactions that were committed.
    pub commits: AtomicU64,
    /// Disk syncs: one for each commit, two for each checkpoint (the log, then the database).
    pub syncs: AtomicU64,
    /// Jobs that were acknowledged.
    pub jobs: AtomicU64,
}

trait Job: Send {
    fn run(&mut self, connection: &Connection);
    fn acknowledge(self: Box<Self>, committed: Result<(), String>, path: &Path);
}

type Work<T> = Box<dyn FnOnce(&Connection) -> rusqlite::Result<T> + Send>;
type Then<T> = Box<dyn FnOnce(Result<T, DbError>) + Send>;

struct Typed<T> {
    work: Option<Work<T>>,
    outcome: Option<rusqlite::Result<T>>,
    then: Then<T>,
}

impl<T: Send> Job for Typed<T> {
    fn run(&mut self, connection: &Connection) {
        if let Some(work) = self.work.take() {
            self.outcome = Some(in_savepoint(connection, work));
        }
    }

    fn acknowledge(self: Box<Self>, committed: Result<(), String>, path: &Path) {
        let answer = match (committed, self.outcome) {
            (_, Some(Err(source))) => Err(DbError::sql(path, source)),
            (Err(what), _) => Err(DbError::Commit {
                path: path.to_path_buf(),
                what,
            }),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(DbError::Stopped {
                path: path.to_path_buf(),
            }),
        };
        (self.then)(answer);
    }
}

/// A job that fails leaves the rest of its group untouched.
fn in_savepoint<T>(connection: &Connection, work: Work<T>) -> rusqlite::Result<T> {
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    match work(connection) {
        Ok(value) => {
            connection.prepare_cached("RELEASE job")?.execute([])?;
            Ok(value)
        }
        Err(error) => {
            connection.execute_batch("ROLLBACK TO job; RELEASE job")?;
            Err(error)
        }
    }
}

/// A database: writes go through its one writer thread, reads through a connection of their own.
pub struct Db {
    path: PathBuf,
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    reader: Mutex<Connection>,
    stats: Arc<Stats>,
    thread: Option<thread::JoinHandle<()>>,
    checkpoints: Option<thread::JoinHandle<()>>,
}

impl Db {
    /// Opens or creates the file, brings its schema up to date and starts the writer.
    pub fn open(path: &Path, schema: Schema, slow: SlowSync) -> Result<Self, DbError> {
        let mut writer = open::writer(path, schema)?;
        let log_pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&log_pages);
        // Replaces SQLite's automatic checkpoint: ours comes after the acknowledgements.
        writer
            .wal_hook(Some(move |_: &mut Wal, pages| {
                seen.store(pages, Ordering::Relaxed);
                Ok(())
            }))
            .map_err(|source| DbError::sql(path, source))?;
        let reader = open::connect(path)?;
        let (full, fulls) = mpsc::sync_channel(1);
        let (queue, jobs) = mpsc::channel();
        let stats = Arc::new(Stats::default());
        let thread = Writer {
            path: path.to_path_buf(),
            connection: writer,
            log_pages,
            full,
            stats: Arc::clone(&stats),
            slow,
        }
        .start(jobs)?;
        let checkpoints = start_checkpoints(path, fulls, Arc::clone(&stats))?;
        Ok(Self {
            path: path.to_path_buf(),
            queue: Some(queue),
            reader: Mutex::new(reader),
            stats,
            thread: Some(thread),
            checkpoints: Some(checkpoints),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the writer did so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Reads what is committed. Short reads only: it blocks.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DbError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        work(&reader).map_err(|source| DbError::sql(&self.path, source))
    }

    /// Queues a write and calls `then` once it is durable, or has failed. `then` runs on the writer thread: it
    /// hands the answer on and returns.
    pub fn write_then<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        then: impl FnOnce(Result<T, DbError>) + Send + 'static,
    ) {
        let job = Box::new(Typed {
            work: Some(Box::new(work)),
            outcome: None,
            then: Box::new(then),
        });
        let refused = match &self.queue {
            Some(queue) => queue.send(job).err().map(|mpsc::SendError(job)| job),
            None => Some(job as Box<dyn Job>),
        };
        if let Some(job) = refused {
            job.acknowledge(Err("the writer has stopped".to_owned()), &self.path);
        }
    }

    /// Writes, and returns once it is durable.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let (reply, answer) = oneshot::channel();
        self.write_then(work, move |done| {
            // Nobody waits any more: the write happened all the same.
            let _ = reply.send(done);
        });
        answer.await.unwrap_or_else(|_| {
            Err(DbError::Stopped {
                path: self.path.clone(),
            })
        })
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread ends when its queue does; a panic in it was reported where it happened.
            let _ = thread.join();
        }
        if let Some(checkpoints) = self.checkpoints.take() {
            // It ends with the writer. Until then it holds the file, and nobody after us finds it whole.
            let _ = checkpoints.join();
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Db").field(&self.path).finish()
    }
}

struct Writer {
    path: PathBuf,
    connection: Connection,
    log_pages: Arc<AtomicI32>,
    full: mpsc::SyncSender<()>,
    stats: Arc<Stats>,
    slow: SlowSync,
}

impl Writer {
    fn start(
        mut self,
        jobs: mpsc::Receiver<Box<dyn Job>>,
    ) -> Result<thread::JoinHandle<()>, DbError> {
        let path = self.path.clone();
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                while let Ok(first) = jobs.recv() {
                    let mut group = vec![first];
                    group.extend(jobs.try_iter().take(GROUP - 1));
                    self.commit(group);
                }
            })
            .map_err(|source| DbError::Io { path, source })
    }

    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        let committed = self.transaction(&mut group).map_err(|e| e.to_string());
        if committed.is_ok() {
            self.stats.commits.fetch_add(1, Ordering::Relaxed);
            self.stats.syncs.fetch_add(1, Ordering::Relaxed);
            self.stats
                .jobs
                .fetch_add(group.len() as u64, Ordering::Relaxed);
            if let SlowSync::By(longer) = self.slow {
                thread::sleep(longer);
            }
        } else {
            // Nothing of the group happened; the connection must be free for the next one.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        for job in group {
            job.acknowledge(committed.clone(), &self.path);
        }
        self.checkpoint();
    }

    fn transaction(&mut self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])?;
        for job in group {
            job.run(&self.connection);
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Keeps the log short, without making anybody wait for it.
    fn checkpoint(&self) {
        if self.log_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
            // One that is under way is enough.
            let _ = self.full.try_send(());
        }
    }
}

/// Moves the log into the database on a connection of its own, which holds up neither the writer nor readers. Ends
/// with the writer.
fn start_checkpoints(
    path: &Path,
    fulls: mpsc::Receiver<()>,
    stats: Arc<Stats>,
) -> Result<thread::JoinHandle<()>, DbError> {
    let connection = open::connect(path)?;
    let work = move || {
        let mut last: Option<Instant> = None;
        while fulls.recv().is_ok() {
            // The log is asked for again and again while it is full; one answer is enough for a while.
            if last.is_some_and(|last| last.elapsed() < CHECKPOINT_PAUSE) {
                continue;
            }
            // A reader in the way makes it partial; the next one goes on from there.
            let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            if done.is_ok() {
                stats.syncs.fetch_add(2, Ordering::Relaxed);
            }
            last = Some(Instant::now());
        }
    };
    let started = thread::Builder::new().name("sqlite-checkpoint".to_owned());
    started.spawn(work).map_err(|source| DbError::Io {
        path: path.to_path_buf(),
        source,
    })
}
