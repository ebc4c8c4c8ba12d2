//! Keeps the log of a store in its repositories for as long as this site owns the store: looks after the receiver, stores
//! what it received, and removes from the spool only what every repository has.
//! Must not know base backups.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use mainstay_backup::{IfMissing, Reader, Repository, open_declared};
use mainstay_driver::Cause;
use mainstay_model::{Repository as Declared, RepositoryId, Span};

use super::{
    super::{job::state_failed, mark::failed as sql_failed},
    held::{Held, New, Reach},
    receiver::{Ended, Pace, Receiver, Slot, drop_slot, pace, prepare_slot},
    segment::{Line, LogFile, history_name},
    spool::{Spool, Spooled},
    store::{Seen, Store},
    trim::trim,
    wait::wait,
};
use crate::shared::{failed, passing};

/// How often the server is asked how far it is.
const ASK: Duration = Duration::from_secs(1);
/// How often it is asked whether this site owns the store, while nothing runs.
const LOOK: Duration = Duration::from_secs(2);
/// How long one who wants everything stored waits for the receiver.
const FLUSH: Duration = Duration::from_secs(5);
/// The longest pause after something failed.
const LONGEST: Duration = Duration::from_secs(15);
/// So many looks at the server's clock are remembered until the receiver has what was written before them.
const LOOKS: usize = 300;

/// A repository that the log is kept in.
pub(super) enum Target {
    /// As the plan file declares it; opened when it is needed.
    Declared(RepositoryId, Box<Declared>),
    /// An open one.
    #[cfg(test)]
    Open(Repository),
}

/// How often log that nobody needs any more is looked for.
const TRIM: Duration = Duration::from_secs(600);

/// A target and what it has.
struct Kept {
    target: Target,
    /// For how long any moment is to be restorable.
    pitr: Span,
    open: Option<(Repository, Held)>,
    /// The partial segment as it was stored last, and the moment up to which that was known.
    partial: Option<(Spooled, Reach)>,
}

/// Looks after the log of one store.
pub(super) struct Logs {
    store: Store,
    every: Duration,
    kept: Vec<Kept>,
    receiver: Option<Receiver>,
    /// What the server was when the receiver was started.
    seen: Option<Seen>,
    spool: Option<Spool>,
    looks: VecDeque<Pace>,
    reach: Reach,
    pause: Duration,
    next: BTreeMap<Chore, Instant>,
    /// Why there is a gap, if the server had removed what was not received.
    pub(super) lost: Option<String>,
    /// The log goes on wherever the server still has it: what is stored does not lead there.
    behind_gap: bool,
}

/// What is done again and again, each at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Chore {
    Start,
    Ask,
    Partial,
    Store,
    Trim,
}

/// Whether a segment that is still being received is stored too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partial {
    Too,
    Not,
}

impl Logs {
    /// `every`: how often what was received is stored although its segment is not full.
    pub(super) fn new(store: Store, every: Duration, targets: Vec<(Target, Span)>) -> Self {
        let kept = targets.into_iter().map(|(target, pitr)| Kept {
            target,
            pitr,
            open: None,
            partial: None,
        });
        Self {
            kept: kept.collect(),
            store,
            every,
            receiver: None,
            seen: None,
            spool: None,
            looks: VecDeque::new(),
            reach: Reach::default(),
            pause: Duration::ZERO,
            next: BTreeMap::new(),
            lost: None,
            behind_gap: false,
        }
    }

    fn due(&mut self, chore: Chore, every: Duration) -> bool {
        let now = Instant::now();
        let due = self.next.get(&chore).is_none_or(|at| *at <= now);
        if due {
            self.next.insert(chore, now + every);
        }
        due
    }

