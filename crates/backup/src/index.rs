//! Which pack holds which blob. Source: restic's design document, "Indexing".
//! Must not know what blobs are for.

use std::{borrow::Cow, collections::HashMap};

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

/// All blobs of a repository, in memory.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<Id>,
    data: HashMap<Id, Place>,
    trees: HashMap<Id, Place>,
}

impl Index {
    fn of(&self, kind: BlobKind) -> &HashMap<Id, Place> {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Where a blob is.
    pub(crate) fn find(&self, kind: BlobKind, id: &Id) -> Option<Place> {
        self.of(kind).get(id).copied()
    }

    /// Whether a blob is in some pack.
    #[must_use]
    pub fn has(&self, kind: BlobKind, id: &Id) -> bool {
        self.of(kind).contains_key(id)
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

    /// Adds a pack. A blob that another pack holds too stays where it was.
    pub(crate) fn add(&mut self, pack: Id, entries: impl Iterator<Item = Entry>) {
        let number = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.packs.push(pack);
        for entry in entries {
            let place = Place {
                pack: number,
                offset: entry.offset,
                length: entry.length,
                raw: entry.raw,
            };
            let blobs = match entry.kind {
                BlobKind::Data => &mut self.data,
                BlobKind::Tree => &mut self.trees,
            };
            blobs.entry(entry.id).or_insert(place);
        }
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
        let mut index = Index::default();
        for (pack, entries) in packs {
            index.add(pack, entries.into_iter());
        }
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
}
