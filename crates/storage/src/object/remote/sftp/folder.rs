//! A folder on a server: how objects in it are listed, read, and get their names.
//! Must not know the threads that wait for it.
//!
//! A write goes to a file of its own under `tmp`, is synced, and renamed into place, which replaces what is there at
//! once. The protocol has no conditional create: there the file gets its name as a second one (a hard link), which the
//! server's file system refuses if the name is taken. The protocol cannot sync folders either: a file is synced again
//! after it has its name, which makes the name durable on the usual file systems. What was cut short stays in `tmp`.

use std::{
    future::Future,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use openssh_sftp_client::{Sftp, file::File};

use super::{
    super::{
        super::{Object, ObjectName, Part, StorageError},
        address,
        fault::{Fault, Outcome, Sort},
        options::{Limits, Missing, Options},
        runtime::Lost,
    },
    files::{self, Found},
    link::{Link, Session, fault},
};

/// Where files are written before they get their names. Nothing in it is an object.
const UNFINISHED: &str = "tmp";
/// Folders that are listed at once.
const AT_ONCE: usize = 16;

/// A folder on a server, and what is known of it.
pub(super) struct Folder {
    pub(super) link: Link,
    pub(super) root: String,
    limits: Limits,
    /// What no other writer to this folder has in its names.
    mark: u64,
    next: AtomicU64,
    /// Whether something was removed since the last sync.
    removed: AtomicBool,
}

/// Whether another object of that name may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum New {
    OrNot,
    Surely,
}

/// A file that has no object's name yet.
struct Unfinished {
    session: Arc<Session>,
    file: File,
    path: String,
}

impl Folder {
    pub(super) fn new(server: &address::Server, options: &Options) -> Result<Self, StorageError> {
        Ok(Self {
            link: Link::new(server, options)?,
            root: server.path.clone(),
            limits: options.limits,
            mark: RandomState::new().build_hasher().finish(),
            next: AtomicU64::new(0),
            removed: AtomicBool::new(false),
        })
    }

    pub(super) fn path(&self, name: &ObjectName) -> String {
        format!("{}/{name}", self.root)
    }

    /// Waits for one step as long as moving so many bytes may take.
    pub(super) async fn in_time<T>(
        &self,
        bytes: u64,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let limit: Duration = self.limits.moving(bytes);
        let done = tokio::time::timeout(limit, work).await;
        done.unwrap_or_else(|_| Err(Fault::lost(&Lost::Late(limit))))
    }

    pub(super) async fn look(&self, sftp: &Sftp, missing: Missing) -> Result<(), Fault> {
        let needed = [
            (sftp.support_fsync(), "fsync"),
            (sftp.support_hardlink(), "hardlink"),
            (sftp.support_posix_rename(), "posix-rename"),
        ];
        if let Some((_, name)) = needed.iter().find(|(there, _)| !there) {
            let why =
                format!("the server has no {name}@openssh.com, so writes would not be safe on it");
            return Err(refused(io::ErrorKind::Unsupported, why));
        }
        if missing == Missing::Make {
            return files::make_folder(sftp, &self.root).await;
        }
        let found = sftp.fs().metadata(&self.root).await.map_err(fault)?;
        match found.file_type() {
            Some(kind) if kind.is_dir() => Ok(()),
            _ => Err(refused(
                io::ErrorKind::NotADirectory,
                "it is no folder".to_owned(),
            )),
        }
    }

