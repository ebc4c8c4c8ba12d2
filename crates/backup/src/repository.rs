//! A repository: opened with a password, its files read and written. Everything else in this crate works on it.
//! Must not know sources, schedules or retention.

use std::{fmt, sync::Arc};

use mainstay_storage::{Created, ObjectName, Part, Storage};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BackupError, FileKind, Id, Index, Snapshot, Who,
    codec::{decode, encode},
    config::Config,
    crypto::{IV, Key, OVERHEAD},
    index::{self, Gathered, Place},
    key::{self, KeyFile},
    layout,
    pack::BlobKind,
};

/// The longest blob that is read. restic's and Mainstay's own are 8 MiB at most; a folder's tree grows with the folder.
const LONGEST_BLOB: u32 = 1 << 30;

/// What opening blobs needs again and again.
#[derive(Default)]
pub(crate) struct Unseal(zstd::bulk::Decompressor<'static>);

/// The format of a new repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Without compression, for restic before 0.14.
    V1,
    /// With compression.
    #[default]
    V2,
}

/// An open repository. Clones share it.
#[derive(Clone)]
pub struct Repository(Arc<Opened>);

struct Opened {
    storage: Arc<dyn Storage>,
    key: Key,
    key_id: Id,
    config: Config,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("id", &self.0.config.id)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Makes a container a repository.
    pub fn init(
        storage: Arc<dyn Storage>,
        password: &[u8],
        format: Format,
    ) -> Result<Self, BackupError> {
        if has_config(&*storage)? {
            return Err(BackupError::RepositoryExists);
        }
        let config = Config::random(match format {
            Format::V1 => 1,
            Format::V2 => 2,
        });
        let mut random = rand::rng();
        let key = Key::random(&mut random);
        let key_id = key::add(&*storage, &key, password, &Who::here())?;
        let json = serde_json::to_vec(&config).map_err(std::io::Error::from);
        // The format's version says how files are written, so this one is never compressed.
        let bytes = json.and_then(|json| encode(1, &key, &json));
        let name = layout::config()?;
        let bytes = bytes.map_err(|error| damaged(&name, error))?;
        if storage.create(&name, &bytes)? == Created::ThereAlready {
            // Somebody else was faster: their keys count, ours would open nothing.
            storage.delete(&[FileKind::Key.name(key_id)?])?;
            return Err(BackupError::RepositoryExists);
        }
        storage.flush()?;
        Ok(Self(Arc::new(Opened {
            storage,
            key,
            key_id,
            config,
        })))
    }

    /// Opens a repository.
    pub fn open(storage: Arc<dyn Storage>, password: &[u8]) -> Result<Self, BackupError> {
        if !has_config(&*storage)? {
            return Err(BackupError::NoRepository);
        }
        let (key_id, key) = key::open(&*storage, password)?;
        let name = layout::config()?;
        let mut bytes = Vec::new();
        storage.read(&name, Part::Whole, &mut bytes)?;
        let json = decode(&key, bytes).map_err(|error| damaged(&name, error))?;
        let config: Config =
            serde_json::from_slice(&json).map_err(|error| damaged(&name, error))?;
        if !matches!(config.version, 1 | 2) {
            return Err(BackupError::Version {
                version: config.version,
            });
        }
        Ok(Self(Arc::new(Opened {
            storage,
            key,
            key_id,
            config,
        })))
    }

    /// The same repository in another container: a copy of it, or the same one seen through a decorator. Nothing is
    /// read; whether it is the same shows as soon as something is.
    #[must_use]
    pub fn on(&self, storage: Arc<dyn Storage>) -> Self {
        Self(Arc::new(Opened {
            storage,
            key: self.0.key.clone(),
            key_id: self.0.key_id,
            config: self.0.config.clone(),
        }))
    }

    /// Whether what lies there now is still this repository.
    pub fn is_there(&self) -> Result<bool, BackupError> {
        let mut bytes = Vec::new();
        match self
            .storage()
            .read(&layout::config()?, Part::Whole, &mut bytes)
        {
            Ok(()) => {}
            Err(mainstay_storage::StorageError::Absent { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let Ok(json) = decode(self.key(), bytes) else {
            return Ok(false);
        };
        let config = serde_json::from_slice::<Config>(&json);
        Ok(config.is_ok_and(|config| config.id == self.0.config.id))
    }

    /// The repository's own id, in hex.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.config.id
    }

    /// The format's version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.0.config.version
    }

    /// What it is kept in.
    #[must_use]
    pub fn storage(&self) -> &dyn Storage {
        &*self.0.storage
    }

    /// Whether these bytes are the `config` of this repository.
    pub(crate) fn proves_config(&self, bytes: &[u8]) -> bool {
        let json = decode(&self.0.key, bytes.to_vec());
        let config = json.map(|json| serde_json::from_slice::<Config>(&json));
        matches!(config, Ok(Ok(config)) if config == self.0.config)
    }

    /// Whether another one holds the same repository.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.config == other.0.config && self.secret() == other.secret()
    }

