//! Which pack holds which blob. Source: restic's design document, "Indexing".
//! Must not know what blobs are for.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    Id,
    pack::{BlobKind, Entry},
};

/// Where a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which pack, by its number in [`Index::pack`].
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    /// Sealed length.
    pub(crate) length: u32,
    /// Length before compression; zero where it is not compressed.
    pub(crate) raw: u32,
}

impl Place {
    /// The length of what is in it.
    pub(crate) fn plain_length(self) -> u64 {
        if self.raw == 0 {
            u64::from(self.length).saturating_sub(crate::crypto::OVERHEAD as u64)
        } else {
            u64::from(self.raw)
        }
    }
}

/// One blob: 48 bytes, whatever the number of them. A hash table would take twice as many, and three times while it
/// grows.
#[derive(Debug, Clone, Copy)]
struct Item {
    id: Id,
    place: Place,
}

/// Blobs by the first bits of their ids, each part sorted: ids are hashes, so the parts are equally long, and what
/// looking for one costs hardly grows.
#[derive(Debug)]
struct Blobs(Box<[Vec<Item>]>);

/// So many bits tell the part.
const PART_BITS: u32 = 12;

fn part(id: &Id) -> usize {
    let first = u16::from_be_bytes([id.0[0], id.0[1]]);
    usize::from(first >> (u16::BITS - PART_BITS))
}

impl Default for Blobs {
    fn default() -> Self {
        Self(vec![Vec::new(); 1 << PART_BITS].into())
    }
}

impl Blobs {
    fn find(&self, id: &Id) -> Option<&Item> {
        let part = self.0.get(part(id))?;
        let at = part.binary_search_by(|item| item.id.cmp(id)).ok()?;
        part.get(at)
    }

    fn push(&mut self, item: Item) {
        if let Some(part) = self.0.get_mut(part(&item.id)) {
            part.push(item);
        }
    }

