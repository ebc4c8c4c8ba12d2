//! What a tree holds: path, sort, permissions, size and hash of every entry, and one digest over all.
//! Must not know where the tree is; equal trees have equal manifests.

use std::{collections::BTreeMap, ffi::OsStr, os::unix::ffi::OsStrExt as _, path::PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{
    Entry, Hashes, Listing, Node, Tree, TreeError,
    hash::Sha,
    scan::{Stamp, scan},
};

/// Begins every digest; a change of what is hashed changes it.
const DOMAIN: &[u8] = b"mainstay file tree 1\0";

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A folder.
    Folder,
    /// A file's length in bytes and SHA-256.
    File(u64, [u8; 32]),
    /// Where a link leads.
    Link(PathBuf),
}

/// One entry of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its path below the root.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// What it holds.
    pub content: Content,
}

/// How an entry of one tree is lacking in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// There is nothing of that path.
    Absent,
    /// There is something else.
    Differs,
}

/// Every entry, in the order of the listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The entries.
    pub items: Vec<Item>,
}

/// Lists and hashes a tree. A file that changes or vanishes meanwhile is looked at again.
pub fn take(tree: &Tree, hashes: &Hashes) -> Result<Manifest, TreeError> {
    const ATTEMPTS: u32 = 5;
    let mut attempt = 1;
    loop {
        match of(tree, &scan(tree)?, hashes) {
            Err(error) if error.is_gone() && attempt < ATTEMPTS => attempt += 1,
            taken => return taken,
        }
    }
}

fn of(tree: &Tree, listing: &Listing, hashes: &Hashes) -> Result<Manifest, TreeError> {
    let items = listing.iter().map(|entry| {
        let read = match &entry.node {
            Node::File(stamp) => Some(hashes.of(tree, &entry.path, *stamp)?),
            _ => None,
        };
        Ok(item(entry, read))
    });
    Ok(Manifest {
        items: items.collect::<Result<_, TreeError>>()?,
    })
}

/// An entry with what was read of it.
pub(crate) fn item(entry: &Entry, read: Option<(Stamp, Sha)>) -> Item {
    let content = match (&entry.node, read) {
        (Node::Link(target), _) => Content::Link(target.clone()),
        (Node::File(_), Some((stamp, sha))) => Content::File(stamp.size, sha),
        (Node::File(stamp), None) => Content::File(stamp.size, [0; 32]),
        (Node::Folder, _) => Content::Folder,
    };
    Item {
        path: entry.path.clone(),
        mode: entry.mode,
        content,
    }
}

impl Manifest {
    /// SHA-256 over all entries, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        let mut field = |kind: u8, bytes: &[u8]| {
            hash.update([kind]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        for item in &self.items {
            field(b'p', item.path.as_os_str().as_bytes());
            field(b'm', &item.mode.to_be_bytes());
            match &item.content {
                Content::Folder => field(b'd', &[]),
                Content::File(size, sha) => {
                    field(b's', &size.to_be_bytes());
                    field(b'f', sha);
                }
                Content::Link(target) => field(b'l', target.as_os_str().as_bytes()),
            }
        }
        hex::encode(hash.finalize())
    }

    /// The entries that this one lacks or has with other content.
    #[must_use]
    pub fn lacks<'a>(&self, other: &'a Self) -> Vec<(&'a Item, Lack)> {
        let here: BTreeMap<&OsStr, &Content> = (self.items.iter())
            .map(|item| (item.path.as_os_str(), &item.content))
            .collect();
        let compare = |item: &'a Item| match here.get(item.path.as_os_str()) {
            None => Some((item, Lack::Absent)),
            Some(content) if **content != item.content => Some((item, Lack::Differs)),
            Some(_) => None,
        };
        other.items.iter().filter_map(compare).collect()
    }

    /// Bytes in all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let sizes = self.items.iter().map(|item| match item.content {
            Content::File(size, _) => size,
            _ => 0,
        });
        sizes.sum()
    }
}
