//! Every kind of container keeps the same promises, on real servers where it needs one.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test harness that fails loudly and says what it leaves out"
)]

mod broken;
mod contract;
#[path = "../common/servers.rs"]
mod servers;

use mainstay_storage::{Memory, Missing, Options, Secret, StorageError, open};
use servers::Server;

#[test]
fn a_folder_keeps_the_promises() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::default().relative_to(folder.path());
    let refused = open("file:./a/b", &options).unwrap_err();
    assert_eq!(refused.code(), "container-unusable");
    let made = open("file:./a/b", &options.clone().missing(Missing::Make)).unwrap();
    contract::keeps(&*made);
    let again = open("file:a/b", &options).unwrap();
    assert_eq!(again.list(&contract::name("datum")).unwrap().len(), 1);
}

#[test]
fn memory_keeps_the_promises() {
    contract::keeps(&Memory::default());
    contract::keeps_when_large(&Memory::default());
}

#[test]
fn s3_keeps_the_promises() {
    let Some(server) = Server::s3() else {
        return;
    };
    server.make_bucket("offsite");
    let whole = open("s3://offsite", &server.s3_options()).unwrap();
    whole
        .write(&contract::name("data/other"), b"not below the prefix")
        .unwrap();
    let storage = open("s3://offsite/deep/er", &server.s3_options()).unwrap();
    contract::keeps(&*storage);
    contract::keeps_when_large(&*storage);
    contract::lists_pages(&*storage, 1100);
    assert_eq!(whole.list(&contract::name("data")).unwrap().len(), 1);
    assert_eq!(
        whole.list(&contract::name("deep/er/datum")).unwrap().len(),
        1
    );

    let error = open("s3://nobodys/x", &server.s3_options()).unwrap_err();
    assert_eq!(error.code(), "container-unusable");
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    drop(server);
    let gone = storage.list(&contract::name("data")).unwrap_err();
    assert_eq!(gone.code(), "listing-failed");
    let gone = storage.write(&contract::name("data/x"), b"x").unwrap_err();
    assert!(matches!(gone, StorageError::Write { .. }), "{gone:?}");
}

#[test]
fn azure_keeps_the_promises() {
    let Some(server) = Server::azure() else {
        return;
    };
    server.make_container("offsite");
    let storage = open("azblob://offsite/deep/er", &server.azure_options()).unwrap();
    contract::keeps(&*storage);
    contract::keeps_when_large(&*storage);

    let error = open("azblob://nobodys/x", &server.azure_options()).unwrap_err();
    assert_eq!(error.code(), "container-unusable");
    assert!(error.to_string().contains("ContainerNotFound"), "{error}");
    let wrong = Secret::new("bm90IHRoZSBrZXkgb2YgdGhpcyBhY2NvdW50ISEhISE=");
    let options = server.azure_options().with_secret("account-key", wrong);
    let error = open("azblob://offsite/deep/er", &options).unwrap_err();
    assert_eq!(error.code(), "container-unusable");
    assert!(error.to_string().contains("Auth"), "{error}");
}