    /// Does what is due. To be called several times a second.
    pub(super) fn step(&mut self) -> Result<(), Cause> {
        if let Some(ended) = self.receiver.as_mut().and_then(Receiver::ended) {
            self.receiver = None;
            self.after(ended)?;
        }
        if self.receiver.is_none() && self.due(Chore::Start, LOOK) {
            let started = self.start();
            if started.is_err() {
                self.rest();
            }
            started?;
        }
        if self.receiver.is_some() && self.due(Chore::Ask, ASK) {
            self.make_room()?;
            self.ask();
        }
        if self.receiver.is_some() && self.due(Chore::Trim, TRIM) {
            self.trim()?;
        }
        if self.due(Chore::Partial, self.every) {
            return self.stored(Partial::Too);
        }
        self.stored(Partial::Not)
    }

    /// Stores, and after a failure leaves the repository alone for a while.
    fn stored(&mut self, partial: Partial) -> Result<(), Cause> {
        if self
            .next
            .get(&Chore::Store)
            .is_some_and(|at| *at > Instant::now())
        {
            return Ok(());
        }
        let done = self.keep(partial);
        let pause = if done.is_err() { LOOK } else { Duration::ZERO };
        self.next.insert(Chore::Store, Instant::now() + pause);
        done
    }

    /// Stops receiving while there is no room: then the server keeps what was not received, as far as it may.
    fn make_room(&mut self) -> Result<(), Cause> {
        if !spool_is_full(self.spool.as_ref())? {
            return Ok(());
        }
        // What a repository takes now makes room.
        self.keep(Partial::Not)?;
        if spool_is_full(self.spool.as_ref())? {
            self.receiver = None;
            let what = "there is no room to receive more log: a repository does not take it";
            return Err(passing("log-no-room", what));
        }
        Ok(())
    }

    fn trim(&mut self) -> Result<(), Cause> {
        for kept in &mut self.kept {
            if let Some((repository, held)) = &mut kept.open {
                trim(held, &self.store, repository, kept.pitr)?;
            }
        }
        Ok(())
    }

    fn rest(&mut self) {
        self.pause = (self.pause * 2).clamp(Duration::from_millis(200), LONGEST);
        self.next.insert(Chore::Start, Instant::now() + self.pause);
    }

    fn after(&mut self, ended: Ended) -> Result<(), Cause> {
        self.rest();
        match ended {
            Ended::Broken(what) => {
                tracing::info!(store = %self.store.instance.name, what, "the log's receiver ended");
                Ok(())
            }
            Ended::Lost(what) => self.begin_anew(what),
        }
    }

    /// The server has removed what comes next: what is here is stored, and the log goes on after a gap.
    fn begin_anew(&mut self, what: String) -> Result<(), Cause> {
        self.keep(Partial::Too)?;
        tracing::error!(store = %self.store.instance.name, what, "there is a gap in the log: a new base backup is needed");
        self.lost = Some(what);
        self.behind_gap = true;
        self.clear()?;
        let store = &self.store;
        wait(async { drop_slot(&store.connect().await?, &store.instance.name).await })
    }

    fn clear(&self) -> Result<(), Cause> {
        let Some(spool) = &self.spool else {
            return Ok(());
        };
        let files = spool.list().map_err(|e| state_failed(&e))?;
        let removed = files
            .iter()
            .try_for_each(|file| spool.remove(&file.new.name));
        removed.map_err(|e| state_failed(&e))
    }

