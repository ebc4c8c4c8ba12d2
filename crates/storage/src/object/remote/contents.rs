//! The objects of a bucket, whoever wrote them, to be read.
//! Must not know which service it is, nor what the objects are.

use std::{collections::BTreeMap, fmt, io, sync::Arc, thread, time::Duration};

use futures::TryStreamExt as _;
use opendal::{ErrorKind, Operator};

use super::{
    super::{
        StorageError,
        contents::{Contents, FolderContents, Found},
    },
    address::Address,
    fault::{Fault, Hidden},
    options::{Limits, Options, Taking},
    runtime::{NO_LIMIT, wait},
    service,
};

/// How often a call is made that fails in a way that may pass, and the first wait between.
const ATTEMPTS: u32 = 6;
const WAIT: Duration = Duration::from_millis(200);

/// Opens the container at an address to read what is in it. The addresses are those of [`open`](super::open), without
/// `sftp:`.
pub fn open_contents(url: &str, options: &Options) -> Result<Arc<dyn Contents>, StorageError> {
    let unusable = |source| StorageError::Open {
        place: url.to_owned(),
        source,
    };
    let operator = match Address::parse(url)? {
        Address::File(path) => {
            Taking::new(options).end()?;
            let folder = FolderContents::open(options.resolve(&path)).map_err(unusable)?;
            return Ok(Arc::new(folder));
        }
        Address::S3(bucket) => service::s3(&bucket, options)?,
        Address::Azblob(bucket) => service::azblob(&bucket, options)?,
        Address::Gcs(bucket) => service::gcs(&bucket, options)?,
        Address::Sftp(_) => {
            let why =
                "the files of a server with SSH are read by an agent beside them, not from here";
            return Err(unusable(io::Error::new(io::ErrorKind::Unsupported, why)));
        }
    };
    Ok(Arc::new(Bucket {
        operator,
        limits: options.limits,
        hidden: Hidden::new(options.secrets()),
    }))
}

struct Bucket {
    operator: Operator,
    limits: Limits,
    hidden: Hidden,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").finish_non_exhaustive()
    }
}

/// Whether it may go well the next time.
fn passes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Other
            | io::ErrorKind::TimedOut
            | io::ErrorKind::ResourceBusy
            | io::ErrorKind::NotConnected
    )
}

fn patiently<T>(call: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for attempt in 0..ATTEMPTS - 1 {
        match call() {
            Err(error) if passes(&error) => thread::sleep(WAIT * 2_u32.pow(attempt)),
            done => return done,
        }
    }
    call()
}

impl Bucket {
    fn list(&self) -> io::Result<Vec<Found>> {
        let (operator, step) = (self.operator.clone(), self.limits.call);
        let listing = async move {
            let late = |_| {
                let why = format!("there was no answer within {} s", step.as_secs_f32());
                opendal::Error::new(ErrorKind::Unexpected, why)
            };
            let mut lister = operator.lister_with("").recursive(true).await?;
            let mut seen = BTreeMap::new();
            loop {
                let next = tokio::time::timeout(step, lister.try_next()).await;
                let Some(entry) = next.map_err(late)?? else {
                    return Ok(seen.into_values().collect());
                };
                let (name, about) = entry.into_parts();
                // The container itself is none of its objects.
                if name.is_empty() || name == "/" {
                    continue;
                }
                let found = Found {
                    size: if about.is_file() {
                        about.content_length()
                    } else {
                        0
                    },
                    modified: about.last_modified().map(Into::into),
                    version: about.etag().map(str::to_owned),
                    name: name.clone(),
                };
                // Pages that begin again would never end.
                if seen.insert(name, found).is_some() {
                    let why = "the service named an object twice in one listing";
                    return Err(opendal::Error::new(ErrorKind::Conflict, why));
                }
            }
        };
        self.answer(NO_LIMIT, listing)
    }

    fn answer<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = opendal::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        match wait(limit, work) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if error.kind() == ErrorKind::ConditionNotMatch => {
                let why = "it was replaced by another one since it was listed";
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
            Ok(Err(error)) => Err(Fault::new(&error, &self.hidden).source),
            Err(lost) => Err(Fault::lost(&lost).source),
        }
    }
}

impl Contents for Bucket {
    fn all(&self) -> io::Result<Vec<Found>> {
        patiently(|| self.list())
    }

    fn read(&self, found: &Found, from: u64, len: u64) -> io::Result<Vec<u8>> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let bytes = patiently(|| {
            let (operator, found) = (self.operator.clone(), found.clone());
            let end = from.saturating_add(len);
            self.answer(self.limits.moving(len), async move {
                let mut reading = operator.read_with(&found.name).range(from..end);
                if let Some(version) = &found.version {
                    reading = reading.if_match(version);
                }
                reading.await
            })
        })?;
        if bytes.len() as u64 == len {
            return Ok(bytes.to_vec());
        }
        let why = "it is shorter than it was when it was listed";
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, why))
    }
}