    pub(crate) fn key(&self) -> &Key {
        &self.0.key
    }

    /// What only those who can open the repository can know, for secrets that depend on it.
    pub(crate) fn secret(&self) -> [u8; 32] {
        let (encrypt, k, r) = self.key().parts();
        Id::of(&[&encrypt[..], k, r].concat()).0
    }

    /// Every key file.
    pub fn keys(&self) -> Result<Vec<(Id, KeyFile)>, BackupError> {
        key::list(self.storage())
    }

    /// The key file that this repository was opened with.
    #[must_use]
    pub fn key_id(&self) -> Id {
        self.0.key_id
    }

    /// Lets another password open the repository.
    pub fn add_key(&self, password: &[u8]) -> Result<Id, BackupError> {
        key::add(self.storage(), self.key(), password, &Who::here())
    }

    /// Takes a key file away. The one in use stays: it proves that somebody can still open the repository.
    pub fn remove_key(&self, id: Id) -> Result<(), BackupError> {
        if id == self.0.key_id {
            return Err(BackupError::KeyNeeded {
                key: id,
                why: "the repository was opened with it",
            });
        }
        self.storage().delete(&[FileKind::Key.name(id)?])?;
        Ok(self.storage().flush()?)
    }

    /// Puts a new password in the place of the one in use, and answers the repository opened with it.
    pub fn change_password(&self, password: &[u8]) -> Result<Self, BackupError> {
        let id = self.add_key(password)?;
        // The new one is proven before the old one goes.
        let opened = Self::open(Arc::clone(&self.0.storage), password)?;
        if opened.key_id() == self.key_id() {
            return Ok(opened);
        }
        debug_assert_eq!(opened.key_id(), id);
        opened.remove_key(self.key_id())?;
        Ok(opened)
    }

