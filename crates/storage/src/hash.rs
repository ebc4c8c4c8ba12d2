//! SHA-256 of files, remembered for those that have surely not changed since.
//! Must not know what the hashes are compared with.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::fstat;
use sha2::{Digest as _, Sha256};

use crate::{
    Tree, TreeError,
    scan::{Stamp, stamp},
};

/// File times are only this exact; a file that changed so recently may change again and look the same.
const TICK_NS: i64 = 50_000_000;
/// How often a file that changes while it is read is read again.
const ATTEMPTS: u32 = 5;
/// How much is read at a time.
const PART: usize = 128 * 1024;

/// A file's hash.
pub(crate) type Sha = [u8; 32];

/// Hashes of files by root and path, good while size, times and inode are the same.
#[derive(Debug, Default)]
pub struct Hashes(Mutex<Known>);

/// By the paths' bytes: comparing paths component by component would cost more than everything else that is done for a
/// file that has not changed.
type Known = BTreeMap<OsString, BTreeMap<OsString, (Stamp, Sha)>>;

impl Hashes {
    /// The hash of a file as listed, and the stamp that it had when it was read.
    pub(crate) fn of(
        &self,
        tree: &Tree,
        path: &Path,
        listed: Stamp,
    ) -> Result<(Stamp, Sha), TreeError> {
        let (root, file) = (tree.path().as_os_str(), path.as_os_str());
        let known = |known: &Known| known.get(root)?.get(file).copied();
        if let Some((stamp, sha)) = known(&self.lock())
            && stamp == listed
        {
            return Ok((stamp, sha));
        }
        let began = now_ns();
        let (stamp, sha) = read(tree, path, |_| Ok(()))?;
        if stamp.modified_ns.max(stamp.changed_ns) + TICK_NS < began {
            let mut known = self.lock();
            let files = known.entry(root.to_owned()).or_default();
            files.insert(file.to_owned(), (stamp, sha));
        }
        Ok((stamp, sha))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file whole and unchanged: again from the start if it changed meanwhile. `part` is given every part, and an
/// empty one whenever reading starts over.
pub(crate) fn read(
    tree: &Tree,
    path: &Path,
    mut part: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(Stamp, Sha), TreeError> {
    let failed = |source: io::Error| TreeError::Read {
        path: path.to_path_buf(),
        source,
    };
    for _ in 0..ATTEMPTS {
        let file = tree.file(path).map_err(failed)?;
        let before = fstat(&file).map_err(|error| failed(error.into()))?;
        part(&[]).map_err(failed)?;
        let sha = whole(&file, &mut part).map_err(failed)?;
        let after = fstat(&file).map_err(|error| failed(error.into()))?;
        if stamp(&before) == stamp(&after) {
            return Ok((stamp(&after), sha));
        }
    }
    Err(TreeError::Changing {
        path: path.to_path_buf(),
    })
}

/// The hash of an open file, from its start.
pub(crate) fn whole(
    mut file: &File,
    part: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Sha> {
    let mut hash = Sha256::new();
    let mut bytes = vec![0_u8; PART];
    loop {
        let count = match file.read(&mut bytes) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&bytes[..count]);
        part(&bytes[..count])?;
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}
