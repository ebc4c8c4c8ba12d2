//! A tree with every sort of entry that this user may make.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::{FileType, Mode, XattrFlags, fsetxattr, mknodat};

use crate::tree::noise;

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
