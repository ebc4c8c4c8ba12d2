//! Packs: files of sealed blobs with a sealed list of them at the end. Source: restic's design document, "Pack Format".
//! Must not know which blobs belong together.

use std::fmt;

use mainstay_storage::{Growing, Storage, StorageError};
use rand::rngs::ThreadRng;
use sha2::{Digest as _, Sha256};
use zstd::bulk::Compressor;

use crate::{
    Id,
    crypto::{IV, Key, OVERHEAD},
};

/// What a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// A part of a file.
    Data,
    /// The entries of a folder.
    Tree,
}

impl fmt::Display for BlobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Data => "data",
            Self::Tree => "tree",
        })
    }
}

/// One blob of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: BlobKind,
    pub(crate) id: Id,
    /// Where it begins in the pack.
    pub(crate) offset: u32,
    /// Its sealed length.
    pub(crate) length: u32,
    /// Its length before compression; zero where it is not compressed.
    pub(crate) raw: u32,
}

/// A blob's entry in the list, not compressed.
const PLAIN: usize = 37;
/// A blob's entry in the list, compressed.
const COMPRESSED: usize = 41;
/// The four bytes at the end that say how long the sealed list is.
pub(crate) const LENGTH: usize = 4;

/// How large a pack grows before it is written.
pub(crate) const TARGET: usize = 16 << 20;

/// So much of a pack is collected before it is handed on: a pack that stays smaller can be put together with another.
const SPILL: usize = 2 << 20;

/// Blobs that do not shrink at least by a sixteenth are not compressed: reading them again is faster.
fn shrinks(plain: usize, compressed: usize) -> bool {
    compressed + plain / 16 < plain
}

/// The size of the sample that tells whether a large blob can be compressed at all.
const SAMPLE: usize = 32 << 10;

/// How blobs are compressed.
pub(crate) struct Squeeze {
    compressor: Compressor<'static>,
    scratch: Vec<u8>,
}

impl Squeeze {
    pub(crate) fn new(level: i32) -> std::io::Result<Self> {
        Ok(Self {
            compressor: Compressor::new(level)?,
            scratch: Vec::new(),
        })
    }

    /// Compresses, or nothing if that does not help.
    pub(crate) fn squeeze(&mut self, plain: &[u8]) -> Option<&[u8]> {
        if plain.len() >= 4 * SAMPLE {
            let middle = plain.len() / 2;
            let sample = &plain[middle..middle + SAMPLE];
            let length = self.run(sample)?;
            if !shrinks(SAMPLE, length) {
                return None;
            }
        }
        let length = self.run(plain)?;
        shrinks(plain.len(), length).then(|| &self.scratch[..length])
    }

    fn run(&mut self, plain: &[u8]) -> Option<usize> {
        self.scratch.clear();
        // Only as much room as would help: what does not fit is not wanted.
        let room = zstd::zstd_safe::compress_bound(plain.len());
        self.scratch.reserve(room);
        self.compressor
            .compress_to_buffer(plain, &mut self.scratch)
            .ok()
    }
}

/// A pack that grows.
pub(crate) struct Pack {
    /// What is in memory of it.
    bytes: Vec<u8>,
    /// What the container has of it already, and how long that is.
    begun: Option<Box<dyn Growing>>,
    base: usize,
    entries: Vec<Entry>,
    hash: Sha256,
    hashed: usize,
}

