//! What damaged blobs take away: which paths of which snapshots.
//! Must not know how the damage was found.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{run::Affected, trees};
use crate::{BlobKind, Id, Index, Repository, Snapshot};

/// Lists every path that a damaged blob is part of.
pub(crate) fn affected(
    repository: &Repository,
    index: &Index,
    snapshots: &[(Id, Snapshot)],
    damaged: &HashSet<(BlobKind, Id)>,
) -> Vec<Affected> {
    if damaged.is_empty() {
        return Vec::new();
    }
    let mut search = Search {
        repository,
        index,
        damaged,
        known: HashMap::new(),
    };
    let mut all = Vec::new();
    for (id, snapshot) in snapshots {
        for path in search.tree(snapshot.tree, 0) {
            let path = Path::new("/").join(path);
            all.push(Affected {
                snapshot: *id,
                path,
            });
        }
    }
    all.sort();
    all
}

struct Search<'a> {
    repository: &'a Repository,
    index: &'a Index,
    damaged: &'a HashSet<(BlobKind, Id)>,
    /// Trees that were looked at already, with the paths below them that are affected.
    known: HashMap<Id, Vec<PathBuf>>,
}

/// Deeper than any path that a system takes.
const DEEPEST: u32 = 2048;

impl Search<'_> {
    fn tree(&mut self, id: Id, depth: u32) -> Vec<PathBuf> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let mut paths = Vec::new();
        let nodes = trees::read(self.repository, self.index, id);
        match nodes {
            // All that is below it.
            Err(_) => paths.push(PathBuf::new()),
            Ok(_) if depth > DEEPEST => paths.push(PathBuf::new()),
            Ok(nodes) => {
                for node in nodes {
                    let name = Path::new(OsStr::from_bytes(&node.name));
                    let lost = |id: &Id| self.damaged.contains(&(BlobKind::Data, *id));
                    if node.content.iter().any(lost) {
                        paths.push(name.to_path_buf());
                    }
                    for below in node
                        .subtree
                        .map_or(Vec::new(), |id| self.tree(id, depth + 1))
                    {
                        // A path that is empty is the folder itself; joined, it would end with a slash.
                        let path = if below.as_os_str().is_empty() {
                            name.to_path_buf()
                        } else {
                            name.join(below)
                        };
                        paths.push(path);
                    }
                }
            }
        }
        self.known.insert(id, paths.clone());
        paths
    }
}