    /// Sorts each part; of several places of one blob the first stays.
    fn settle(&mut self) {
        for part in &mut self.0 {
            part.sort_by_key(|item| item.id);
            part.dedup_by(|later, first| later.id == first.id);
            part.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// All blobs of a repository, in memory.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<Id>,
    data: Blobs,
    trees: Blobs,
}

impl Index {
    fn of(&self, kind: BlobKind) -> &Blobs {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Where a blob is.
    pub(crate) fn find(&self, kind: BlobKind, id: &Id) -> Option<Place> {
        self.of(kind).find(id).map(|item| item.place)
    }

    /// Whether a blob is in some pack.
    #[must_use]
    pub fn has(&self, kind: BlobKind, id: &Id) -> bool {
        self.of(kind).find(id).is_some()
    }

    /// How many blobs there are.
    #[must_use]
    pub fn blobs(&self) -> usize {
        self.data.len() + self.trees.len()
    }

    /// A pack by its number.
    pub(crate) fn pack(&self, number: u32) -> Option<Id> {
        let number = usize::try_from(number).ok()?;
        self.packs.get(number).copied()
    }

    /// How many packs there are.
    #[must_use]
    pub fn packs(&self) -> usize {
        self.packs.len()
    }
}

/// An index while packs are added to it.
#[derive(Debug, Default)]
pub(crate) struct Gathered(Index);

impl Gathered {
    /// Adds a pack. A blob that another pack holds too stays where it was.
    pub(crate) fn add(&mut self, pack: Id, entries: impl Iterator<Item = Entry>) {
        let Index { packs, data, trees } = &mut self.0;
        let number = u32::try_from(packs.len()).unwrap_or(u32::MAX);
        packs.push(pack);
        for entry in entries {
            let place = Place {
                pack: number,
                offset: entry.offset,
                length: entry.length,
                raw: entry.raw,
            };
            let blobs = match entry.kind {
                BlobKind::Data => &mut *data,
                BlobKind::Tree => &mut *trees,
            };
            let id = entry.id;
            blobs.push(Item { id, place });
        }
    }

    /// All of it, ready to be looked into.
    pub(crate) fn index(self) -> Index {
        let mut index = self.0;
        index.data.settle();
        index.trees.settle();
        index
    }
}

/// An index file as JSON.
#[derive(Serialize, Deserialize)]
struct File<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supersedes: Option<Vec<Id>>,
    #[serde(borrow)]
    packs: Option<Vec<FilePack<'a>>>,
}

#[derive(Serialize, Deserialize)]
struct FilePack<'a> {
    id: Id,
    #[serde(borrow)]
    blobs: Option<Vec<FileBlob<'a>>>,
}

#[derive(Serialize, Deserialize)]
struct FileBlob<'a> {
    id: Id,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    uncompressed_length: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A pack and the blobs in it, as an index lists them.
pub(crate) type Listed = (Id, Vec<Entry>);

/// Reads an index file.
pub(crate) fn parse(json: &[u8]) -> Result<Vec<Listed>, String> {
    let file: File<'_> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut packs = Vec::new();
    for pack in file.packs.unwrap_or_default() {
        let mut entries = Vec::new();
        for blob in pack.blobs.unwrap_or_default() {
            entries.push(Entry {
                kind: match &*blob.kind {
                    "data" => BlobKind::Data,
                    "tree" => BlobKind::Tree,
                    other => return Err(format!("{other:?} is a blob of unknown sort")),
                },
                id: blob.id,
                offset: blob.offset,
                length: blob.length,
                raw: blob.uncompressed_length,
            });
        }
        packs.push((pack.id, entries));
    }
    Ok(packs)
}

/// Writes an index file's JSON.
pub(crate) fn write(packs: &[Listed], supersedes: &[Id]) -> Result<Vec<u8>, serde_json::Error> {
    let blob = |entry: &Entry| FileBlob {
        id: entry.id,
        kind: Cow::Borrowed(match entry.kind {
            BlobKind::Data => "data",
            BlobKind::Tree => "tree",
        }),
        offset: entry.offset,
        length: entry.length,
        uncompressed_length: entry.raw,
    };
    let packs = packs.iter().map(|(id, entries)| FilePack {
        id: *id,
        blobs: Some(entries.iter().map(blob).collect()),
    });
    serde_json::to_vec(&File {
        supersedes: (!supersedes.is_empty()).then(|| supersedes.to_vec()),
        packs: Some(packs.collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_and_the_first_place_counts() {
        let entry = |kind, byte, raw| Entry {
            kind,
            id: Id([byte; 32]),
            offset: 0,
            length: 40,
            raw,
        };
        let packs = vec![
            (
                Id([1; 32]),
                vec![entry(BlobKind::Data, 7, 0), entry(BlobKind::Data, 8, 99)],
            ),
            (
                Id([2; 32]),
                vec![entry(BlobKind::Tree, 7, 5), entry(BlobKind::Data, 7, 0)],
            ),
        ];
        let json = write(&packs, &[Id([3; 32])]).unwrap();
        assert_eq!(parse(&json).unwrap(), packs);
        let mut gathered = Gathered::default();
        for (pack, entries) in packs {
            gathered.add(pack, entries.into_iter());
        }
        let index = gathered.index();
        let place = index.find(BlobKind::Data, &Id([7; 32])).unwrap();
        assert_eq!(
            (index.pack(place.pack), place.plain_length()),
            (Some(Id([1; 32])), 8)
        );
        let tree = index.find(BlobKind::Tree, &Id([7; 32])).unwrap();
        assert_eq!(
            (index.pack(tree.pack), tree.plain_length()),
            (Some(Id([2; 32])), 5)
        );
        assert_eq!((index.blobs(), index.packs()), (3, 2));
        assert!(parse(br#"{"packs":null}"#).unwrap().is_empty());
        assert!(parse(br#"{"packs":[{"id":"xyz"}]}"#).is_err());
    }

    #[test]
    fn every_blob_of_many_is_found_and_no_other() {
        let id = |number: u32| Id::of(&number.to_le_bytes());
        let mut gathered = Gathered::default();
        for pack in 0..20 {
            let entry = |number| Entry {
                kind: BlobKind::Data,
                id: id(pack * 1000 + number),
                offset: number,
                length: 40,
                raw: pack,
            };
            gathered.add(id(1 << 30 | pack), (0..1000).map(entry));
        }
        let index = gathered.index();
        assert_eq!((index.blobs(), index.packs()), (20_000, 20));
        for number in 0..20_000 {
            let place = index.find(BlobKind::Data, &id(number)).unwrap();
            assert_eq!((place.pack, place.offset), (number / 1000, number % 1000));
            assert!(!index.has(BlobKind::Tree, &id(number)));
        }
        assert!((20_000..40_000).all(|number| !index.has(BlobKind::Data, &id(number))));
    }
}
