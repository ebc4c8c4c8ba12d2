//! Makes one tree hold what another holds: what differs is written beside, synced, read back, compared and renamed.
//! A crash leaves every file old or new, never half. A gate is asked before every batch of changes.
//! Must not know why a copy is made.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::File,
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use rustix::fs::{
    Advice, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, fadvise, fchmod, fchown, fstat,
    fsync, futimens, openat, renameat, symlinkat, syncfs,
};

use crate::{
    Entry, Hashes, Item, Listing, Manifest, Node, Stamp, Tree, TreeError,
    hash::{Sha, read, whole},
    manifest::item,
    scan::{TEMPORARY, is_temporary, scan, scan_all},
    tree::Place,
};

/// The files of one batch: synced, verified and renamed together.
const BATCH: usize = 256;
/// With more files than this one sync of the file system is cheaper than one for each.
const FEW: usize = 8;
/// A source that keeps changing is followed for so many rounds.
const ROUNDS: u32 = 3;

/// What happens to what the source does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// It stays.
    Keep,
    /// It is removed.
    Mirror,
}

/// What a copy found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What the source held, read while it was copied; every entry of it was verified at the destination.
    pub manifest: Manifest,
    /// Files, links and folders written.
    pub written: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Entries removed.
    pub removed: u64,
}

/// Asked before every batch of changes, and held while the batch is made.
pub trait Gate {
    /// Ends the permission when dropped.
    type Pass;

    /// Lets the batch pass, or says why the copy has to stop.
    fn pass(&mut self) -> Result<Self::Pass, TreeError>;
}

/// Copies until a listing of the source equals the one that was copied, or the source has changed for some rounds:
/// then it holds what the source had when the last round began.
pub fn copy<G: Gate>(
    from: &Tree,
    to: &Tree,
    deletes: Deletes,
    hashes: &Hashes,
    gate: &mut G,
) -> Result<Copied, TreeError> {
    let mut work = Work::new(from, to, hashes);
    sweep(to, gate)?;
    let mut listing = scan(from)?;
    let mut round = 1;
    // Where the last two listings differ, an entry may have been moved from one to the other: both are kept.
    let last = loop {
        work.done.manifest = work.round(&listing, gate)?;
        let again = scan(from)?;
        if again == listing || round >= ROUNDS {
            break again;
        }
        (listing, round) = (again, round + 1);
    };
    if deletes == Deletes::Mirror {
        work.remove_others([&listing, &last], gate)?;
    }
    work.settle_folders(&listing)?;
    Ok(work.done)
}

/// Copies just these entries of a listing, with the folders that lead to them, into a tree that nobody else writes to.
pub fn copy_only(
    from: &Tree,
    to: &Tree,
    wanted: &BTreeSet<PathBuf>,
    hashes: &Hashes,
) -> Result<Copied, TreeError> {
    let mut work = Work::new(from, to, hashes);
    let listing: Listing = scan(from)?
        .into_iter()
        .filter(|entry| {
            let leads = entry.node == Node::Folder
                && wanted
                    .range(entry.path.clone()..)
                    .next()
                    .is_some_and(|next| next.starts_with(&entry.path));
            leads || wanted.contains(&entry.path)
        })
        .collect();
    work.done.manifest = work.round(&listing, &mut Open)?;
    work.settle_folders(&listing)?;
    Ok(work.done)
}

/// A gate that lets everything pass.
struct Open;

impl Gate for Open {
    type Pass = ();

    fn pass(&mut self) -> Result<(), TreeError> {
        Ok(())
    }
}

struct Work<'a> {
    from: &'a Tree,
    to: &'a Tree,
    hashes: &'a Hashes,
    done: Copied,
}

impl<'a> Work<'a> {
    fn new(from: &'a Tree, to: &'a Tree, hashes: &'a Hashes) -> Self {
        Self {
            from,
            to,
            hashes,
            done: Copied {
                manifest: Manifest::default(),
                written: 0,
                bytes: 0,
                removed: 0,
            },
        }
    }
}

