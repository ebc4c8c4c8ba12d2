//! A container that does not give up at once: what may pass is tried again, after waits that grow and are never quite
//! the same for two who were turned away together.
//! Must not know what the calls are for, nor how long one of them may take: that is the container's own limit.
//!
//! The waits are exponential backoff with jitter: Brooker, "Exponential Backoff And Jitter", 2015.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher as _, Hasher as _},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Created, Growing, Object, ObjectName, Part, Retry, Storage, StorageError};

/// How long somebody stays patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often a call is made at most, the first time among them.
    pub attempts: u32,
    /// The longest first wait; each one after it may be twice as long.
    pub first: Duration,
    /// The longest wait of all.
    pub longest: Duration,
    /// No wait begins that would end later than this after the first call began.
    pub total: Duration,
}

impl Default for Patience {
    /// Long enough for a service that restarts or sheds load, short against the hours of a backup.
    fn default() -> Self {
        Self {
            attempts: 8,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(20),
            total: Duration::from_secs(300),
        }
    }
}

/// Time and chance, so that tests wait for neither.
pub trait Pace: fmt::Debug + Send + Sync {
    /// Time since some moment that stays the same.
    fn now(&self) -> Duration;
    /// Returns when so much time is over.
    fn sleep(&self, time: Duration);
    /// A number that others do not get as well.
    fn random(&self) -> u64;
}

/// The machine's own clock.
#[derive(Debug)]
struct Wall(Instant);

impl Pace for Wall {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn random(&self) -> u64 {
        // Keyed anew each time; a hash of nothing is random enough to keep clients apart.
        RandomState::new().build_hasher().finish()
    }
}

/// A container whose calls are made again where that can help.
#[derive(Debug)]
pub struct Patient<S> {
    inner: S,
    patience: Patience,
    pace: Arc<dyn Pace>,
}

/// Whether some attempt at a change may have happened although nobody said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    Some,
}

/// The attempts of one call.
struct Turns<'a> {
    patience: &'a Patience,
    pace: &'a dyn Pace,
    began: Duration,
    made: u32,
}

impl Turns<'_> {
    /// Waits for the next turn, or says that there is none.
    fn next(&mut self) -> bool {
        if self.made >= self.patience.attempts {
            return false;
        }
        let doubled = 2_u32.saturating_pow(self.made - 1);
        let most = self.patience.first.saturating_mul(doubled);
        let most = most.min(self.patience.longest);
        // Between half of it and all of it.
        let half = most / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        let wait = half + Duration::from_nanos(self.pace.random() % nanos.saturating_add(1));
        if self.pace.now().saturating_sub(self.began) + wait > self.patience.total {
            return false;
        }
        self.pace.sleep(wait);
        self.made += 1;
        true
    }

    /// Makes an idempotent call until it is answered. What was in doubt once is in doubt until it is.
    fn until<T>(
        &mut self,
        mut call: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut doubt = Doubt::None;
        loop {
            match call() {
                Ok(done) => return Ok(done),
                Err(error) => {
                    if error.retry() == Retry::Look {
                        doubt = Doubt::Some;
                    }
                    if error.retry() == Retry::Never || !self.next() {
                        return Err(doubtful(error, doubt));
                    }
                }
            }
        }
    }
}

impl<S: Storage> Patient<S> {
    /// Makes a container patient.
    #[must_use]
    pub fn new(inner: S, patience: Patience) -> Self {
        Self::paced(inner, patience, Arc::new(Wall(Instant::now())))
    }

    /// The same by another clock.
    #[must_use]
    pub fn paced(inner: S, patience: Patience, pace: Arc<dyn Pace>) -> Self {
        Self {
            inner,
            patience,
            pace,
        }
    }

    /// What it wraps.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn turns(&self) -> Turns<'_> {
        Turns {
            patience: &self.patience,
            pace: &*self.pace,
            began: self.pace.now(),
            made: 1,
        }
    }

    /// Whose object is there after a create whose answer was lost: ours if its bytes are; nothing if there is none.
    fn whose(
        &self,
        turns: &mut Turns<'_>,
        name: &ObjectName,
        bytes: &[u8],
    ) -> Result<Option<Created>, StorageError> {
        let mut found = Vec::new();
        let read = turns.until(|| self.inner.read(name, Part::Whole, &mut found));
        match read {
            Ok(()) if found == bytes => Ok(Some(Created::Now)),
            Ok(()) => Ok(Some(Created::ThereAlready)),
            Err(StorageError::Absent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The error of a call of which some attempt may have been done.
fn doubtful(error: StorageError, doubt: Doubt) -> StorageError {
    match (error, doubt) {
        (
            StorageError::Write { name, source } | StorageError::Delete { name, source },
            Doubt::Some,
        ) => StorageError::Unknown { name, source },
        (error, _) => error,
    }
}

impl<S: Storage> Storage for Patient<S> {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        self.turns().until(|| self.inner.list(folder))
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        self.turns().until(|| self.inner.read(name, part, into))
    }

    /// An attempt whose outcome is unknown is settled by reading back. An object of equal bytes is taken for ours:
    /// whoever must tell writes something of their own into it.
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError> {
        let (mut turns, mut doubt) = (self.turns(), Doubt::None);
        loop {
            let error = match self.inner.create(name, bytes) {
                // An attempt of ours may have come late.
                Ok(Created::ThereAlready) if doubt == Doubt::Some => {
                    let whose = self.whose(&mut turns, name, bytes);
                    match whose.map_err(|error| unsettled(name, &error))? {
                        Some(created) => return Ok(created),
                        // Removed since: it is free again.
                        None => unsettled(name, &StorageError::Absent { name: name.clone() }),
                    }
                }
                Ok(created) => return Ok(created),
                Err(error) => error,
            };
            let retry = error.retry();
            if retry == Retry::Look {
                doubt = Doubt::Some;
            }
            if retry == Retry::Never || !turns.next() {
                return Err(doubtful(error, doubt));
            }
            if retry == Retry::Look {
                match self.whose(&mut turns, name, bytes) {
                    Ok(Some(created)) => return Ok(created),
                    Ok(None) => {}
                    Err(_) => return Err(error),
                }
            }
        }
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.turns().until(|| self.inner.write(name, bytes))
    }

    /// Only the beginning is tried again. What is appended cannot be: nobody knows how much of it arrived.
    fn begin(&self) -> Result<Option<Box<dyn Growing>>, StorageError> {
        self.turns().until(|| self.inner.begin())
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        self.turns().until(|| self.inner.delete(names))
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.turns().until(|| self.inner.flush())
    }

    fn uploads(&self) -> usize {
        self.inner.uploads()
    }
}

fn unsettled(name: &ObjectName, error: &StorageError) -> StorageError {
    StorageError::Unknown {
        name: name.clone(),
        source: io::Error::other(error.to_string()),
    }
}
