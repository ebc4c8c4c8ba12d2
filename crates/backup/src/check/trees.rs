//! The trees: each can be read, and leads only to what is there.
//! Must not know packs.

use std::collections::HashSet;

use super::run::Found;
use crate::{BackupError, BlobKind, Id, Index, Kind, Node, Repository, Snapshot, tree};

/// Reads one tree.
pub(crate) fn read(
    repository: &Repository,
    index: &Index,
    id: Id,
) -> Result<Vec<Node>, BackupError> {
    let json = repository.blob(index, BlobKind::Tree, id)?;
    tree::nodes(&json).map_err(|how| BackupError::BadBlob {
        kind: BlobKind::Tree,
        id,
        how,
    })
}

/// Walks every tree of every snapshot once.
pub(crate) fn walk(
    repository: &Repository,
    index: &Index,
    snapshots: &[(Id, Snapshot)],
    found: &mut Found,
) {
    let mut known = HashSet::new();
    let mut open: Vec<Id> = snapshots
        .iter()
        .map(|(_, snapshot)| snapshot.tree)
        .collect();
    while let Some(id) = open.pop() {
        if !known.insert(id) {
            continue;
        }
        match read(repository, index, id) {
            Ok(nodes) => {
                for node in nodes {
                    entry(index, id, &node, found);
                    open.extend(node.subtree);
                }
            }
            Err(error) => {
                found.damage(format!("tree {id}"), error);
                found.blobs.insert((BlobKind::Tree, id));
            }
        }
    }
}

fn entry(index: &Index, tree: Id, node: &Node, found: &mut Found) {
    let subject = || {
        format!(
            "tree {tree}, entry {:?}",
            String::from_utf8_lossy(&node.name)
        )
    };
    if !node.has_safe_name() {
        found.damage(subject(), "its name would lead elsewhere");
    }
    if node.meta.kind == Kind::Folder && node.subtree.is_none() {
        found.damage(subject(), "the folder has no tree");
    }
    let mut size = 0;
    for id in &node.content {
        let Some(place) = index.find(BlobKind::Data, id) else {
            found.damage(subject(), format!("no index lists its part {id}"));
            found.blobs.insert((BlobKind::Data, *id));
            return;
        };
        size += place.plain_length();
    }
    if node.meta.kind == Kind::File && size != node.meta.size {
        let how = format!("its parts have {size} bytes, it says {}", node.meta.size);
        found.damage(subject(), how);
    }
}
