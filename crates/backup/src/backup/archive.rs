//! A backup of what is told entry by entry, in the order of whoever tells it: the members of a tar stream, say, or
//! entries that the repository has already beside new ones. The teller's thread reads and cuts, others hash and store.
//! Must not know who tells.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path},
    sync::Arc,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    BackupOptions, Finished,
    folder::{Chunk, Chunks, tree},
    run::{Read as Done, commit, parent, snapshot},
};
use crate::{
    BackupError, BlobKind, Id, Index, Kind, Lock, Meta, Node, Progress, Repository, Sharing, Time,
    chunk::{AtEnd, Chunker, LONGEST},
    node::{Leads, write_node},
    saver::{Hand, Saver, Stopped, with_saver},
};

/// How much is read before it is cut; it grows while no cut is in sight.
const WINDOW: usize = 2 << 20;
/// How many chunks wait for a thread at most.
const WAITING: usize = 8;
/// Deeper than any path that a system takes.
const DEEPEST: usize = 2048;

/// Takes the entries of a backup. Paths are absolute; folders that are not told are made up.
pub struct Archive<'a> {
    name: String,
    saver: &'a Saver<'a>,
    index: &'a Index,
    progress: &'a dyn Progress,
    chunker: Chunker,
    chunks: Sender<Chunk>,
    window: Vec<u8>,
    root: Folder,
    entries: u64,
    bytes: u64,
    kept: u64,
}

struct Folder {
    meta: Meta,
    items: BTreeMap<Vec<u8>, Item>,
}

enum Item {
    Folder(Folder),
    File(Meta, Arc<Chunks>),
    Kept(Meta, Vec<Id>),
}

/// Backs up what `tell` tells. It answers further tags, known only at the end; whatever goes wrong, there is no snapshot.
pub fn archive(
    repository: &Repository,
    name: &Path,
    options: &BackupOptions,
    progress: &dyn Progress,
    tell: impl FnOnce(&mut Archive<'_>) -> Result<Vec<String>, BackupError>,
) -> Result<Finished, BackupError> {
    let path = name.display().to_string();
    let mut snapshot = snapshot(&path, options);
    let lock = Lock::take(repository, Sharing::Shared)?;
    let parent = parent(repository, options.parent, &snapshot.hostname, &path)?;
    snapshot.parent = parent.map(|(id, _)| id);
    let index = repository.index()?;
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or_else(processors).max(1);
    let ((done, tags), stored) = with_saver(repository, &index, &lock, progress, |saver| {
        let (chunks, work) = bounded(WAITING);
        let archive = Archive {
            name: path.clone(),
            saver,
            index: &index,
            progress,
            chunker: Chunker::new(&repository.secret()),
            chunks,
            window: Vec::new(),
            root: Folder::new(),
            entries: 0,
            bytes: 0,
            kept: 0,
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let work = work.clone();
                scope.spawn(move || {
                    if store_all(saver, &work, progress).is_err() {
                        // The others and the teller find out by asking the saver; nobody waits for room.
                        for _ in work {}
                    }
                });
            }
            drop(work);
            archive.told(tell)
        })
        .and_then(|told| told.finish(saver))
    })?;
    snapshot.tags.extend(tags);
    commit(repository, &lock, snapshot, done, stored)
}

/// Saves chunks until there are no more.
fn store_all(
    saver: &Saver<'_>,
    work: &Receiver<Chunk>,
    progress: &dyn Progress,
) -> Result<(), Stopped> {
    let mut hand = saver.hand()?;
    for chunk in work {
        saver.check()?;
        let id = hand.save(BlobKind::Data, &chunk.bytes)?;
        progress.done(0, chunk.bytes.len() as u64);
        chunk.of.fill(chunk.number, id);
    }
    hand.close()
}

/// Everything that was told, once it is stored.
struct Told {
    root: Folder,
    done: Done,
    tags: Vec<String>,
}

