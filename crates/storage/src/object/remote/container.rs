//! A bucket as a container.
//! Must not know which service it is, nor what the objects are.
//!
//! Every call is one request, or a few; it runs on the shared runtime and is given up when it takes too long. An object
//! is there whole or not at all, and durable when the service says so. A service has no way to name an object at its
//! end, so there is nothing to begin without a name; large objects go in parts that are sent side by side.

use std::{fmt, future::Future, io, time::Duration};

use futures::TryStreamExt as _;
use opendal::{Buffer, Operator};

use super::{
    super::{Created, Object, ObjectName, Part, Storage, StorageError},
    fault::{Fault, Hidden, Sort, changed, not_deleted, not_written},
    options::{Limits, Options},
    runtime::{Lost, NO_LIMIT, wait},
};

/// From here on an object is sent in parts.
const LARGE: usize = 32 << 20;
/// The length of a part: at most 10,000 of them make an object, and each can fail alone.
const PART: usize = 16 << 20;
/// Parts of one object that are under way at once.
const AT_ONCE: usize = 4;

/// A container on another machine. See [`open`](super::open).
pub struct Remote {
    operator: Operator,
    place: String,
    limits: Limits,
    hidden: Hidden,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.place).finish()
    }
}

/// Whether another object of that name may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    OrNot,
    Surely,
}

impl Remote {
    pub(super) fn new(operator: Operator, url: &str, options: &Options) -> Self {
        Self {
            operator,
            place: url.to_owned(),
            limits: options.limits,
            hidden: Hidden::new(options.secrets()),
        }
    }

    /// Asks for one page of what is there: whether the bucket exists and lets us in.
    pub(super) fn look(&self) -> Result<(), StorageError> {
        let operator = self.operator.clone();
        let looked = self.call(self.limits.call, async move {
            let mut lister = operator.lister_with("").limit(1).await?;
            lister.try_next().await
        });
        looked.map(drop).map_err(|fault| StorageError::Open {
            place: self.place.clone(),
            source: fault.source,
        })
    }

    /// Runs a call and waits for it.
    fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = opendal::Result<T>> + Send + 'static,
    ) -> Result<T, Fault> {
        match wait(limit, work) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Fault::new(&error, &self.hidden)),
            Err(lost) => Err(Fault::lost(&lost)),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Fault> {
        let (operator, path) = (self.operator.clone(), name.to_string());
        let found = self.call(self.limits.call, async move { operator.stat(&path).await });
        found.map(|found| found.content_length())
    }

    fn put(&self, name: &ObjectName, bytes: &[u8], new: New) -> Result<(), Fault> {
        let (operator, path) = (self.operator.clone(), name.to_string());
        let large = bytes.len() > LARGE;
        let buffer = Buffer::from(bytes.to_vec());
        self.call(self.limits.moving(bytes.len() as u64), async move {
            let mut writing = operator.writer_with(&path);
            if new == New::Surely {
                writing = writing.if_not_exists(true);
            }
            if large {
                writing = writing.chunk(PART).concurrent(AT_ONCE);
            }
            let mut writer = writing.await?;
            let mut done = writer.write(buffer).await;
            if done.is_ok() {
                done = writer.close().await.map(drop);
            }
            if done.is_err() && large {
                // Parts that nobody puts together cost money until somebody removes them.
                let _ = writer.abort().await;
            }
            done
        })
    }

    /// The whole object. Its length is not known, so the limit is on each piece of it.
    fn whole(&self, name: &ObjectName) -> Result<Vec<Buffer>, Fault> {
        let (operator, path) = (self.operator.clone(), name.to_string());
        let step = self.limits.call;
        let pieces = self.steps(step, async move {
            let reader = operator.reader(&path).await?;
            let mut stream = reader.into_stream(..).await?;
            let mut pieces = Vec::new();
            while let Some(piece) = in_time(step, stream.try_next()).await? {
                pieces.push(piece);
            }
            Ok(pieces)
        })?;
        Ok(pieces)
    }

    /// Runs a call whose steps each have their limit.
    fn steps<T: Send + 'static>(
        &self,
        step: Duration,
        work: impl Future<Output = Result<T, Step>> + Send + 'static,
    ) -> Result<T, Fault> {
        match wait(NO_LIMIT, work) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Step::Failed(error))) => Err(Fault::new(&error, &self.hidden)),
            Ok(Err(Step::Late)) => Err(Fault::lost(&Lost::Late(step))),
            Err(lost) => Err(Fault::lost(&lost)),
        }
    }

    /// What lies below a folder, as it comes. A name that comes twice ends it: pages that begin again would never end.
    fn pages(&self, folder: &ObjectName) -> Result<Vec<(String, u64)>, Fault> {
        let (operator, path) = (self.operator.clone(), format!("{folder}/"));
        let step = self.limits.call;
        self.steps(step, async move {
            let listing = operator.lister_with(&path).recursive(true);
            let mut lister = listing.await?;
            let mut seen = std::collections::BTreeMap::new();
            while let Some(entry) = in_time(step, lister.try_next()).await? {
                let (path, found) = entry.into_parts();
                if found.is_file() && seen.insert(path, found.content_length()).is_some() {
                    let why = "the service named an object twice in one listing";
                    return Err(opendal::Error::new(opendal::ErrorKind::Conflict, why).into());
                }
            }
            Ok(seen.into_iter().collect())
        })
    }

    fn read_failed(&self, name: &ObjectName, wanted: Option<u64>, fault: Fault) -> StorageError {
        let name = name.clone();
        if fault.sort == Sort::NoObject {
            return StorageError::Absent { name };
        }
        // Services and the library say in many ways that an object ends early: its length is what counts.
        let asked = matches!(
            fault.source.kind(),
            io::ErrorKind::Other | io::ErrorKind::InvalidInput
        );
        match wanted
            .filter(|_| asked)
            .map(|wanted| (self.size(&name), wanted))
        {
            Some((Ok(has), wanted)) if has < wanted => StorageError::Short { name, has, wanted },
            _ => StorageError::Read {
                name,
                source: fault.source,
            },
        }
    }
}

