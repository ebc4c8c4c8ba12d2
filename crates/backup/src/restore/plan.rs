//! What a restore has to do: every folder and file of the snapshot by its place, and every blob by its pack, so that
//! each pack is read once and in order.
//! Must not know the target.

use std::{
    collections::HashMap,
    ffi::OsStr,
    ops::Range,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use super::target::shown;
use crate::{
    Attribute, BackupError, BlobKind, Id, Index, Kind, Meta, Node, Problem, Repository, Snapshot,
    Time, index::Place, tree,
};

/// Deeper than any path that a system takes.
const DEEPEST: usize = 2048;

/// What an entry is given besides its content.
pub(super) struct Facts {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) modified: Time,
    pub(super) attributes: Option<Box<[Attribute]>>,
}

impl Facts {
    fn of(meta: &mut Meta) -> Self {
        let attributes = std::mem::take(&mut meta.attributes);
        Self {
            mode: meta.mode,
            owner: (meta.uid, meta.gid),
            modified: meta.modified,
            attributes: (!attributes.is_empty()).then(|| attributes.into()),
        }
    }
}

/// A file to restore.
pub(super) struct FileJob {
    pub(super) path: PathBuf,
    pub(super) facts: Facts,
    pub(super) size: u64,
    /// Its blobs, as far as they are to be fetched: where each goes in the file.
    pub(super) blobs: Box<[Id]>,
}

/// What is neither file nor folder.
pub(super) struct OtherJob {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) facts: Facts,
    pub(super) target: Vec<u8>,
    pub(super) device: u64,
}

/// All that has to be done.
#[derive(Default)]
pub(super) struct Plan {
    /// Outer folders before inner ones. The folder restored to has the empty path.
    pub(super) folders: Vec<(PathBuf, Facts)>,
    pub(super) files: Vec<FileJob>,
    pub(super) others: Vec<OtherJob>,
    /// A further name, and the name of the file that it is one of.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    pub(super) problems: Vec<Problem>,
    /// Files with several names by inode: where the first name is.
    several: HashMap<(u64, u64), PathBuf>,
}

impl Plan {
    fn problem(&mut self, path: &Path, why: impl Into<String>) {
        let (path, why) = (shown(path), why.into());
        self.problems.push(Problem { path, why });
    }
}

/// Looks up what the snapshot has at a path. Trees on the way there must be readable; below, what is not is a problem.
pub(super) fn plan(
    repository: &Repository,
    index: &Index,
    snapshot: &Snapshot,
    path: Option<&Path>,
) -> Result<Plan, BackupError> {
    let mut plan = Plan::default();
    let mut tree = snapshot.tree;
    let mut folder = None;
    for part in path.unwrap_or(Path::new("/")).components() {
        let name = match part {
            Component::Normal(name) => name,
            Component::RootDir | Component::CurDir => continue,
            Component::ParentDir | Component::Prefix(_) => return Err(nowhere(path)),
        };
        let nodes = read(repository, index, tree)?;
        let node = nodes.into_iter().find(|node| node.name == name.as_bytes());
        let mut node = node.ok_or_else(|| nowhere(path))?;
        match node.subtree {
            Some(subtree) if node.meta.kind == Kind::Folder => {
                tree = subtree;
                folder = Some(Facts::of(&mut node.meta));
            }
            _ if path.and_then(Path::file_name) == Some(name) => {
                plan.entry(Path::new(""), node);
                return Ok(plan);
            }
            _ => return Err(nowhere(path)),
        }
    }
    if let Some(facts) = folder {
        plan.folders.push((PathBuf::new(), facts));
    }
    plan.below(repository, index, tree);
    Ok(plan)
}

fn nowhere(path: Option<&Path>) -> BackupError {
    BackupError::NoPath {
        path: path.unwrap_or(Path::new("/")).to_path_buf(),
    }
}

fn read(repository: &Repository, index: &Index, id: Id) -> Result<Vec<Node>, BackupError> {
    let json = repository.blob(index, BlobKind::Tree, id)?;
    tree::nodes(&json).map_err(|how| BackupError::BadBlob {
        kind: BlobKind::Tree,
        id,
        how,
    })
}

