//! What scrubbing remembers: when each pack was read last, and what was wrong with it then. A memory that is lost or
//! damaged only means that nothing is fresh.
//! Must not know how packs are read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{Id, Time};

/// The first line of a memory file, before the hash of all that follows.
const HEAD: &str = "mainstay scrub memory 1 ";

/// When each pack of one repository was read last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrubMemory {
    /// The repository's id; empty until something is remembered.
    pub(super) repository: String,
    pub(super) packs: BTreeMap<Id, Seen>,
}

/// One pack as it was read last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    pub(super) at: Time,
    /// Its length, by its index. A pack of another length is another pack.
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wrong: Option<Wrong>,
}

/// What was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wrong {
    pub(super) how: String,
    /// The blobs that cannot be believed.
    pub(super) lost: BTreeSet<Id>,
}

impl ScrubMemory {
    /// Reads a memory from a file. One that is not there or not whole is empty: then everything is read again.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let parts = text
            .strip_prefix(HEAD)
            .and_then(|rest| rest.split_once('\n'));
        match parts {
            Some((hash, json)) if hash == Id::of(json.as_bytes()).to_string() => {
                serde_json::from_str(json).unwrap_or_default()
            }
            _ => Self::default(),
        }
    }

    /// Writes it to a file: all of it or nothing, and durable.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let json = serde_json::to_string(self)?;
        let text = format!("{HEAD}{}\n{json}", Id::of(json.as_bytes()));
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut unfinished = name.to_owned();
        unfinished.push(format!(".{}.new", std::process::id()));
        let unfinished = path.with_file_name(unfinished);
        let written = File::create(&unfinished)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
            return written;
        }
        let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Forgets packs, so that they are read first next time: those that were mended, for one.
    pub fn forget<'a>(&mut self, packs: impl IntoIterator<Item = &'a Id>) {
        for id in packs {
            self.packs.remove(id);
        }
    }

    /// When a pack was last found whole, if that was the last time it was read.
    #[must_use]
    pub fn found_whole(&self, pack: &Id) -> Option<Time> {
        let seen = self.packs.get(pack)?;
        seen.wrong.is_none().then_some(seen.at)
    }

    /// Whether a pack of this length was found whole, by a clock that was not ahead of this moment.
    #[must_use]
    pub fn is_whole(&self, pack: &Id, size: u64, now: Time) -> bool {
        self.fresh(pack, size, now)
            .is_some_and(|seen| seen.wrong.is_none())
    }

    /// Notes that a pack was read and is whole.
    pub(crate) fn note_whole(&mut self, repository: &str, pack: Id, size: u64, at: Time) {
        self.belong(repository);
        let wrong = None;
        self.packs.insert(pack, Seen { at, size, wrong });
    }

    /// What is known of a pack of this length. A moment that is still to come was never: some clock was wrong.
    pub(super) fn fresh(&self, pack: &Id, size: u64, now: Time) -> Option<&Seen> {
        let seen = self.packs.get(pack)?;
        (seen.size == size && seen.at <= now).then_some(seen)
    }

    /// Makes it the memory of this repository: what is remembered of another one is worth nothing.
    pub(crate) fn belong(&mut self, repository: &str) {
        if self.repository != repository {
            repository.clone_into(&mut self.repository);
            self.packs.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> ScrubMemory {
        let mut memory = ScrubMemory::default();
        memory.note_whole("ab", Id([7; 32]), 900, Time::EPOCH);
        let wrong = Wrong {
            how: "its content is not what its name says".to_owned(),
            lost: [Id([1; 32])].into(),
        };
        let seen = Seen {
            at: Time::EPOCH.plus_secs(3600),
            size: 77,
            wrong: Some(wrong),
        };
        memory.packs.insert(Id([8; 32]), seen);
        memory
    }

    /// What version 1 of the file looks like: later versions still read it.
    const GOLDEN: &str = include_str!("memory-1.golden");

    #[test]
    fn a_memory_comes_back_and_is_written_as_it_always_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        example().write(&path).unwrap();
        assert_eq!(ScrubMemory::read(&path), example());
        assert_eq!(fs::read_to_string(&path).unwrap(), GOLDEN);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_memory_makes_nothing_fresh() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        assert_eq!(ScrubMemory::read(&path), ScrubMemory::default());
        for at in 0..GOLDEN.len() {
            let mut bytes = GOLDEN.as_bytes().to_vec();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert_eq!(ScrubMemory::read(&path), ScrubMemory::default(), "{at}");
            fs::write(&path, &GOLDEN[..at]).unwrap();
            assert_eq!(ScrubMemory::read(&path), ScrubMemory::default(), "{at}");
        }
    }

    #[test]
    fn another_repository_another_length_or_a_time_to_come_is_not_fresh() {
        let mut memory = example();
        let (pack, now) = (Id([7; 32]), Time::EPOCH.plus_secs(10));
        assert!(memory.is_whole(&pack, 900, now));
        assert!(!memory.is_whole(&pack, 901, now));
        assert!(!memory.is_whole(&pack, 900, Time::EPOCH.plus_secs(-1)));
        assert!(!memory.is_whole(&Id([8; 32]), 77, Time::EPOCH.plus_secs(7200)));
        assert_eq!(memory.found_whole(&pack), Some(Time::EPOCH));
        memory.belong("ab");
        assert!(memory.is_whole(&pack, 900, now));
        memory.belong("cd");
        assert!(!memory.is_whole(&pack, 900, now));
    }
}