/// A pack that is whole: its bytes hash to its id.
pub(crate) struct Finished {
    pub(crate) id: Id,
    /// What the container has of it, and then what it does not have.
    pub(crate) begun: Option<Box<dyn Growing>>,
    pub(crate) bytes: Vec<u8>,
    /// The length of all of it.
    pub(crate) length: u64,
    pub(crate) entries: Vec<Entry>,
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Pack {
    /// An empty one that uses a buffer.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self {
            bytes,
            begun: None,
            base: 0,
            entries: Vec::new(),
            hash: Sha256::new(),
            hashed: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it should be written before it grows more.
    pub(crate) fn is_full(&self) -> bool {
        self.base + self.bytes.len() >= TARGET
    }

    /// Appends a blob, compressed if that helps, and answers how many bytes it took.
    pub(crate) fn add(
        &mut self,
        kind: BlobKind,
        id: Id,
        plain: &[u8],
        key: &Key,
        squeeze: Option<&mut Squeeze>,
        random: &mut ThreadRng,
    ) -> u64 {
        let squeezed = squeeze.and_then(|squeeze| squeeze.squeeze(plain));
        let (bytes, raw) = match squeezed {
            Some(bytes) => (bytes, narrow(plain.len())),
            None => (plain, 0),
        };
        let from = self.bytes.len();
        self.bytes.reserve(bytes.len() + OVERHEAD);
        self.bytes.extend_from_slice(&[0; IV]);
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(&[0; OVERHEAD - IV]);
        key.seal(&mut self.bytes[from..], random);
        let length = narrow(self.bytes.len() - from);
        self.entries.push(Entry {
            kind,
            id,
            offset: narrow(self.base + from),
            length,
            raw,
        });
        self.digest();
        u64::from(length)
    }

    /// Whether another pack's blobs fit as well.
    pub(crate) fn has_room_for(&self, other: &Self) -> bool {
        let in_memory = self.begun.is_none() && other.begun.is_none();
        in_memory && self.bytes.len() + other.bytes.len() <= TARGET + TARGET / 8
    }

    /// Appends all blobs of another pack.
    pub(crate) fn append(&mut self, other: &Self) {
        for entry in &other.entries {
            let from = entry.offset as usize;
            self.add_sealed(*entry, &other.bytes[from..from + entry.length as usize]);
        }
    }

    /// Appends a blob that is sealed already, as another pack has it.
    pub(crate) fn add_sealed(&mut self, entry: Entry, sealed: &[u8]) {
        let offset = narrow(self.base + self.bytes.len());
        self.bytes.extend_from_slice(sealed);
        self.entries.push(Entry { offset, ..entry });
        self.digest();
    }

    /// Hands what is in memory to the container, if there is enough of it and the container takes parts.
    pub(crate) fn spill(&mut self, storage: &dyn Storage) -> Result<(), StorageError> {
        if self.bytes.len() < SPILL {
            return Ok(());
        }
        if self.begun.is_none() {
            self.begun = storage.begin()?;
        }
        if let Some(begun) = &mut self.begun {
            begun.append(&self.bytes)?;
            self.base += self.bytes.len();
            self.bytes.clear();
            self.hashed = 0;
        }
        Ok(())
    }

    /// Hashes what was appended while the cache still has it.
    fn digest(&mut self) {
        self.hash.update(&self.bytes[self.hashed..]);
        self.hashed = self.bytes.len();
    }

    /// Appends the list and names the pack.
    pub(crate) fn finish(mut self, key: &Key, random: &mut ThreadRng) -> Finished {
        let mut list = Vec::with_capacity(self.entries.len() * COMPRESSED);
        for entry in &self.entries {
            let tree = u8::from(entry.kind == BlobKind::Tree);
            list.push(if entry.raw == 0 { tree } else { tree | 2 });
            list.extend(entry.length.to_le_bytes());
            if entry.raw != 0 {
                list.extend(entry.raw.to_le_bytes());
            }
            list.extend(entry.id.0);
        }
        let list = key.sealed(&list, random);
        self.bytes.extend_from_slice(&list);
        self.bytes.extend(narrow(list.len()).to_le_bytes());
        self.digest();
        Finished {
            id: Id(self.hash.finalize().into()),
            begun: self.begun,
            length: (self.base + self.bytes.len()) as u64,
            bytes: self.bytes,
            entries: self.entries,
        }
    }
}

/// How long the sealed list and its length are for these blobs.
pub(crate) fn tail_length(entries: impl Iterator<Item = Entry>) -> u64 {
    let sizes = entries.map(|entry| if entry.raw == 0 { PLAIN } else { COMPRESSED });
    (sizes.sum::<usize>() + OVERHEAD + LENGTH) as u64
}

/// Why a pack's list cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadList {
    #[error("it is too short for a list of its blobs")]
    Short,
    #[error("the list of its blobs has a broken seal")]
    Broken,
    #[error("the list of its blobs names a blob of unknown sort {0}")]
    Kind(u8),
    #[error("the list of its blobs does not fit its length")]
    Length,
}

