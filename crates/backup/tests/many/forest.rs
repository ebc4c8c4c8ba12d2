//! Small files without a disk: a hundred to a folder, a hundred folders to a folder.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Cursor},
    path::PathBuf,
};

use mainstay_backup::{Entered, Kind, Listed, Meta, Source, Time};

/// How long each file is.
pub(crate) const LENGTH: usize = 200;
/// How many entries a folder has at most.
const WIDE: u64 = 100;

/// So many small files.
pub(crate) struct Forest {
    files: u64,
}

impl Forest {
    pub(crate) fn new(files: u64) -> Self {
        Self { files }
    }
}

/// Files from one number to another.
pub(crate) struct Part {
    from: u64,
    to: u64,
}

impl Part {
    /// How many files each entry of the folder stands for.
    fn step(&self) -> u64 {
        let mut step = 1;
        while step * WIDE < self.to - self.from {
            step *= WIDE;
        }
        step
    }
}

fn number(name: &OsStr) -> io::Result<u64> {
    let number = name.to_str().and_then(|name| name[1..].parse().ok());
    number.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn meta(kind: Kind, inode: u64) -> Meta {
    let mut meta = Meta::plain(kind, 0o644, Time::EPOCH.plus_secs(1_000_000_000));
    meta.inode = inode + 1;
    if kind == Kind::File {
        meta.size = LENGTH as u64;
    }
    meta
}

impl Source for Forest {
    type Folder = Part;
    type Content = Cursor<Vec<u8>>;

    fn enter(&self) -> io::Result<Entered<Part>> {
        Ok(Entered {
            path: PathBuf::from("/forest"),
            folders: vec![("forest".into(), meta(Kind::Folder, u64::MAX / 2))],
            folder: Part {
                from: 0,
                to: self.files,
            },
        })
    }

    fn list(&self, folder: &Part) -> io::Result<Vec<Listed>> {
        let step = folder.step();
        let (kind, letter) = if step == 1 {
            (Kind::File, 'f')
        } else {
            (Kind::Folder, 'd')
        };
        let entry = |number| Listed {
            name: OsString::from(format!("{letter}{number}")),
            kind: Some(kind),
        };
        let steps = (folder.from..folder.to).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        Ok(steps.map(entry).collect())
    }

    fn folder(&self, parent: &Part, name: &OsStr) -> io::Result<(Part, Meta)> {
        let from = number(name)?;
        let to = parent.to.min(from + parent.step());
        Ok((
            Part { from, to },
            meta(Kind::Folder, from + (1 << 40) * parent.step()),
        ))
    }

    fn glance(&self, _: &Part, name: &OsStr) -> io::Result<Meta> {
        Ok(meta(Kind::File, number(name)?))
    }

    fn look(&self, folder: &Part, name: &OsStr) -> io::Result<Meta> {
        self.glance(folder, name)
    }

    fn open(&self, _: &Part, name: &OsStr) -> io::Result<(Cursor<Vec<u8>>, Meta)> {
        let number = number(name)?;
        // No two are the same, and none can be compressed.
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bytes = (0..LENGTH).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()[7]
        });
        Ok((Cursor::new(bytes.collect()), meta(Kind::File, number)))
    }
}
