//! Opens a database: to look without leaving a trace, or to change it. Says which file it is.
//! Must not know what is in it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

/// How long a statement waits for somebody else's transaction.
const BUSY: Duration = Duration::from_secs(5);

/// Closing any descriptor of a file drops this process's POSIX locks on it, SQLite's included. So the
/// header of a database is read directly only while no connection of these drivers may change it.
static CHANGING: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// Counts a connection for changes while it is open.
struct Changing(PathBuf);

impl Changing {
    fn begin(path: &Path) -> Self {
        let mut changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        *changing.entry(path.to_path_buf()).or_default() += 1;
        Self(path.to_path_buf())
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        let mut changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = changing.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                changing.remove(&self.0);
            }
        }
    }
}

/// An open connection that may hold locks.
pub(super) struct Held {
    pub(super) db: Connection,
    _changing: Changing,
}

/// Opens for changes; the file must exist.
pub(super) fn to_change(path: &Path) -> rusqlite::Result<Held> {
    let changing = Changing::begin(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    settle(&db)?;
    Ok(Held {
        db,
        _changing: changing,
    })
}

/// Creates the file if it is not there.
pub(super) fn to_create(path: &Path) -> rusqlite::Result<Held> {
    let changing = Changing::begin(path);
    let db = Connection::open(path)?;
    settle(&db)?;
    Ok(Held {
        db,
        _changing: changing,
    })
}

fn settle(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "synchronous", "FULL")
}

/// Opens to look. A database in WAL mode whose log is empty is opened as immutable: otherwise SQLite would
/// leave a log beside it, and looking must not change anything.
pub(super) fn to_look(path: &Path) -> rusqlite::Result<Connection> {
    let mode = if log_bytes(path) == 0 && in_wal_mode(path) {
        "mode=ro&immutable=1"
    } else {
        "mode=ro"
    };
    let escaped = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(format!("file:{escaped}?{mode}"), flags)?;
    db.busy_timeout(BUSY)?;
    Ok(db)
}

/// Byte 18 of the header is 2 for a database in WAL mode (<https://sqlite.org/fileformat2.html>).
pub(super) fn in_wal_mode(path: &Path) -> bool {
    let changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    if changing.contains_key(path) {
        return false;
    }
    let mut header = [0_u8; 19];
    fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut header))
        .is_ok_and(|()| header[18] == 2)
}

/// A file that SQLite keeps beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn log_bytes(path: &Path) -> u64 {
    fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len())
}

/// Which content a path had at a moment. Equal stamps mean equal content, except within the clock's tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    file: (u64, u64, i64),
    log: Option<(u64, u64, i64)>,
}

/// The stamp of a database and its log.
pub(super) fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let of =
        |path: &Path| fs::metadata(path).map(|file| (file.ino(), file.len(), nanoseconds(&file)));
    Ok(Stamp {
        file: of(path)?,
        log: of(&beside(path, "-wal")).ok(),
    })
}

impl Stamp {
    /// When the content was changed last, in nanoseconds since 1970.
    pub(super) fn changed(&self) -> i64 {
        self.file.2.max(self.log.map_or(0, |log| log.2))
    }
}

/// When a file's content was changed last, in nanoseconds since 1970.
pub(super) fn nanoseconds(file: &fs::Metadata) -> i64 {
    file.mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(file.mtime_nsec())
}
