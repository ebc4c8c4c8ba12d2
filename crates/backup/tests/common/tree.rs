//! A tree with every sort of entry, and all that can be seen of one.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FileType, Mode, XattrFlags, fgetxattr, flistxattr, fsetxattr, mknodat};

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

/// Makes a tree with every sort of entry that this user may make.
pub(crate) fn plant(root: &Path) {
    fs::create_dir_all(root.join("deep/er/still")).unwrap();
    fs::create_dir(root.join("hollow")).unwrap();
    fs::write(root.join("large"), noise(1, 5_000_000)).unwrap();
    fs::write(
        root.join("text"),
        "many words again and again\n".repeat(50_000),
    )
    .unwrap();
    fs::write(root.join("nothing"), "").unwrap();
    for number in 0..150 {
        let name = format!("deep/er/{number:03}");
        fs::write(root.join(name), noise(number, 2000)).unwrap();
    }
    fs::hard_link(root.join("text"), root.join("deep/same text")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(9_000_000).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"middle", 4_000_001).unwrap();
    symlink("../text", root.join("deep/link")).unwrap();
    symlink("nowhere/at all", root.join("dangling")).unwrap();
    let odd: [&[u8]; 6] = [
        b"\xff\xfe",
        b"new\nline",
        b"\"quoted\\\"",
        "\u{fc}\u{2028}".as_bytes(),
        b"<&>",
        b" ",
    ];
    for name in odd {
        fs::write(root.join("deep").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let folder = fs::File::open(root).unwrap();
    mknodat(&folder, "pipe", FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    attribute(&root.join("text"), "user.note", b"hello\0world");
    attribute(&root.join("hollow"), "user.empty", b"");
    mode(&root.join("text"), 0o640);
    mode(&root.join("large"), 0o4755);
    mode(&root.join("hollow"), 0o1777);
    mode(&root.join("nothing"), 0o400);
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for name in ["text", "deep/er/001", "hollow", "deep"] {
        fs::File::open(root.join(name))
            .unwrap()
            .set_modified(then)
            .unwrap();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    let file = fs::File::open(path).unwrap();
    match fsetxattr(&file, name, value, XattrFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
        Err(error) => panic!("{error}"),
    }
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
        text = format!("{:?}", fs::read_link(&full).unwrap());
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
