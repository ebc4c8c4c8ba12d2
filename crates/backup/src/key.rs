//! Key files: each holds the repository's own keys, sealed with keys that a password gives.
//! Source: restic's design document, "Keys, Encryption and MAC".
//!
//! A key file is not sealed itself, so whoever can write to the container can ask for any amount of work: what no
//! honest key asks for is refused before it is begun.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mainstay_storage::{Part, Storage};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::{BackupError, FileKind, Id, Time, crypto::Key};

/// How hard a password is to guess: `N` is two to the power of this.
const LOG_N: u8 = 15;
const R: u32 = 8;
/// Three passes of 32 MiB cost a guesser as much as one of 128 MiB, and stay below restic's memory.
const P: u32 = 3;

/// The most memory that a key may ask for, in bytes. restic's own keys ask for at most 64 MiB, rustic's for 128.
const MOST_MEMORY: u64 = 512 << 20;
/// The most work: memory times passes.
const MOST_WORK: u64 = 4 << 30;
/// How many keys are tried with one password.
const MOST_KEYS: usize = 64;

/// A key file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyFile {
    /// When it was made.
    pub created: Time,
    /// By whom.
    #[serde(default)]
    pub username: String,
    /// On which machine.
    #[serde(default)]
    pub hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// What is sealed in a key file.
#[derive(Serialize, Deserialize)]
struct Master {
    mac: Mac,
    encrypt: String,
}

#[derive(Serialize, Deserialize)]
struct Mac {
    k: String,
    r: String,
}

fn damaged(id: Id, how: impl std::fmt::Display) -> BackupError {
    match FileKind::Key.name(id) {
        Ok(name) => BackupError::Damaged {
            name,
            how: how.to_string(),
        },
        Err(error) => error.into(),
    }
}

fn refused(id: Id, what: impl Into<String>) -> BackupError {
    let what = what.into();
    BackupError::KeyRefused { key: id, what }
}

impl KeyFile {
    fn derive(&self, id: Id, password: &[u8]) -> Result<Key, BackupError> {
        if self.kdf != "scrypt" {
            return Err(refused(id, format!("{:?} is not scrypt", self.kdf)));
        }
        if !self.n.is_power_of_two() || self.n < 2 || self.r == 0 || self.p == 0 {
            return Err(refused(id, "its parameters are not those of scrypt"));
        }
        let memory = self.n.saturating_mul(u64::from(self.r)).saturating_mul(128);
        if memory > MOST_MEMORY || memory.saturating_mul(u64::from(self.p)) > MOST_WORK {
            let what = format!("it asks for {memory} bytes of memory, {} times", self.p);
            return Err(refused(id, what));
        }
        let log_n = u8::try_from(self.n.trailing_zeros()).unwrap_or(u8::MAX);
        let params = scrypt::Params::new(log_n, self.r, self.p);
        let params = params.map_err(|_| refused(id, "its parameters are not those of scrypt"))?;
        let salt = STANDARD
            .decode(&self.salt)
            .map_err(|_| damaged(id, "its salt is not base64"))?;
        let mut bytes = [0; 64];
        scrypt::scrypt(password, &salt, &params, &mut bytes)
            .map_err(|_| refused(id, "its parameters are not those of scrypt"))?;
        Ok(Key::new(&bytes))
    }

    /// The repository's keys, or nothing if the password is another's.
    fn open(&self, id: Id, password: &[u8]) -> Result<Option<Key>, BackupError> {
        let user = self.derive(id, password)?;
        let sealed = STANDARD.decode(&self.data);
        let mut sealed = sealed.map_err(|_| damaged(id, "its data is not base64"))?;
        let Ok(json) = user.open(&mut sealed) else {
            return Ok(None);
        };
        let master: Master = serde_json::from_slice(json).map_err(|error| damaged(id, error))?;
        let mut bytes = Vec::with_capacity(64);
        for part in [&master.encrypt, &master.mac.k, &master.mac.r] {
            let part = STANDARD.decode(part);
            bytes.extend(part.map_err(|_| damaged(id, "a key in it is not base64"))?);
        }
        let bytes: [u8; 64] = bytes
            .try_into()
            .map_err(|_| damaged(id, "a key in it has the wrong length"))?;
        Ok(Some(Key::new(&bytes)))
    }

