//! Bytes to fill files with, and all that can be seen of a tree.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{fgetxattr, flistxattr};

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(next).collect()
}

/// Everything that a user can see of a tree, by path.
pub(crate) fn seen(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut several: BTreeMap<u64, PathBuf> = BTreeMap::new();
    look(root, Path::new(""), &mut all, &mut several);
    all
}

fn look(
    root: &Path,
    path: &Path,
    all: &mut BTreeMap<PathBuf, String>,
    several: &mut BTreeMap<u64, PathBuf>,
) {
    let full = root.join(path);
    let meta = fs::symlink_metadata(&full).unwrap();
    let sort = meta.file_type();
    let (mut text, mut attributes) = (String::new(), Vec::new());
    if sort.is_file() || sort.is_dir() {
        attributes = attributes_of(&full);
    }
    if sort.is_file() {
        let hash = mainstay_backup::Id::of(&fs::read(&full).unwrap());
        let first = several
            .entry(meta.ino())
            .or_insert_with(|| path.to_path_buf());
        text = format!("{hash} first at {}", first.display());
    } else if sort.is_symlink() {
        text = fs::read_link(&full).unwrap().display().to_string();
    } else if sort.is_char_device() || sort.is_block_device() {
        text = meta.rdev().to_string();
    }
    let times = (meta.mtime(), meta.mtime_nsec());
    let line = format!(
        "{:o} {}:{} {times:?} {attributes:?} {text}",
        meta.mode(),
        meta.uid(),
        meta.gid()
    );
    all.insert(path.to_path_buf(), line);
    if sort.is_dir() {
        for entry in fs::read_dir(&full).unwrap() {
            look(root, &path.join(entry.unwrap().file_name()), all, several);
        }
    }
}

fn attributes_of(path: &Path) -> Vec<(String, Vec<u8>)> {
    let file = fs::File::open(path).unwrap();
    let mut room = vec![0; 4096];
    let length = flistxattr(&file, &mut room[..]).unwrap_or(0);
    let names = room[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let mut all = Vec::new();
    for name in names {
        let mut value = vec![0; 4096];
        let length = fgetxattr(&file, name, &mut value[..]).unwrap();
        value.truncate(length);
        all.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    all.sort();
    all
}