    /// Makes a file that has no object's name yet.
    async fn unfinished(&self, session: Arc<Session>) -> Result<Unfinished, Fault> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("mainstay-{:016x}-{number}", self.mark);
        let path = format!("{}/{UNFINISHED}/{name}", self.root);
        let mut options = session.sftp.options();
        options.write(true).create_new(true);
        let file = match options.open(&path).await.map_err(fault) {
            Err(fault) if fault.sort == Sort::NoObject => {
                files::make_folder(&session.sftp, &format!("{}/{UNFINISHED}", self.root)).await?;
                options.open(&path).await
            }
            Err(fault) => return Err(fault),
            Ok(file) => Ok(file),
        };
        Ok(Unfinished {
            file: file.map_err(fault)?,
            session,
            path,
        })
    }

    /// Syncs it and gives it its name.
    async fn settle(&self, mut one: Unfinished, name: &ObjectName, new: New) -> Result<(), Fault> {
        let sftp = &one.session.sftp;
        let named = async {
            one.file.sync_all().await.map_err(fault)?;
            let to = self.path(name);
            match self.name(sftp, &one.path, &to, new).await {
                Err(fault) if fault.sort == Sort::NoObject => {
                    let folder = to.rsplit_once('/').map_or("", |(folder, _)| folder);
                    files::make_folder(sftp, folder).await?;
                    self.name(sftp, &one.path, &to, new).await
                }
                named => named,
            }
        };
        let mut named = named.await;
        if named.is_ok() {
            // The name is durable with the file on most file systems, and the protocol cannot sync folders.
            named = one.file.sync_all().await.map_err(|error| Fault {
                outcome: Outcome::Unknown,
                ..fault(error)
            });
        }
        if named.is_err() || new == New::Surely {
            let _ = sftp.fs().remove_file(&one.path).await;
        }
        named
    }

    async fn name(&self, sftp: &Sftp, from: &str, to: &str, new: New) -> Result<(), Fault> {
        if new == New::OrNot {
            return sftp.fs().rename(from, to).await.map_err(fault);
        }
        match sftp.fs().hard_link(from, to).await.map_err(fault) {
            // A taken name is a failure like any other in the protocol: it is looked for.
            Err(fault) if fault.sort == Sort::Other && fault.outcome == Outcome::NotDone => {
                let sort = match files::look(sftp, to).await? {
                    Some(_) => Sort::Taken,
                    None => fault.sort,
                };
                Err(Fault { sort, ..fault })
            }
            done => done,
        }
    }

    pub(super) async fn put(
        &self,
        session: Arc<Session>,
        name: &ObjectName,
        bytes: &Arc<Vec<u8>>,
        new: New,
    ) -> Result<(), Fault> {
        let one = self.unfinished(session).await?;
        if let Err(fault) = files::write(&one.file, 0, bytes).await {
            let _ = one.session.sftp.fs().remove_file(&one.path).await;
            return Err(fault);
        }
        self.settle(one, name, new).await
    }

    /// Everything below a folder.
    pub(super) async fn walk(
        &self,
        sftp: &Sftp,
        folder: &ObjectName,
    ) -> Result<Vec<Object>, Fault> {
        let mut objects = Vec::new();
        let mut folders = vec![folder.clone()];
        while !folders.is_empty() {
            let listings = folders.drain(..).map(|folder| async move {
                let found = self
                    .in_time(0, files::entries(sftp, &self.path(&folder)))
                    .await?;
                Ok::<_, Fault>((folder, found))
            });
            let listed: Vec<_> = stream::iter(listings)
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            for (inside, found) in listed {
                if found.is_none() && inside == *folder {
                    // There is none; but then there must be the container's own.
                    sftp.fs().metadata(&self.root).await.map_err(fault)?;
                }
                for one in found.into_iter().flatten() {
                    // What no object can be called is none: somebody else's.
                    match one {
                        Found::Folder(name) => {
                            folders.extend(ObjectName::new(format!("{inside}/{name}")));
                        }
                        Found::File(name, size) => {
                            let name = ObjectName::new(format!("{inside}/{name}"));
                            objects.extend(name.map(|name| Object { name, size }));
                        }
                    }
                }
            }
        }
        objects.sort_unstable();
        if objects.windows(2).any(|two| two[0].name == two[1].name) {
            let why = "the server named an object twice in one listing".to_owned();
            return Err(refused(io::ErrorKind::InvalidData, why));
        }
        Ok(objects)
    }

    /// A part of a file, or the file's length where it ends too early.
    pub(super) async fn read(
        &self,
        sftp: &Sftp,
        path: String,
        part: Part,
    ) -> Result<Result<Vec<u8>, u64>, Fault> {
        let opening = async {
            // A link leads nowhere, and a pipe must not hold up anybody.
            let meta = sftp.fs().symlink_metadata(&path).await.map_err(fault)?;
            if !meta.file_type().is_some_and(|kind| kind.is_file()) {
                return Err(refused(
                    io::ErrorKind::InvalidData,
                    "it is no file".to_owned(),
                ));
            }
            let mut file = sftp.open(&path).await.map_err(fault)?;
            Ok((files::length(&mut file).await?, file))
        };
        let (has, file) = self.in_time(0, opening).await?;
        let (from, len) = match part {
            Part::Whole => (0, has),
            Part::Range { from, len } => (from, len),
        };
        let Some(len) = from
            .checked_add(len)
            .filter(|end| *end <= has)
            .and(usize::try_from(len).ok())
        else {
            return Ok(Err(has));
        };
        self.in_time(len as u64, files::read(&file, from, len))
            .await
            .map(Ok)
    }

    /// Notes that files were removed.
    pub(super) fn removed(&self) {
        self.removed.store(true, Ordering::SeqCst);
    }

    /// Makes removals durable, as far as that can be done: a file is written, synced and removed again, and a journal
    /// that has it has what was before it.
    pub(super) async fn sync(&self, session: Arc<Session>) -> Result<(), Fault> {
        if !self.removed.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let synced = async {
            let mut one = self.unfinished(session).await?;
            let synced = one.file.sync_all().await.map_err(fault);
            let gone = one.session.sftp.fs().remove_file(&one.path).await;
            synced.and(gone.map_err(fault))
        };
        let synced = synced.await;
        if synced.is_err() {
            self.removed();
        }
        synced
    }
}

fn refused(kind: io::ErrorKind, why: String) -> Fault {
    Fault {
        sort: Sort::Other,
        outcome: Outcome::NotDone,
        source: io::Error::new(kind, why),
    }
}