/// An answer that was too short: the object ends there, or the answer was cut.
fn ends(name: ObjectName, has: u64, wanted: u64) -> StorageError {
    if has < wanted {
        return StorageError::Short { name, has, wanted };
    }
    let why = "the service answered with fewer bytes than there are";
    StorageError::Read {
        name,
        source: io::Error::new(io::ErrorKind::UnexpectedEof, why),
    }
}

/// Why a step did not come to its end.
enum Step {
    Failed(opendal::Error),
    Late,
}

impl From<opendal::Error> for Step {
    fn from(error: opendal::Error) -> Self {
        Self::Failed(error)
    }
}

async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = opendal::Result<T>>,
) -> Result<T, Step> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Step::Late),
    }
}

impl Storage for Remote {
    fn list(&self, folder: &ObjectName) -> Result<Vec<Object>, StorageError> {
        let listed = self.pages(folder).map_err(|fault| StorageError::List {
            folder: folder.clone(),
            source: fault.source,
        })?;
        // What no object can be called is none: somebody else's.
        let named = listed.into_iter().filter_map(|(path, size)| {
            let name = ObjectName::new(path).ok()?;
            name.is_below(folder).then_some(Object { name, size })
        });
        let mut objects: Vec<Object> = named.collect();
        objects.sort_unstable();
        Ok(objects)
    }

    fn read(&self, name: &ObjectName, part: Part, into: &mut Vec<u8>) -> Result<(), StorageError> {
        let failed = |wanted| move |fault| self.read_failed(name, wanted, fault);
        let pieces = match part {
            Part::Whole => self.whole(name).map_err(failed(None))?,
            Part::Range { from, len } => {
                let end = from.checked_add(len).filter(|_| len > 0);
                let Some(end) = end else {
                    // Nothing is to be read, or more than there can be; what is there is asked for.
                    let has = self.size(name).map_err(failed(None))?;
                    let wanted = from.saturating_add(len);
                    into.clear();
                    return if wanted <= has {
                        Ok(())
                    } else {
                        Err(ends(name.clone(), has, wanted))
                    };
                };
                let (operator, path) = (self.operator.clone(), name.to_string());
                let read = self.call(self.limits.moving(len), async move {
                    operator.read_with(&path).range(from..end).await
                });
                let piece = read.map_err(failed(Some(end)))?;
                if piece.len() as u64 != len {
                    let has = self.size(name).map_err(failed(None))?;
                    return Err(ends(name.clone(), has, end));
                }
                vec![piece]
            }
        };
        into.clear();
        for piece in pieces.into_iter().flatten() {
            into.extend_from_slice(&piece);
        }
        Ok(())
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StorageError> {
        match self.put(name, bytes, New::Surely) {
            Ok(()) => Ok(Created::Now),
            Err(fault) if fault.sort == Sort::Taken => Ok(Created::ThereAlready),
            Err(fault) => Err(changed(name, fault, not_written)),
        }
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        let done = self.put(name, bytes, New::OrNot);
        done.map_err(|fault| changed(name, fault, not_written))
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StorageError> {
        let Some(first) = names.first() else {
            return Ok(());
        };
        let operator = self.operator.clone();
        let paths: Vec<String> = names.iter().map(ObjectName::to_string).collect();
        let step = self.limits.call;
        let done = self.steps(step, async move {
            let mut deleter = operator.deleter().await?;
            for path in paths {
                in_time(step, deleter.delete(path)).await?;
            }
            in_time(step, deleter.close()).await
        });
        done.map_err(|fault| changed(first, fault, not_deleted))
    }

    /// A service answers when an object is durable.
    fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