/// How long the sealed list of a pack is, from its last four bytes.
pub(crate) fn list_length(tail: &[u8], size: u64) -> Result<u64, BadList> {
    let last = tail.last_chunk::<LENGTH>().ok_or(BadList::Short)?;
    let length = u64::from(u32::from_le_bytes(*last));
    let needed = length.checked_add(LENGTH as u64).ok_or(BadList::Short)?;
    if length < OVERHEAD as u64 || needed > size {
        return Err(BadList::Short);
    }
    Ok(length)
}

/// Reads the sealed list of a pack of this size (without the four bytes after it).
pub(crate) fn read_list(key: &Key, sealed: &mut [u8], size: u64) -> Result<Vec<Entry>, BadList> {
    let before = size
        .checked_sub(sealed.len() as u64 + LENGTH as u64)
        .ok_or(BadList::Length)?;
    let mut list = &*key.open(sealed).map_err(|_| BadList::Broken)?;
    let (mut entries, mut offset) = (Vec::new(), 0_u64);
    while let Some((sort, rest)) = list.split_first() {
        let kind = match sort & 1 {
            0 => BlobKind::Data,
            _ => BlobKind::Tree,
        };
        if *sort > 3 {
            return Err(BadList::Kind(*sort));
        }
        let (length, mut rest) = take::<4>(rest)?;
        let mut raw = 0;
        if sort & 2 != 0 {
            let (bytes, after) = take::<4>(rest)?;
            (raw, rest) = (u32::from_le_bytes(bytes), after);
        }
        let (id, rest) = take::<32>(rest)?;
        let length = u32::from_le_bytes(length);
        entries.push(Entry {
            kind,
            id: Id(id),
            offset: u32::try_from(offset).map_err(|_| BadList::Length)?,
            length,
            raw,
        });
        offset += u64::from(length);
        list = rest;
    }
    if offset != before {
        return Err(BadList::Length);
    }
    Ok(entries)
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), BadList> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(BadList::Length)?;
    Ok((*first, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_lists_what_was_added() {
        let mut random = rand::rng();
        let key = Key::random(&mut random);
        let mut squeeze = Squeeze::new(1).unwrap();
        let mut pack = Pack::new(Vec::new());
        let texts = [vec![b'a'; 200_000], b"short".to_vec(), Vec::new()];
        for text in &texts {
            let squeeze = Some(&mut squeeze);
            pack.add(
                BlobKind::Data,
                Id::of(text),
                text,
                &key,
                squeeze,
                &mut random,
            );
        }
        let finished = pack.finish(&key, &mut random);
        let mut bytes = finished.bytes;
        assert_eq!(Id::of(&bytes), finished.id);
        let size = bytes.len() as u64;
        let length = usize::try_from(list_length(&bytes, size).unwrap()).unwrap();
        let tail = tail_length(finished.entries.iter().copied());
        assert_eq!(tail, (length + LENGTH) as u64);
        let from = bytes.len() - length - LENGTH;
        let list = read_list(&key, &mut bytes[from..from + length], size).unwrap();
        assert_eq!(list, finished.entries);
        assert_eq!((list[0].raw, list[1].raw), (200_000, 0));
        assert!(list[0].length < 1000);
    }

    #[test]
    fn a_list_that_does_not_fit_is_refused() {
        let mut random = rand::rng();
        let key = Key::random(&mut random);
        let mut pack = Pack::new(Vec::new());
        pack.add(BlobKind::Tree, Id::of(b"x"), b"x", &key, None, &mut random);
        let finished = pack.finish(&key, &mut random);
        let size = finished.bytes.len() as u64;
        let from = 33;
        let list = &finished.bytes[from..finished.bytes.len() - LENGTH];
        assert!(read_list(&key, &mut list.to_vec(), size).is_ok());
        assert_eq!(
            read_list(&key, &mut list.to_vec(), size + 1),
            Err(BadList::Length)
        );
        assert_eq!(read_list(&key, &mut list.to_vec(), 3), Err(BadList::Length));
        let unknown = key.sealed(&[9; PLAIN], &mut random);
        assert_eq!(
            read_list(&key, &mut unknown.clone(), size),
            Err(BadList::Kind(9))
        );
        for tail in [&b""[..], b"\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\0"] {
            assert_eq!(list_length(tail, size), Err(BadList::Short));
        }
    }
}