/// A file that is written and not yet in place.
struct Pending<'a> {
    entry: &'a Entry,
    temporary: PathBuf,
    file: File,
    stamp: Stamp,
    sha: Sha,
}

fn writing(path: &Path) -> impl Fn(io::Error) -> TreeError {
    let path = path.to_path_buf();
    move |source| TreeError::Write {
        path: path.clone(),
        source,
    }
}

impl Work<'_> {
    /// One pass over a listing of the source: what differs at the destination is written.
    fn round<G: Gate>(&mut self, listing: &Listing, gate: &mut G) -> Result<Manifest, TreeError> {
        let there: BTreeMap<PathBuf, Entry> = scan(self.to)?
            .into_iter()
            .map(|entry| (entry.path.clone(), entry))
            .collect();
        // What vanished since it was listed is no part of the source any more.
        let mut items: Vec<Option<Item>> = Vec::with_capacity(listing.len());
        let mut differing = Vec::new();
        for entry in listing {
            let read = match &entry.node {
                Node::File(stamp) => match self.hashes.of(self.from, &entry.path, *stamp) {
                    Err(error) if error.is_gone() => continue,
                    read => Some(read?),
                },
                _ => None,
            };
            items.push(Some(item(entry, read)));
            if !self.equal(entry, read.map(|(_, sha)| sha), there.get(&entry.path))? {
                differing.push((items.len() - 1, entry));
            }
        }
        for batch in differing.chunks(BATCH) {
            let _pass = gate.pass()?;
            self.write_batch(batch, &there, &mut items)?;
        }
        Ok(Manifest {
            items: items.into_iter().flatten().collect(),
        })
    }

    fn equal(
        &self,
        entry: &Entry,
        sha: Option<Sha>,
        there: Option<&Entry>,
    ) -> Result<bool, TreeError> {
        let Some(there) = there else { return Ok(false) };
        Ok(match (&entry.node, &there.node) {
            (Node::Folder, Node::Folder) => true,
            (Node::Link(a), Node::Link(b)) => a == b,
            (Node::File(a), Node::File(b)) => {
                let same = a.size == b.size
                    && entry.mode == there.mode
                    && (entry.owner == there.owner || !may_give_away());
                same && Some(self.hashes.of(self.to, &there.path, *b)?.1) == sha
            }
            _ => false,
        })
    }

    fn write_batch(
        &mut self,
        batch: &[(usize, &Entry)],
        there: &BTreeMap<PathBuf, Entry>,
        items: &mut [Option<Item>],
    ) -> Result<(), TreeError> {
        let mut pending = Vec::new();
        for (index, entry) in batch {
            self.make_room(entry, there)?;
            match &entry.node {
                Node::Folder => {
                    let made = self.to.make_folder(&entry.path);
                    made.map_err(writing(&entry.path))?;
                }
                Node::Link(target) => self.link(entry, target)?,
                Node::File(_) => {
                    let Some(one) = self.write(entry)? else {
                        items[*index] = None;
                        continue;
                    };
                    // It may have changed since it was hashed: what was written counts.
                    items[*index] = Some(item(entry, Some((one.stamp, one.sha))));
                    pending.push(one);
                }
            }
            self.done.written += 1;
        }
        self.verify(&pending)?;
        for one in &pending {
            let (from, to) = (self.place(&one.temporary)?, self.place(&one.entry.path)?);
            renameat(from.folder(), from.name, to.folder(), to.name)
                .map_err(|error| writing(&one.entry.path)(error.into()))?;
        }
        self.sync_folders(batch.iter().map(|(_, entry)| entry.path.as_path()))
    }

    fn place<'a>(&'a self, path: &'a Path) -> Result<Place<'a>, TreeError> {
        self.to.place(path).map_err(writing(path))
    }

    /// Removes what stands in the way: another sort of entry of the same name.
    fn make_room(
        &mut self,
        entry: &Entry,
        there: &BTreeMap<PathBuf, Entry>,
    ) -> Result<(), TreeError> {
        let Some(old) = there.get(&entry.path) else {
            return Ok(());
        };
        match (&old.node, &entry.node) {
            (Node::Folder, Node::Folder) => Ok(()),
            (Node::Folder, _) => {
                let below = there.range(entry.path.clone()..);
                let mut inside: Vec<&Entry> = below
                    .map(|(_, one)| one)
                    .take_while(|one| one.path.starts_with(&entry.path))
                    .collect();
                inside.reverse();
                inside.into_iter().try_for_each(|one| self.remove(one))
            }
            (_, Node::Folder) => self.remove(old),
            // A rename replaces it.
            _ => Ok(()),
        }
    }

    fn remove(&mut self, entry: &Entry) -> Result<(), TreeError> {
        let flags = match entry.node {
            Node::Folder => AtFlags::REMOVEDIR,
            _ => AtFlags::empty(),
        };
        self.to
            .remove(&entry.path, flags)
            .map_err(writing(&entry.path))?;
        self.done.removed += 1;
        Ok(())
    }

    fn link(&self, entry: &Entry, target: &Path) -> Result<(), TreeError> {
        let failed = |error: rustix::io::Errno| writing(&entry.path)(error.into());
        let temporary = beside(&entry.path);
        let cleared = self.to.remove(&temporary, AtFlags::empty());
        cleared.map_err(writing(&entry.path))?;
        let (from, to) = (self.place(&temporary)?, self.place(&entry.path)?);
        symlinkat(target, from.folder(), from.name).map_err(failed)?;
        renameat(from.folder(), from.name, to.folder(), to.name).map_err(failed)
    }

    /// Writes the source's content beside its place, with its permissions, owner and time.
    /// Nothing if the source has vanished.
    fn write<'a>(&mut self, entry: &'a Entry) -> Result<Option<Pending<'a>>, TreeError> {
        let temporary = beside(&entry.path);
        let cleared = self.to.remove(&temporary, AtFlags::empty());
        cleared.map_err(writing(&entry.path))?;
        let place = self.place(&temporary)?;
        let failed = writing(&entry.path);
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(place.folder(), place.name, flags, Mode::RUSR | Mode::WUSR);
        let file: File = file.map_err(|error| failed(error.into()))?.into();
        drop(place);
        let read = read(self.from, &entry.path, |part| {
            if part.is_empty() {
                (&file).rewind()?;
                return file.set_len(0);
            }
            (&file).write_all(part)
        });
        let (stamp, sha) = match read {
            Err(error) if error.is_gone() => {
                let cleared = self.to.remove(&temporary, AtFlags::empty());
                return cleared.map(|()| None).map_err(writing(&entry.path));
            }
            read => read?,
        };
        if may_give_away() {
            let (user, group) = (Uid::from_raw(entry.owner.0), Gid::from_raw(entry.owner.1));
            fchown(&file, Some(user), Some(group)).map_err(|error| failed(error.into()))?;
        }
        let time = Timespec {
            tv_sec: stamp.modified_ns.div_euclid(1_000_000_000),
            tv_nsec: stamp.modified_ns.rem_euclid(1_000_000_000),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        fchmod(&file, Mode::from_raw_mode(entry.mode))
            .and_then(|()| futimens(&file, &times))
            .map_err(|error| failed(error.into()))?;
        self.done.bytes += stamp.size;
        Ok(Some(Pending {
            entry,
            temporary,
            file,
            stamp,
            sha,
        }))
    }

    /// Syncs what was written and reads it back from the file system, not from what was sent to it.
    fn verify(&self, pending: &[Pending<'_>]) -> Result<(), TreeError> {
        if pending.len() > FEW {
            syncfs(self.to.root()).map_err(|error| writing(Path::new("."))(error.into()))?;
        }
        for one in pending {
            let path = &one.entry.path;
            if pending.len() <= FEW {
                fsync(&one.file).map_err(|error| writing(path)(error.into()))?;
            }
            // Only a hint, so that the bytes come from the disk where the file system can do that.
            let _ = fadvise(&one.file, 0, None, Advice::DontNeed);
            (&one.file).rewind().map_err(writing(path))?;
            let sha = whole(&one.file, &mut |_| Ok(())).map_err(writing(path))?;
            if sha != one.sha {
                let _ = self.to.remove(&one.temporary, AtFlags::empty());
                return Err(TreeError::Differs { path: path.clone() });
            }
        }
        Ok(())
    }

    fn sync_folders<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> Result<(), TreeError> {
        let mut folders: Vec<&Path> = paths.filter_map(Path::parent).collect();
        folders.sort_unstable();
        folders.dedup();
        for folder in folders {
            let opened = self.to.folder(folder).map_err(writing(folder))?;
            fsync(opened).map_err(|error| writing(folder)(error.into()))?;
        }
        Ok(())
    }

    /// Removes what the source does not have, the deepest first.
    fn remove_others<G: Gate>(
        &mut self,
        listings: [&Listing; 2],
        gate: &mut G,
    ) -> Result<(), TreeError> {
        let wanted: BTreeSet<&Path> = (listings.into_iter().flatten())
            .map(|entry| entry.path.as_path())
            .collect();
        let mut others = scan(self.to)?;
        others.retain(|entry| !wanted.contains(entry.path.as_path()));
        others.reverse();
        for batch in others.chunks(BATCH) {
            let _pass = gate.pass()?;
            for entry in batch {
                self.remove(entry)?;
            }
            let kept = batch.iter().map(|entry| entry.path.as_path());
            let kept = kept.filter(|path| path.parent().is_none_or(|above| wanted.contains(above)));
            self.sync_folders(kept)?;
        }
        Ok(())
    }

    /// Folders get their permissions last: one that may not be written to is filled first.
    fn settle_folders(&self, listing: &Listing) -> Result<(), TreeError> {
        for entry in listing
            .iter()
            .rev()
            .filter(|entry| entry.node == Node::Folder)
        {
            let failed = writing(&entry.path);
            let folder = self.to.folder(&entry.path).map_err(&failed)?;
            let seen = fstat(&folder).map_err(|error| failed(error.into()))?;
            if may_give_away() && (seen.st_uid, seen.st_gid) != entry.owner {
                let (user, group) = (Uid::from_raw(entry.owner.0), Gid::from_raw(entry.owner.1));
                fchown(&folder, Some(user), Some(group)).map_err(|error| failed(error.into()))?;
            }
            if seen.st_mode & 0o7777 != entry.mode {
                let mode = Mode::from_raw_mode(entry.mode);
                fchmod(&folder, mode).map_err(|error| failed(error.into()))?;
            }
        }
        Ok(())
    }
}

/// Removes what a copy that was cut short left behind.
fn sweep<G: Gate>(to: &Tree, gate: &mut G) -> Result<(), TreeError> {
    let mut left = scan_all(to)?;
    left.retain(is_temporary);
    if left.is_empty() {
        return Ok(());
    }
    let _pass = gate.pass()?;
    for entry in left {
        to.remove(&entry.path, AtFlags::empty())
            .map_err(writing(&entry.path))?;
    }
    Ok(())
}

/// The temporary name of a file. Hashed, so that it is never too long.
fn beside(path: &Path) -> PathBuf {
    use sha2::Digest as _;
    use std::os::unix::ffi::OsStrExt as _;
    let name = path.file_name().unwrap_or_default();
    let hash = sha2::Sha256::digest(name.as_bytes());
    path.with_file_name(OsString::from(format!(
        "{TEMPORARY}{}",
        hex::encode(&hash[..8])
    )))
}

/// Only root may give files to other users; anybody else's copies are their own.
fn may_give_away() -> bool {
    rustix::process::geteuid().is_root()
}
