//! Opens the container at an address.
//! Must not know what is kept in it.

use std::sync::Arc;

use super::{
    super::{Local, Patient, Storage, StorageError},
    address::Address,
    container::Remote,
    options::{Missing, Options, Taking},
    service,
    sftp::Server,
};

/// Opens the container at an address: `file:PATH`, `s3://BUCKET/PREFIX`, `azblob://CONTAINER/PREFIX`,
/// `gcs://BUCKET/PREFIX`, `sftp://USER@HOST:PORT/PATH`.
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
    Ok(Arc::new(Patient::new(remote, options.patience)))
}
