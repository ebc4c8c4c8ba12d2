//! A repository of several packs in memory, and ways to damage it.

use std::{fs, path::Path, sync::Arc};

use mainstay_backup::{
    BackupOptions, Checked, Depth, Files, Format, Id, Quiet, Repository, RestoreOptions, backup,
    check, restore,
};
use mainstay_storage::{Memory, ObjectName, Part, Storage};
use tempfile::TempDir;

use crate::tree::{noise, seen};

pub(crate) use crate::program::PASSWORD;

/// A repository with three snapshots of a source that changed.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) held: Arc<Memory>,
    pub(crate) repository: Repository,
    /// Each snapshot, and what the source looked like.
    pub(crate) made: Vec<(Id, String)>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let held = Arc::new(Memory::default());
        let storage: Arc<dyn Storage> = Arc::<Memory>::clone(&held);
        let repository = Repository::init(storage, PASSWORD.as_bytes(), Format::V2).unwrap();
        let mut fixture = Self {
            folder,
            held,
            repository,
            made: Vec::new(),
        };
        for turn in 0..3 {
            fixture.back_up(turn);
        }
        fixture
    }

    pub(crate) fn source(&self) -> std::path::PathBuf {
        self.folder.path().join("source")
    }

    /// Changes the source and backs it up.
    pub(crate) fn back_up(&mut self, turn: u64) {
        self.change(turn);
        self.back_up_unchanged();
    }

    fn change(&self, turn: u64) {
        let root = self.source();
        fs::create_dir_all(root.join("in/side")).unwrap();
        fs::write(root.join(format!("own {turn}")), noise(turn, 2000)).unwrap();
        fs::write(root.join("in/changing"), noise(turn + 100, 900)).unwrap();
        fs::write(root.join("in/side/same"), "the same ".repeat(99)).unwrap();
    }

    /// Backs the source up as it is.
    pub(crate) fn back_up_unchanged(&mut self) {
        let root = self.source();
        let files = Files::new(&root).unwrap();
        let done = backup(&self.repository, &files, &BackupOptions::default(), &Quiet).unwrap();
        assert_eq!(done.problems, []);
        self.made.push((done.id, shown(&root)));
    }

    /// Another container with the same objects.
    pub(crate) fn copy(&self) -> Memory {
        Memory::clone(&self.held)
    }

    /// The repository in another container.
    pub(crate) fn on<S: Storage + 'static>(&self, storage: &Arc<S>) -> Repository {
        let storage: Arc<dyn Storage> = Arc::<S>::clone(storage);
        self.repository.on(storage)
    }

    pub(crate) fn packs(&self) -> Vec<Id> {
        ids(&*self.held, "data")
    }

    /// Every snapshot comes back whole, and equals what it was made of.
    pub(crate) fn assert_whole(&self, repository: &Repository) {
        let snapshots = repository.snapshots().unwrap();
        assert_eq!(snapshots.len(), self.made.len());
        for (id, then) in &self.made {
            let into = tempfile::tempdir().unwrap();
            let options = RestoreOptions {
                path: Some(self.source()),
                ..RestoreOptions::default()
            };
            let snapshot = repository.snapshot(*id).unwrap();
            let done = restore(repository, &snapshot, into.path(), &options, &Quiet).unwrap();
            assert_eq!(done.missing, []);
            assert_eq!(&shown(into.path()), then);
        }
    }
}

pub(crate) fn shown(path: &Path) -> String {
    format!("{:?}", seen(path))
}

pub(crate) fn checked(repository: &Repository) -> Checked {
    check(repository, Depth::ReadData, &Quiet).unwrap()
}

/// The names of all objects below a folder.
pub(crate) fn names(held: &dyn Storage, folder: &str) -> Vec<ObjectName> {
    let listed = held.list(&ObjectName::new(folder).unwrap()).unwrap();
    listed.into_iter().map(|object| object.name).collect()
}

pub(crate) fn ids(held: &dyn Storage, folder: &str) -> Vec<Id> {
    let names = names(held, folder);
    names
        .iter()
        .map(|name| name.last().parse().unwrap())
        .collect()
}

pub(crate) fn bytes(held: &dyn Storage, name: &ObjectName) -> Vec<u8> {
    let mut bytes = Vec::new();
    held.read(name, Part::Whole, &mut bytes).unwrap();
    bytes
}

pub(crate) fn pack_name(id: Id) -> ObjectName {
    let text = id.to_string();
    ObjectName::new(format!("data/{}/{text}", &text[..2])).unwrap()
}

/// Changes one bit of an object.
pub(crate) fn flip(held: &dyn Storage, name: &ObjectName, at: usize) {
    let mut bytes = bytes(held, name);
    bytes[at] ^= 1;
    held.write(name, &bytes).unwrap();
}