impl Plan {
    /// Everything below a tree. The trees above are remembered, so that one that holds itself ends.
    fn below(&mut self, repository: &Repository, index: &Index, tree: Id) {
        let mut open = vec![(PathBuf::new(), tree, 0)];
        while let Some((path, tree, depth)) = open.pop() {
            // A tree is named by its hash and cannot hold itself; a chain of them can still be endless for us.
            if depth > DEEPEST {
                self.problem(&path, "it lies too deep");
                continue;
            }
            let mut nodes = match read(repository, index, tree) {
                Ok(nodes) => nodes,
                Err(error) => {
                    self.problem(&path, error.to_string());
                    continue;
                }
            };
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            let mut last: Option<Vec<u8>> = None;
            let mut inner = Vec::new();
            for node in nodes {
                let shown = path.join(String::from_utf8_lossy(&node.name).replace('/', "\u{2215}"));
                if !node.has_safe_name() {
                    self.problem(&shown, "its name would lead elsewhere");
                } else if last.as_ref() == Some(&node.name) {
                    self.problem(&shown, "the folder has two entries of this name");
                } else {
                    last = Some(node.name.clone());
                    if let Some(next) = self.entry(&path, node) {
                        inner.push((next.0, next.1, depth + 1));
                    }
                }
            }
            open.extend(inner.into_iter().rev());
        }
    }

    /// Adds one entry and answers a folder to go into.
    fn entry(&mut self, folder: &Path, mut node: Node) -> Option<(PathBuf, Id)> {
        let path = folder.join(OsStr::from_bytes(&node.name));
        let facts = Facts::of(&mut node.meta);
        let meta = node.meta;
        match meta.kind {
            Kind::Folder => {
                self.folders.push((path.clone(), facts));
                match node.subtree {
                    Some(subtree) => return Some((path, subtree)),
                    None => self.problem(&path, "the folder has no tree"),
                }
            }
            Kind::File => {
                if meta.links > 1 && meta.inode != 0 {
                    let key = (meta.device_id, meta.inode);
                    if let Some(first) = self.several.get(&key) {
                        self.links.push((path, first.clone()));
                        return None;
                    }
                    self.several.insert(key, path.clone());
                }
                let (size, blobs) = (meta.size, node.content.into());
                self.files.push(FileJob {
                    path,
                    facts,
                    size,
                    blobs,
                });
            }
            kind => self.others.push(OtherJob {
                path,
                kind,
                facts,
                target: meta.target,
                device: meta.device,
            }),
        }
        None
    }
}

/// Where a blob goes: which file, and where in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub(super) file: u32,
    pub(super) at: u64,
}

/// A part of a file to fetch: a blob, and where it goes. A blob with several uses is fetched once: its uses follow
/// each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetch {
    pub(super) id: Id,
    pub(super) place: Place,
    pub(super) goes: Use,
}

/// A stretch of a pack that is read at once.
pub(super) struct Stretch {
    pub(super) pack: Id,
    pub(super) from: u64,
    pub(super) len: u64,
    /// Which of the parts lie in it.
    pub(super) parts: Range<usize>,
}

/// A stretch grows to this, unless one blob alone is longer.
const STRETCH: u64 = 4 << 20;
/// So much that nobody needs is read rather than begun anew after.
const GAP: u64 = 64 << 10;

/// Orders parts by where their blobs are.
pub(super) fn stretches(index: &Index, parts: &mut [Fetch]) -> Vec<Stretch> {
    let order = |one: &Fetch| {
        let Use { file, at } = one.goes;
        (one.place.pack, one.place.offset, one.id, file, at)
    };
    parts.sort_unstable_by_key(order);
    let mut stretches: Vec<Stretch> = Vec::new();
    for (number, blob) in parts.iter().enumerate() {
        let Some(pack) = index.pack(blob.place.pack) else {
            continue;
        };
        let (from, len) = (u64::from(blob.place.offset), u64::from(blob.place.length));
        let end = from + len;
        match stretches.last_mut() {
            Some(last)
                if last.pack == pack
                    && from <= last.from + last.len + GAP
                    && end.saturating_sub(last.from) <= STRETCH =>
            {
                last.len = last.len.max(end - last.from);
                last.parts.end = number + 1;
            }
            _ => stretches.push(Stretch {
                pack,
                from,
                len,
                parts: number..number + 1,
            }),
        }
    }
    stretches
}
