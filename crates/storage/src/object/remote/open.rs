//! Opens the container at an address.
//! Must not know what is kept in it.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    io,
    sync::Arc,
};

use super::{
    super::{Created, Local, ObjectName, Patient, Storage, StorageError},
    address::Address,
    container::Remote,
    options::{Missing, Options, Taking},
    service,
    sftp::Server,
};

/// Opens the container at an address: `file:PATH`, `s3://BUCKET/PREFIX`, `azblob://CONTAINER/PREFIX`,
/// `gcs://BUCKET/PREFIX`, `sftp://USER@HOST:PORT/PATH`.
///
/// A bucket that is to be made a repository is tried first: whether it refuses to overwrite when it is told to.
///
/// A remote container is asked once whether it is there and lets us in, and is [patient](Patient) from then on. Its calls block: they belong on threads of
/// their own, not on an asynchronous runtime's.
pub fn open(url: &str, options: &Options) -> Result<Arc<dyn Storage>, StorageError> {
    let operator = match Address::parse(url)? {
        Address::File(path) => {
            Taking::new(options).end()?;
            let path = options.resolve(&path);
            let local = match options.missing {
                Missing::Refuse => Local::open(&path),
                Missing::Make => Local::create(&path),
            };
            return Ok(Arc::new(local?));
        }
        Address::S3(bucket) => service::s3(&bucket, options)?,
        Address::Azblob(bucket) => service::azblob(&bucket, options)?,
        Address::Gcs(bucket) => service::gcs(&bucket, options)?,
        Address::Sftp(server) => {
            let server = Server::open(&server, url, options)?;
            return Ok(Arc::new(Patient::new(server, options.patience)));
        }
    };
    let remote = Remote::new(operator, url, options);
    remote.look()?;
    let patient = Patient::new(remote, options.patience);
    if options.missing == Missing::Make {
        obeys(&patient, url)?;
    }
    Ok(Arc::new(patient))
}

/// Tries whether a service obeys the condition of a create. Some that speak like S3 ignore it, and then two who make a
/// repository at once would overwrite each other's keys.
fn obeys(bucket: &dyn Storage, url: &str) -> Result<(), StorageError> {
    let number = RandomState::new().build_hasher().finish();
    let probe = ObjectName::new(format!("tmp/mainstay-probe-{number:016x}"))?;
    let first = bucket.create(&probe, b"first")?;
    let second = bucket.create(&probe, b"second");
    bucket.delete(&[probe])?;
    if (first, second?) == (Created::Now, Created::ThereAlready) {
        return Ok(());
    }
    let why = "the service overwrites what it was told to leave alone (If-None-Match)";
    Err(StorageError::Open {
        place: url.to_owned(),
        source: io::Error::new(io::ErrorKind::Unsupported, why),
    })
}
