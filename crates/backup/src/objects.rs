//! A container of somebody else's objects as a source. Names with slashes become folders; a name that cannot be a path is
//! an entry that cannot be read, so the snapshot says that it is missing.
//! Must not know which service has them.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read},
    path::Path,
    sync::{Arc, mpsc},
    time::UNIX_EPOCH,
};

use mainstay_storage::{Contents, Found};

use crate::{Entered, Kind, Listed, Meta, Source, Time};

/// How much of an object is asked for at once.
const PIECE: u64 = 8 << 20;
/// The longest name of a file that file systems take.
const LONGEST: usize = 255;

/// The objects of a container.
#[derive(Debug)]
pub struct Objects {
    contents: Arc<dyn Contents>,
    name: String,
}

impl Objects {
    /// All objects; in the snapshot they are in a folder of this name.
    pub fn new(contents: Arc<dyn Contents>, name: impl Into<String>) -> Self {
        Self {
            contents,
            name: name.into(),
        }
    }
}

/// A folder: what names with slashes have in common.
#[derive(Debug, Default)]
pub struct ObjectFolder {
    folders: BTreeMap<OsString, Arc<Self>>,
    objects: BTreeMap<OsString, Entry>,
}

#[derive(Debug)]
enum Entry {
    Object(Found),
    /// There is an object that cannot be a file, and why.
    NoFile(&'static str),
}

/// A folder while it is put together.
#[derive(Default)]
struct Growing {
    folders: BTreeMap<String, Growing>,
    objects: BTreeMap<String, Found>,
}

impl Growing {
    fn below(&mut self, path: &[&str]) -> &mut Self {
        path.iter().fold(self, |folder, part| {
            folder.folders.entry((*part).to_owned()).or_default()
        })
    }