impl Archive<'_> {
    fn told(
        mut self,
        tell: impl FnOnce(&mut Self) -> Result<Vec<String>, BackupError>,
    ) -> Result<Told, Stopped> {
        let tags = tell(&mut self).map_err(|error| self.saver.fail(error))?;
        Ok(Told {
            root: self.root,
            done: Done {
                tree: Id::of(&[]),
                problems: Vec::new(),
                entries: self.entries,
                bytes: self.bytes,
                unchanged: self.kept,
                changing: 0,
            },
            tags,
        })
    }

    /// A folder.
    pub fn folder(&mut self, path: &Path, meta: Meta) -> Result<(), BackupError> {
        let folder = self.place(path)?;
        folder.meta = meta;
        self.count(0);
        Ok(())
    }

    /// A file, read to its end. Answers its length.
    pub fn file(
        &mut self,
        path: &Path,
        mut meta: Meta,
        content: &mut dyn Read,
    ) -> Result<u64, BackupError> {
        let chunks = Arc::new(Chunks::new());
        let mut window = std::mem::take(&mut self.window);
        let size = self.cut(content, &chunks, &mut window);
        self.window = window;
        let size = size?;
        meta.size = size;
        self.put(path, Item::File(meta, chunks))?;
        self.count(size);
        Ok(size)
    }

    /// A file that the repository has already, as an earlier snapshot shows it.
    pub fn keep(&mut self, path: &Path, node: &Node) -> Result<(), BackupError> {
        let kind = BlobKind::Data;
        if let Some(id) = node.content.iter().find(|id| !self.index.has(kind, id)) {
            return Err(BackupError::Missing { kind, id: *id });
        }
        self.put(path, Item::Kept(node.meta.clone(), node.content.clone()))?;
        self.kept += 1;
        self.count(node.meta.size);
        Ok(())
    }

    fn count(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
        self.progress.found(1, bytes);
        self.progress.done(1, 0);
    }

    fn cut(
        &mut self,
        content: &mut dyn Read,
        chunks: &Arc<Chunks>,
        window: &mut Vec<u8>,
    ) -> Result<u64, BackupError> {
        let (mut held, mut size, mut room) = (0, 0, WINDOW);
        loop {
            window.resize(window.len().max(room), 0);
            let end = fill(content, &mut window[..room], &mut held)
                .map_err(|error| self.not_whole(&error))?;
            let mut from = 0;
            while from < held {
                let Some(length) = self.chunker.cut(&window[from..held], end) else {
                    break;
                };
                self.saver
                    .check()
                    .map_err(|Stopped| BackupError::Cancelled)?;
                let chunk = Chunk {
                    of: Arc::clone(chunks),
                    number: chunks.expect(),
                    bytes: window[from..from + length].to_vec(),
                };
                let sent = self.chunks.send(chunk);
                sent.map_err(|_| BackupError::Cancelled)?;
                (from, size) = (from + length, size + length as u64);
            }
            window.copy_within(from..held, 0);
            held -= from;
            if end == AtEnd::Yes {
                return Ok(size);
            }
            if from == 0 {
                room = (room * 2).min(LONGEST);
            }
        }
    }

    fn not_whole(&self, error: &dyn std::fmt::Display) -> BackupError {
        BackupError::NotWhole {
            name: self.name.clone(),
            why: error.to_string(),
        }
    }

    fn put(&mut self, path: &Path, item: Item) -> Result<(), BackupError> {
        let name = path.file_name().map(|name| name.as_bytes().to_vec());
        let name = name.ok_or_else(|| self.not_whole(&"a file needs a name"))?;
        let above = self.place(path.parent().unwrap_or(Path::new("/")))?;
        above.items.insert(name, item);
        Ok(())
    }

    /// The folder at a path, made if it is not there.
    fn place(&mut self, path: &Path) -> Result<&mut Folder, BackupError> {
        let wrong = |name: &str, path: &Path| BackupError::NotWhole {
            name: name.to_owned(),
            why: format!("{} cannot be an entry of it", path.display()),
        };
        if path.components().count() > DEEPEST {
            return Err(wrong(&self.name, path));
        }
        let mut folder = &mut self.root;
        for part in path.components() {
            let name = match part {
                Component::RootDir => continue,
                Component::Normal(name) => name.as_bytes().to_vec(),
                _ => return Err(wrong(&self.name, path)),
            };
            let item = folder.items.entry(name);
            let Item::Folder(next) = item.or_insert_with(|| Item::Folder(Folder::new())) else {
                return Err(wrong(&self.name, path));
            };
            folder = next;
        }
        Ok(folder)
    }
}

impl Told {
    /// Writes the trees, inner ones first.
    fn finish(mut self, saver: &Saver<'_>) -> Result<(Done, Vec<String>), Stopped> {
        let mut hand = saver.hand()?;
        self.done.tree = self.root.save(saver, &mut hand)?;
        hand.close()?;
        Ok((self.done, self.tags))
    }
}

impl Folder {
    fn new() -> Self {
        Self {
            meta: Meta::plain(Kind::Folder, 0o755, Time::EPOCH),
            items: BTreeMap::new(),
        }
    }

    fn save(&self, saver: &Saver<'_>, hand: &mut Hand<'_>) -> Result<Id, Stopped> {
        let mut texts = Vec::new();
        for (name, item) in &self.items {
            if !texts.is_empty() {
                texts.push(b',');
            }
            match item {
                Item::Folder(folder) => {
                    let id = folder.save(saver, hand)?;
                    write_node(name, &folder.meta, Leads::Tree(id), &mut texts);
                }
                Item::Kept(meta, ids) => {
                    write_node(name, meta, Leads::Content(ids), &mut texts);
                }
                // A thread that failed leaves chunks without a number.
                Item::File(_, chunks) if !chunks.is_whole() => {
                    return Err(saver.fail(BackupError::Cancelled));
                }
                Item::File(meta, chunks) => {
                    write_node(name, meta, Leads::Content(&chunks.ids()), &mut texts);
                }
            }
        }
        hand.save(BlobKind::Tree, &tree(&[texts]))
    }
}

/// Reads until the window is full or nothing follows.
fn fill(content: &mut dyn Read, window: &mut [u8], held: &mut usize) -> io::Result<AtEnd> {
    while *held < window.len() {
        match content.read(&mut window[*held..]) {
            Ok(0) => return Ok(AtEnd::Yes),
            Ok(count) => *held += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(AtEnd::NotYet)
}