    /// Starts the receiver if this site owns the store.
    fn start(&mut self) -> Result<(), Cause> {
        let store = self.store.clone();
        let (seen, line) = wait(async {
            let client = store.connect().await?;
            let seen = store.look_with(&client).await?;
            if seen.recovery || !seen.ours {
                return Ok((seen, None));
            }
            let history = "SELECT pg_read_file('pg_wal/' || $1, 0, 1 << 20, true)";
            let name = history_name(seen.timeline);
            let row = client
                .query_one(history, &[&name])
                .await
                .map_err(|e| sql_failed(&e))?;
            let text: Option<String> = row.try_get(0).map_err(|e| sql_failed(&e))?;
            let line = Line::read(seen.timeline, &text.unwrap_or_default());
            Ok((
                seen,
                Some(line.unwrap_or_else(|| Line::alone(seen.timeline))),
            ))
        })?;
        let Some(line) = line else {
            return Ok(());
        };
        Receiver::end_orphan(&self.folder());
        if self.seen.is_none_or(|old| old.cluster != seen.cluster) {
            self.kept.iter_mut().for_each(|kept| kept.open = None);
        }
        let spool =
            Spool::open(&self.folder(), seen.size, seen.cluster).map_err(|e| state_failed(&e))?;
        // What was known of another timeline says nothing of this one.
        if self
            .seen
            .is_none_or(|old| old.timeline != seen.timeline || old.cluster != seen.cluster)
        {
            self.looks.clear();
            self.reach = Reach::default();
        }
        (self.spool, self.seen) = (Some(spool.clone()), Some(seen));
        let stored = self.keep(Partial::Too);
        let name = store.instance.name.clone();
        let slot = wait(async { prepare_slot(&store.connect().await?, &name).await })?;
        if spool.continues(&line).map_err(|e| state_failed(&e))? != Some(true) {
            // What was received before is of another line: it is stored before anything else happens to it. Where it
            // goes on, the receiver does not wait for a repository that is away.
            stored?;
            self.take_up(&spool, &line)?;
        }
        if spool_is_full(Some(&spool))? {
            let what = "there is no room to receive the log: a repository does not take it";
            return Err(passing("log-no-room", what));
        }
        self.receiver = Some(Receiver::start(&self.store, &spool.path)?);
        self.pause = Duration::ZERO;
        tracing::info!(store = %name, new = slot == Slot::New, "the log is being received");
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        self.store.instance.state("log")
    }

    /// Sees to it that the receiver takes up on the server's line, where the stored log ends.
    fn take_up(&self, spool: &Spool, line: &Line) -> Result<(), Cause> {
        self.clear()?;
        if self.behind_gap {
            return Ok(());
        }
        // The repository that has least decides: the others have the rest already.
        let least = self.kept.iter().filter_map(|kept| kept.open.as_ref());
        let least = least.min_by_key(|(_, held)| held.whole().last().copied());
        let Some((repository, held)) = least else {
            return Ok(());
        };
        let reader = Reader::open(repository).map_err(|error| failed(&error))?;
        spool
            .seed(held, &reader, line)
            .map_err(|e| state_failed(&e))
    }

    /// Asks how far server and receiver are, and whether this site still owns the store.
    fn ask(&mut self) {
        let store = self.store.clone();
        let asked = wait(async {
            let client = store.connect().await?;
            let pace = match store.look_with(&client).await? {
                seen if seen.recovery || !seen.ours => None,
                _ => Some(pace(&client, &store.instance.name).await?),
            };
            Ok(pace)
        });
        match asked {
            Ok(Some(pace)) => self.learn(pace),
            Ok(None) => {
                tracing::info!(store = %store.instance.name, "this site does not own the store any more: its log is not received");
                self.receiver = None;
            }
            // The receiver notices by itself when the server is gone.
            Err(cause) => tracing::debug!(%cause, "the server does not say how far it is"),
        }
    }

    fn learn(&mut self, pace: Pace) {
        self.looks.push_back(pace);
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let Some(received) = pace.received else {
            return;
        };
        self.behind_gap = false;
        self.reach.lsn = self.reach.lsn.max(received);
        while let Some(look) = self.looks.front().filter(|look| look.flushed <= received) {
            self.reach.taken = self.reach.taken.max(look.clock);
            self.looks.pop_front();
        }
    }