    /// A new key file for a password.
    fn seal(key: &Key, password: &[u8], who: &Who) -> Result<Self, BackupError> {
        let mut random = rand::rng();
        let mut salt = [0; 64];
        random.fill_bytes(&mut salt);
        let mut file = Self {
            created: Time::now(),
            username: who.username.clone(),
            hostname: who.hostname.clone(),
            kdf: "scrypt".to_owned(),
            n: 1 << LOG_N,
            r: R,
            p: P,
            salt: STANDARD.encode(salt),
            data: String::new(),
        };
        let none = Id([0; 32]);
        let user = file.derive(none, password)?;
        let (encrypt, k, r) = key.parts();
        let master = Master {
            mac: Mac {
                k: STANDARD.encode(k),
                r: STANDARD.encode(r),
            },
            encrypt: STANDARD.encode(encrypt),
        };
        let json = serde_json::to_vec(&master).map_err(|error| damaged(none, error))?;
        file.data = STANDARD.encode(user.sealed(&json, &mut random));
        Ok(file)
    }
}

/// Who works on a repository, for others to read. Nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The user's name.
    pub username: String,
    /// The machine's name.
    pub hostname: String,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl Who {
    /// This process on this machine.
    #[must_use]
    pub fn here() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let node = rustix::system::uname();
        Self {
            username: crate::users::Users::read().user(uid).to_owned(),
            hostname: node.nodename().to_string_lossy().into_owned(),
            uid,
            gid: rustix::process::getgid().as_raw(),
        }
    }
}

/// Every key file of a repository.
pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<(Id, KeyFile)>, BackupError> {
    let mut keys = Vec::new();
    let folder = mainstay_storage::ObjectName::new(FileKind::Key.folder())?;
    let mut bytes = Vec::new();
    for object in storage.list(&folder)? {
        let Ok(id) = object.name.last().parse::<Id>() else {
            continue;
        };
        storage.read(&object.name, Part::Whole, &mut bytes)?;
        if Id::of(&bytes) != id {
            return Err(damaged(id, "its content is not what its name says"));
        }
        let file = serde_json::from_slice(&bytes).map_err(|error| damaged(id, error))?;
        keys.push((id, file));
    }
    Ok(keys)
}

/// Finds the repository's keys with a password. A key file that is damaged or refused is passed over if another one
/// opens; if none does, it is the error.
pub(crate) fn open(storage: &dyn Storage, password: &[u8]) -> Result<(Id, Key), BackupError> {
    let folder = mainstay_storage::ObjectName::new(FileKind::Key.folder())?;
    let objects = storage.list(&folder)?;
    let (mut tried, mut first, mut bytes) = (0, None, Vec::new());
    for object in objects.iter().take(MOST_KEYS) {
        let Ok(id) = object.name.last().parse::<Id>() else {
            continue;
        };
        let opened = storage
            .read(&object.name, Part::Whole, &mut bytes)
            .map_err(BackupError::from)
            .and_then(|()| {
                if Id::of(&bytes) != id {
                    return Err(damaged(id, "its content is not what its name says"));
                }
                let file: KeyFile =
                    serde_json::from_slice(&bytes).map_err(|error| damaged(id, error))?;
                file.open(id, password)
            });
        match opened {
            Ok(Some(key)) => return Ok((id, key)),
            Ok(None) => tried += 1,
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(BackupError::WrongPassword { keys: tried }))
}

/// Adds a key file for a password.
pub(crate) fn add(
    storage: &dyn Storage,
    key: &Key,
    password: &[u8],
    who: &Who,
) -> Result<Id, BackupError> {
    let file = KeyFile::seal(key, password, who)?;
    let none = Id([0; 32]);
    let bytes = serde_json::to_vec(&file).map_err(|error| damaged(none, error))?;
    let id = Id::of(&bytes);
    storage.write(&FileKind::Key.name(id)?, &bytes)?;
    storage.flush()?;
    Ok(id)
}