    fn settle(self) -> ObjectFolder {
        let mut folder = ObjectFolder::default();
        for (name, found) in self.objects {
            let (name, entry) = if self.folders.contains_key(&name) {
                let why = "objects lie below its name, so it cannot be a file";
                (format!("{name} (object)"), Entry::NoFile(why))
            } else {
                (name, Entry::Object(found))
            };
            folder.objects.insert(name.into(), entry);
        }
        for (name, inner) in self.folders {
            folder.folders.insert(name.into(), Arc::new(inner.settle()));
        }
        folder
    }
}

/// Whether a part of an object's name can be a file's.
fn plain(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && part.len() <= LONGEST && !part.contains('\0')
}

fn tree(all: Vec<Found>) -> ObjectFolder {
    let mut root = Growing::default();
    let mut odd = Vec::new();
    for found in all {
        // It stands for a folder and holds nothing.
        let marker = found.size == 0 && found.name.ends_with('/');
        let name = if marker {
            found.name.trim_end_matches('/')
        } else {
            &found.name
        };
        let parts: Vec<&str> = name.split('/').collect();
        match parts.split_last() {
            _ if !parts.iter().all(|part| plain(part)) => odd.push(found.name),
            Some(_) if marker => drop(root.below(&parts)),
            Some((last, above)) => {
                let last = (*last).to_owned();
                root.below(above).objects.insert(last, found.clone());
            }
            None => {}
        }
    }
    let mut root = root.settle();
    for (number, name) in odd.into_iter().enumerate() {
        // Readable, and never the name of another entry: no object's name has a slash at that place.
        let shown: String = name.chars().take(60).collect();
        let shown = shown.replace(['/', '\0'], "\u{2215}");
        let entry = Entry::NoFile("its name cannot be a path");
        let key = format!("{shown} (object {number})");
        root.objects.insert(key.into(), entry);
    }
    root
}

/// What tells whether it changed. Without an entity tag, and with times in whole seconds, nothing does: then it is new
/// each time.
fn meta(found: &Found) -> Meta {
    let since = found
        .modified
        .and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    let told = since.filter(|since| found.version.is_some() || since.subsec_nanos() != 0);
    let time = told.map_or_else(Time::now, |since| {
        let secs = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Time::from_parts(secs, i64::from(since.subsec_nanos()))
    });
    let mut meta = Meta::plain(Kind::File, 0o600, time);
    meta.size = found.size;
    if let Some(version) = &found.version {
        // The place for a number that differs when it is another file.
        let mut hasher = DefaultHasher::new();
        version.hash(&mut hasher);
        meta.inode = hasher.finish();
    }
    meta
}

fn folder_meta() -> Meta {
    Meta::plain(Kind::Folder, 0o700, Time::EPOCH)
}

impl ObjectFolder {
    fn object(&self, name: &OsStr) -> io::Result<&Found> {
        match self.objects.get(name) {
            Some(Entry::Object(found)) => Ok(found),
            Some(Entry::NoFile(why)) => Err(io::Error::new(io::ErrorKind::InvalidInput, *why)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Source for Objects {
    type Folder = Arc<ObjectFolder>;
    type Content = Pieces;

    fn enter(&self) -> io::Result<Entered<Self::Folder>> {
        let root = tree(self.contents.all()?);
        Ok(Entered {
            path: Path::new("/").join(&self.name),
            folders: vec![(self.name.clone().into(), folder_meta())],
            folder: Arc::new(root),
        })
    }

    fn list(&self, folder: &Self::Folder) -> io::Result<Vec<Listed>> {
        let listed = |name: &OsString, kind| Listed {
            name: name.clone(),
            kind: Some(kind),
        };
        let folders = folder.folders.keys().map(|name| listed(name, Kind::Folder));
        let objects = folder.objects.keys().map(|name| listed(name, Kind::File));
        Ok(folders.chain(objects).collect())
    }

    fn folder(&self, parent: &Self::Folder, name: &OsStr) -> io::Result<(Self::Folder, Meta)> {
        let found = parent.folders.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok((Arc::clone(found), folder_meta()))
    }

    fn glance(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Meta> {
        folder.object(name).map(meta)
    }

    fn look(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Meta> {
        self.glance(folder, name)
    }

    fn open(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<(Pieces, Meta)> {
        let found = folder.object(name)?;
        let pieces = Pieces {
            contents: Arc::clone(&self.contents),
            found: found.clone(),
            asked: 0,
            piece: Vec::new(),
            at: 0,
            ahead: None,
        };
        Ok((pieces, meta(found)))
    }
}

/// An object's content, asked for in pieces; while one is used, the next is on its way.
#[derive(Debug)]
pub struct Pieces {
    contents: Arc<dyn Contents>,
    found: Found,
    asked: u64,
    piece: Vec<u8>,
    at: usize,
    ahead: Option<mpsc::Receiver<io::Result<Vec<u8>>>>,
}

impl Pieces {
    /// The next piece; an empty one at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let size = self.found.size;
        if self.asked >= size {
            return Ok(Vec::new());
        }
        let len = PIECE.min(size - self.asked);
        if size <= PIECE {
            self.asked = size;
            return self.contents.read(&self.found, 0, size);
        }
        let ahead = self.ahead.get_or_insert_with(|| {
            let (contents, found) = (Arc::clone(&self.contents), self.found.clone());
            let (send, receive) = mpsc::sync_channel(1);
            std::thread::spawn(move || {
                let mut from = 0;
                while from < found.size {
                    let len = PIECE.min(found.size - from);
                    let piece = contents.read(&found, from, len);
                    let over = piece.is_err();
                    // Nobody takes it any more: the backup was stopped.
                    if send.send(piece).is_err() || over {
                        return;
                    }
                    from += len;
                }
            });
            receive
        });
        let piece = ahead.recv().map_err(io::Error::other)??;
        self.asked += len;
        Ok(piece)
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            self.piece = self.next()?;
            self.at = 0;
        }
        let rest = &self.piece[self.at..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::Mutex,
        time::{Duration, SystemTime},
    };

    use mainstay_storage::Memory;

    use super::*;
    use crate::{
        BackupOptions, Finished, Format, Quiet, Repository, RestoreOptions, Wholeness, backup,
        restore,
    };

    /// Objects whose content is their version, again and again.
    #[derive(Debug, Default)]
    struct Shop {
        all: Vec<Found>,
        read: Mutex<Vec<String>>,
    }

    impl Contents for Shop {
        fn all(&self) -> io::Result<Vec<Found>> {
            Ok(self.all.clone())
        }

        fn read(&self, found: &Found, from: u64, len: u64) -> io::Result<Vec<u8>> {
            self.read.lock().unwrap().push(found.name.clone());
            let text = found.version.as_deref().unwrap_or("?").as_bytes();
            let at = |at: u64| text[usize::try_from(at % text.len() as u64).unwrap()];
            Ok((from..from + len).map(at).collect())
        }
    }

    fn found(name: &str, size: u64, version: Option<&str>) -> Found {
        Found {
            name: name.to_owned(),
            size,
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)),
            version: version.map(str::to_owned),
        }
    }

    fn save(repository: &Repository, shop: &Arc<Shop>) -> Finished {
        let contents: Arc<dyn Contents> = Arc::<Shop>::clone(shop);
        let objects = Objects::new(contents, "uploads");
        backup(repository, &objects, &BackupOptions::default(), &Quiet).unwrap()
    }

    #[test]
    fn objects_become_files_and_unchanged_ones_are_not_read_again() {
        let storage = Arc::new(Memory::default());
        let repository = Repository::init(storage, b"sesame", Format::V2).unwrap();
        let large = PIECE * 2 + 5;
        let mut shop = Shop {
            all: vec![
                found("a/b/one", 3, Some("abc")),
                found("a/empty/", 0, None),
                found("large", large, Some("lorem ")),
                found("nothing", 0, Some("x")),
                found("untagged", 4, None),
                found("ünïcode und Leerzeichen", 2, Some("u")),
            ],
            ..Shop::default()
        };
        let first = save(&repository, &Arc::new(shop));
        assert_eq!(first.problems, []);
        let folder = tempfile::tempdir().unwrap();
        let options = RestoreOptions {
            path: Some("/uploads".into()),
            ..RestoreOptions::default()
        };
        let into = folder.path().join("restored");
        let restored = restore(&repository, &first.snapshot, &into, &options, &Quiet).unwrap();
        assert_eq!(restored.missing, []);
        assert_eq!(fs::read(into.join("a/b/one")).unwrap(), b"abc");
        assert!(into.join("a/empty").is_dir());
        assert_eq!(fs::read(into.join("nothing")).unwrap(), b"");
        assert_eq!(
            fs::read(into.join("ünïcode und Leerzeichen")).unwrap(),
            b"uu"
        );
        let read = fs::read(into.join("large")).unwrap();
        assert_eq!(read.len() as u64, large);
        assert!(
            read.iter()
                .zip(b"lorem ".iter().cycle())
                .all(|(a, b)| a == b)
        );

        shop = Shop {
            all: vec![
                found("a/b/one", 3, Some("xyz")),
                found("large", large, Some("lorem ")),
                found("untagged", 4, None),
            ],
            ..Shop::default()
        };
        let shop = Arc::new(shop);
        save(&repository, &shop);
        let mut read = shop.read.lock().unwrap().clone();
        read.sort();
        assert_eq!(read, ["a/b/one", "untagged"]);
    }

    #[test]
    fn an_object_that_cannot_be_a_file_is_missing_by_name() {
        let storage = Arc::new(Memory::default());
        let repository = Repository::init(storage, b"sesame", Format::V2).unwrap();
        let shop = Shop {
            all: vec![
                found("../up", 1, Some("x")),
                found("a", 1, Some("x")),
                found("a/b", 1, Some("x")),
                found("c//d", 1, Some("x")),
            ],
            ..Shop::default()
        };
        let finished = save(&repository, &Arc::new(shop));
        assert_eq!(finished.snapshot.wholeness(), Wholeness::Incomplete);
        let named: Vec<String> = finished
            .problems
            .iter()
            .map(|problem| problem.path.display().to_string())
            .collect();
        assert_eq!(named.len(), 3, "{named:?}");
        assert!(named.iter().any(|name| name.contains("a (object)")));
    }
}