    /// Stores everything that was acknowledged until now, if the receiver gets it soon.
    pub(super) fn flush(&mut self) -> Result<(), Cause> {
        let deadline = Instant::now() + FLUSH;
        let mut wanted = None;
        while self.receiver.is_some() && Instant::now() < deadline {
            self.ask();
            let last = self.looks.back().map(|look| look.clock);
            let wanted = *wanted.get_or_insert(last.unwrap_or(self.reach.taken));
            if self.reach.taken >= wanted {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.keep(Partial::Too)
    }

    /// Stores what is in the spool and not in every repository yet, and removes what all of them have.
    pub(super) fn keep(&mut self, partial: Partial) -> Result<(), Cause> {
        let (Some(spool), Some(seen)) = (self.spool.clone(), self.seen) else {
            return Ok(());
        };
        // How far the log goes is what was known before the files are read.
        let reach = self.reach;
        let files = spool.list().map_err(|e| state_failed(&e))?;
        for kept in &mut self.kept {
            kept.store(&self.store, &seen, &files, partial, reach)?;
            if let Some((_, held)) = &kept.open {
                let known = held.reach.get(&seen.timeline).copied().unwrap_or_default();
                self.reach = Reach {
                    taken: self.reach.taken.max(known.taken),
                    lsn: self.reach.lsn.max(known.lsn),
                };
            }
        }
        let removed = self
            .removable(&files)
            .try_for_each(|name| spool.remove(name));
        removed.map_err(|e: io::Error| state_failed(&e))
    }

    /// Whole segments but the last, from which the receiver takes up.
    fn removable<'a>(&self, files: &'a [Spooled]) -> impl Iterator<Item = &'a String> {
        let have = |name: &String| {
            let mut all = self.kept.iter();
            all.all(|kept| {
                kept.open
                    .as_ref()
                    .is_some_and(|(_, held)| held.files.contains_key(name))
            })
        };
        let whole = files
            .iter()
            .filter(|file| matches!(file.kind, LogFile::Whole(_)));
        let mut names: Vec<&String> = whole.map(|file| &file.new.name).collect();
        names.pop();
        names.retain(|name| have(name));
        names.into_iter()
    }

    /// What is known of the stored log, for people and for facts.
    pub(super) fn reach(&self) -> Reach {
        let seen = self.seen.as_ref();
        let stored = self.kept.iter().filter_map(|kept| {
            let (_, held) = kept.open.as_ref()?;
            held.reach.get(&seen?.timeline).copied()
        });
        stored.min().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn receiver(&self) -> Option<u32> {
        self.receiver.as_ref().map(Receiver::pid)
    }
}

fn spool_is_full(spool: Option<&Spool>) -> Result<bool, Cause> {
    let full = spool.map_or(Ok(false), Spool::is_full);
    full.map_err(|e| state_failed(&e))
}

impl Kept {
    fn open(&mut self, store: &Store, seen: &Seen) -> Result<(), Cause> {
        if self.open.is_some() {
            return Ok(());
        }
        let repository = match &self.target {
            Target::Declared(name, declared) => open_declared(declared, IfMissing::Create)
                .map_err(|error| {
                    let cause = failed(&error);
                    passing(&cause.code, format!("repository {name}: {}", cause.what))
                })?,
            #[cfg(test)]
            Target::Open(repository) => repository.clone(),
        };
        let held = Held::load(store, &repository, seen.cluster, seen.size)?;
        self.open = Some((repository, held));
        Ok(())
    }

    fn store(
        &mut self,
        store: &Store,
        seen: &Seen,
        files: &[Spooled],
        partial: Partial,
        reach: Reach,
    ) -> Result<(), Cause> {
        self.open(store, seen)?;
        let Some((repository, held)) = &mut self.open else {
            return Ok(());
        };
        let there: BTreeSet<&String> = held.files.keys().collect();
        let mut new: Vec<New> = Vec::new();
        let mut begun = None;
        for file in files {
            match file.kind {
                LogFile::Whole(_) | LogFile::History(_) if there.contains(&file.new.name) => {}
                LogFile::Partial(_) if partial == Partial::Not => {}
                LogFile::Partial(_) => {
                    // Also when nothing was written: then the moment up to which that is known is what is new.
                    let now = (file.clone(), reach);
                    if self.partial.as_ref() != Some(&now) {
                        new.push(file.new.clone());
                        begun = Some(now);
                    }
                }
                _ => new.push(file.new.clone()),
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let done = held.put(store, repository, seen, &new, reach);
        if done.is_err() {
            // Somebody may have changed the repository: what it has is read again.
            self.open = None;
        } else if begun.is_some() {
            self.partial = begun;
        }
        done
    }
}
