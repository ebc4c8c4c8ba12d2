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

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use mainstay_storage::{
    Memory, Missing, Options, Part, Retry, Secret, StorageError, open, open_contents,
};
use servers::{Server, Sshd};

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
    let options = server.s3_options().missing(Missing::Make);
    let storage = open("s3://offsite/deep/er", &options).unwrap();
    contract::keeps(&*storage);
    contract::keeps_when_large(&*storage);
    assert!(storage.list(&contract::name("tmp")).unwrap().is_empty());
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
fn somebody_elses_objects_are_read_from_s3() {
    let Some(server) = Server::s3() else {
        return;
    };
    server.make_bucket("uploads");
    let whole = open("s3://uploads", &server.s3_options()).unwrap();
    let put = |name: &str, bytes: &[u8]| whole.write(&contract::name(name), bytes).unwrap();
    put("below/a/one", b"12345");
    put("below/two", b"");
    put("beside", b"no");
    let contents = open_contents("s3://uploads/below", &server.s3_options()).unwrap();
    let all = contents.all().unwrap();
    let names: Vec<(&str, u64)> = all.iter().map(|one| (&*one.name, one.size)).collect();
    assert_eq!(names, [("a/one", 5), ("two", 0)]);
    assert!(all[0].version.is_some() && all[0].modified.is_some());
    assert_eq!(contents.read(&all[0], 1, 3).unwrap(), b"234");
    assert_eq!(contents.read(&all[1], 0, 0).unwrap(), b"");
    put("below/a/one", b"54321");
    let replaced = contents.read(&all[0], 0, 5).unwrap_err();
    assert!(replaced.to_string().contains("replaced"), "{replaced}");
    let again = contents.all().unwrap();
    assert_ne!(again[0].version, all[0].version);
    assert_eq!(contents.read(&again[0], 0, 5).unwrap(), b"54321");
    drop(server);
    assert!(contents.all().is_err());
}

#[test]
fn azure_keeps_the_promises() {
    let Some(server) = Server::azure() else {
        return;
    };
    server.make_container("offsite");
    let options = server.azure_options().missing(Missing::Make);
    let storage = open("azblob://offsite/deep/er", &options).unwrap();
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

#[test]
fn a_server_with_ssh_keeps_the_promises() {
    let Some(server) = Sshd::start() else {
        return;
    };
    let url = server.url("a/b");
    let refused = open(&url, &server.options()).unwrap_err();
    assert_eq!(refused.code(), "container-unusable");
    assert!(!server.path("a").exists());
    let storage = open(&url, &server.options().missing(Missing::Make)).unwrap();
    contract::keeps(&*storage);
    contract::keeps_when_large(&*storage);
    assert_eq!(fs::read_dir(server.path("a/b/tmp")).unwrap().count(), 0);

    // What lies there and is no object, or leads elsewhere.
    fs::write(server.path("a/b/data/x y"), "no object").unwrap();
    fs::write(server.path("outside"), "outside").unwrap();
    symlink(server.path("outside"), server.path("a/b/data/link")).unwrap();
    storage.write(&contract::name("data/one"), b"1").unwrap();
    let listed = storage.list(&contract::name("data")).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let link = storage.read(&contract::name("data/link"), Part::Whole, &mut Vec::new());
    assert!(matches!(link, Err(StorageError::Read { .. })), "{link:?}");
    // A name that is no text cannot be told by the protocol's client: an error, not a listing without it.
    let strange = server.path("").join(OsStr::from_bytes(b"a/b/data/\xff"));
    fs::write(&strange, "no text").unwrap();
    let broken = storage.list(&contract::name("data")).unwrap_err();
    assert_eq!(broken.code(), "listing-failed");
    fs::remove_file(strange).unwrap();
    // That broke the connection; the next call has a new one.
    assert_eq!(storage.list(&contract::name("data")).unwrap().len(), 1);
    // The folder is gone, which is not the same as an empty one.
    fs::rename(server.path("a/b"), server.path("a/c")).unwrap();
    let gone = storage.list(&contract::name("data")).unwrap_err();
    assert_eq!(gone.code(), "listing-failed");
}

#[test]
fn a_server_with_ssh_is_known_and_knows_us() {
    let Some(server) = Sshd::start() else {
        return;
    };
    fs::create_dir(server.path("offsite")).unwrap();
    let url = server.url("offsite");
    let stranger = open(&url, &server.options().with("identity", "stranger")).unwrap_err();
    assert!(
        stranger.to_string().contains("Permission denied"),
        "{stranger}"
    );
    assert_eq!(stranger.retry(), Retry::Never);
    let options = server.options().with("known-hosts", "others");
    let unknown = open(&url, &options).unwrap_err();
    assert!(
        unknown.to_string().contains("Host key verification failed"),
        "{unknown}"
    );
    let trusted = options.with("unknown-host", "accept-new");
    drop(open(&url, &trusted).unwrap());
    drop(open(&url, &trusted.with("unknown-host", "refuse")).unwrap());
    let wrong = open(&url, &server.options().with("port", "1")).unwrap_err();
    assert_eq!(wrong.code(), "container-option");
    assert!(
        wrong
            .to_string()
            .contains("identity, known-hosts, unknown-host"),
        "{wrong}"
    );
}