    /// The files of a sort, with their sizes, sorted. What is not named after a hash is none of the repository's.
    pub fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>, BackupError> {
        let folder = ObjectName::new(kind.folder())?;
        let mut files = Vec::new();
        for object in self.storage().list(&folder)? {
            // A pack in the wrong folder could not be found by its name.
            if let Ok(id) = object.name.last().parse::<Id>()
                && kind.name(id)? == object.name
            {
                files.push((id, object.size));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Reads a file of JSON and proves that it is what its name says.
    pub(crate) fn read_plain(&self, kind: FileKind, id: Id) -> Result<Vec<u8>, BackupError> {
        let name = kind.name(id)?;
        let mut bytes = Vec::new();
        self.storage().read(&name, Part::Whole, &mut bytes)?;
        if Id::of(&bytes) != id {
            return Err(damaged(&name, "its content is not what its name says"));
        }
        decode(self.key(), bytes).map_err(|error| damaged(&name, error))
    }

    pub(crate) fn read_json<T: DeserializeOwned>(
        &self,
        kind: FileKind,
        id: Id,
    ) -> Result<T, BackupError> {
        let json = self.read_plain(kind, id)?;
        let name = kind.name(id)?;
        serde_json::from_slice(&json).map_err(|error| damaged(&name, error))
    }

    /// Writes a file of JSON under the name that its content gives it. It is durable after the next flush.
    pub(crate) fn write_plain(&self, kind: FileKind, json: &[u8]) -> Result<Id, BackupError> {
        let bytes = encode(self.version(), self.key(), json);
        let bytes = bytes.map_err(|error| unwritable(kind, error))?;
        let id = Id::of(&bytes);
        self.storage().write(&kind.name(id)?, &bytes)?;
        Ok(id)
    }

    pub(crate) fn write_json(
        &self,
        kind: FileKind,
        value: &impl Serialize,
    ) -> Result<Id, BackupError> {
        let json = serde_json::to_vec(value);
        self.write_plain(kind, &json.map_err(|error| unwritable(kind, error))?)
    }

    /// Writes an index of these packs, which takes the place of others.
    pub(crate) fn write_index(
        &self,
        packs: &[index::Listed],
        supersedes: &[Id],
    ) -> Result<Id, BackupError> {
        let json = index::write(packs, supersedes);
        let json = json.map_err(|error| unwritable(FileKind::Index, error))?;
        self.write_plain(FileKind::Index, &json)
    }

    /// Every snapshot, oldest first. One that cannot be read is an error, never left out.
    pub fn snapshots(&self) -> Result<Vec<(Id, Snapshot)>, BackupError> {
        let mut snapshots = Vec::new();
        for (id, _) in self.list(FileKind::Snapshot)? {
            snapshots.push((id, self.read_json::<Snapshot>(FileKind::Snapshot, id)?));
        }
        snapshots.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
        Ok(snapshots)
    }

    /// Reads one snapshot.
    pub fn snapshot(&self, id: Id) -> Result<Snapshot, BackupError> {
        self.read_json(FileKind::Snapshot, id)
    }

    /// Finds a snapshot by the beginning of its id, or the newest by `latest`.
    pub fn find_snapshot(&self, wanted: &str) -> Result<(Id, Snapshot), BackupError> {
        let none = |why| BackupError::NoSnapshot {
            wanted: wanted.to_owned(),
            why,
        };
        if wanted == "latest" {
            let newest = self.snapshots()?.pop();
            return newest.ok_or_else(|| none("the repository has no snapshot"));
        }
        let mut found = self.list(FileKind::Snapshot)?;
        found.retain(|(id, _)| !wanted.is_empty() && id.to_string().starts_with(wanted));
        match found[..] {
            [] => Err(none("none begins so")),
            [(id, _)] => Ok((id, self.snapshot(id)?)),
            _ => Err(none("several begin so")),
        }
    }

    /// Removes snapshots. Their blobs stay until the repository is pruned.
    pub fn forget(&self, snapshots: &[Id]) -> Result<(), BackupError> {
        let names = snapshots.iter().map(|id| FileKind::Snapshot.name(*id));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        self.storage().delete(&names)?;
        Ok(self.storage().flush()?)
    }

    /// Reads every index.
    pub fn index(&self) -> Result<Index, BackupError> {
        let mut gathered = Gathered::default();
        for (id, _) in self.list(FileKind::Index)? {
            for (pack, entries) in self.index_file(id)? {
                gathered.add(pack, entries.into_iter());
            }
        }
        Ok(gathered.index())
    }

    pub(crate) fn index_file(&self, id: Id) -> Result<Vec<index::Listed>, BackupError> {
        let json = self.read_plain(FileKind::Index, id)?;
        match index::parse(&json) {
            Ok(packs) => Ok(packs),
            Err(how) => Err(damaged(&FileKind::Index.name(id)?, how)),
        }
    }

    /// Reads one blob.
    pub(crate) fn blob(
        &self,
        index: &Index,
        kind: BlobKind,
        id: Id,
    ) -> Result<Vec<u8>, BackupError> {
        let missing = || BackupError::Missing { kind, id };
        let place = index.find(kind, &id).ok_or_else(missing)?;
        let pack = index.pack(place.pack).ok_or_else(missing)?;
        let mut bytes = Vec::new();
        let part = Part::Range {
            from: u64::from(place.offset),
            len: u64::from(place.length),
        };
        self.storage()
            .read(&FileKind::Pack.name(pack)?, part, &mut bytes)?;
        let (mut unseal, mut plain) = (Unseal::default(), Vec::new());
        let opened = self.open_blob(kind, id, place, &mut bytes, &mut unseal, &mut plain)?;
        let length = opened.len();
        if place.raw == 0 {
            bytes.drain(..IV);
            bytes.truncate(length);
            return Ok(bytes);
        }
        Ok(plain)
    }

    /// Opens a blob that was read, and proves that it is what its name says. What was not compressed stays where it is.
    pub(crate) fn open_blob<'a>(
        &self,
        kind: BlobKind,
        id: Id,
        place: Place,
        sealed: &'a mut [u8],
        unseal: &mut Unseal,
        into: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], BackupError> {
        let bad = |how: String| BackupError::BadBlob { kind, id, how };
        if place.raw > LONGEST_BLOB || sealed.len() < OVERHEAD {
            return Err(bad(format!("it would have {} bytes", place.raw)));
        }
        let text = self
            .key()
            .open(sealed)
            .map_err(|error| bad(error.to_string()))?;
        let plain = if place.raw == 0 {
            text
        } else {
            into.clear();
            let raw = usize::try_from(place.raw).map_err(|error| bad(error.to_string()))?;
            into.try_reserve_exact(raw)
                .map_err(|error| bad(error.to_string()))?;
            // There is no room for more than that, however much comes out.
            let done = unseal.0.decompress_to_buffer(text, into);
            done.map_err(|error| bad(error.to_string()))?;
            if into.len() != raw {
                return Err(bad(format!("it has {} bytes, not {raw}", into.len())));
            }
            &into[..]
        };
        if Id::of(plain) != id {
            return Err(bad("its content is not what its name says".to_owned()));
        }
        Ok(plain)
    }
}

fn has_config(storage: &dyn Storage) -> Result<bool, BackupError> {
    let mut bytes = Vec::new();
    match storage.read(&layout::config()?, Part::Whole, &mut bytes) {
        Ok(()) => Ok(true),
        Err(mainstay_storage::StorageError::Absent { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What cannot be put into a file never reaches the container.
fn unwritable(kind: FileKind, error: impl fmt::Display) -> BackupError {
    match ObjectName::new(kind.folder()) {
        Ok(name) => damaged(&name, error),
        Err(error) => error.into(),
    }
}

fn damaged(name: &ObjectName, how: impl fmt::Display) -> BackupError {
    BackupError::Damaged {
        name: name.clone(),
        how: how.to_string(),
    }
}
