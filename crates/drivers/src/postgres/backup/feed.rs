//! Hands the log to a recovering server: files are fetched ahead, several at a time, into a folder from which the
//! server's `restore_command` takes them. The command waits for what is on its way, and tells "there is none", with
//! which recovery ends well, from every other trouble, with which it must not.
//! Must not know servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use mainstay_backup::{Node, Reader};
use mainstay_driver::Cause;

use super::super::programs::Owner;
use crate::shared::{failed, passing};

/// How many files wait for the server at most.
const AHEAD: usize = 12;
/// How many are fetched at a time.
const THREADS: usize = 3;
const PAUSE: Duration = Duration::from_millis(4);

/// The server runs it as `/bin/sh take NAME PATH`. Only exit code 1 means that there is no such file; above 125
/// the server gives up instead of believing that the log ends here.
const TAKE: &str = r#"#!/bin/sh
d=$(dirname "$0")
until [ -e "$d/ready/$1" ]; do
  if [ -e "$d/absent/$1" ]; then rm -f "$d/absent/$1"; exit 1; fi
  [ -e "$d/over" ] && exit 201
  [ -e "$d/want/$1" ] || : > "$d/want/$1" || exit 202
  sleep 0.01
done
rm -f "$d/want/$1"
mv "$d/ready/$1" "$2" || exit 203
"#;

/// What may be asked for, and in which order it will be.
pub(super) struct Menu {
    /// Every file by the name that it is asked for by.
    pub(super) files: BTreeMap<String, Node>,
    /// The names that will be asked for, in order.
    pub(super) order: Vec<String>,
}

/// The folder and the threads that fill it. Ends when it is dropped.
pub(super) struct Feed {
    pub(super) folder: PathBuf,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    reader: Reader,
    menu: Menu,
    folder: PathBuf,
    owner: Option<Owner>,
    state: Mutex<State>,
    over: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The next in order.
    next: usize,
    /// What is being fetched.
    busy: BTreeSet<String>,
    trouble: Option<Cause>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = fs::write(self.folder.join("over"), "");
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Feed {
    /// Begins to fetch. The folder is made anew; it should be on the file system of the data folder.
    pub(super) fn start(
        folder: &Path,
        reader: Reader,
        menu: Menu,
        owner: Option<Owner>,
    ) -> Result<Self, Cause> {
        let made = || -> io::Result<()> {
            fs::remove_dir_all(folder).or_else(super::super::rebuild::gone)?;
            for part in ["", "ready", "want", "absent", "coming"] {
                let path = folder.join(part);
                fs::DirBuilder::new().mode(0o700).create(&path)?;
                give(&path, owner)?;
            }
            let take = folder.join("take");
            fs::write(&take, TAKE)?;
            fs::set_permissions(&take, fs::Permissions::from_mode(0o500))?;
            give(&take, owner)
        };
        made().map_err(|error| {
            passing("scratch", format!("prepare {}: {error}", folder.display()))
        })?;
        let shared = Arc::new(Shared {
            reader,
            menu,
            folder: folder.to_owned(),
            owner,
            state: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let threads = (0..THREADS).map(|_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work())
        });
        Ok(Self {
            folder: folder.to_owned(),
            threads: threads.collect(),
            shared,
        })
    }

    /// The server's setting.
    pub(super) fn command(&self) -> String {
        // The server replaces what follows a percent sign; the shell splits at what is not quoted.
        let path = self.folder.join("take").display().to_string();
        let path = path.replace('\'', r"'\''").replace('%', "%%");
        format!("/bin/sh '{path}' \"%f\" \"%p\"")
    }

    /// What went wrong while fetching, if anything did.
    pub(super) fn trouble(&self) -> Option<Cause> {
        self.shared.state().trouble.clone()
    }
}

fn give(path: &Path, owner: Option<Owner>) -> io::Result<()> {
    match owner {
        Some(owner) => chown(path, Some(owner.uid), Some(owner.gid)),
        None => Ok(()),
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while !self.over.load(Ordering::SeqCst) {
            let worked = self.wanted().and_then(|name| match name {
                Some(name) => self.bring(&name).map(|()| true),
                None => match self.ahead()? {
                    Some(name) => self.bring(&name).map(|()| true),
                    None => Ok(false),
                },
            });
            match worked {
                Ok(true) => {}
                Ok(false) => std::thread::sleep(PAUSE),
                Err(cause) => {
                    // The server must not take this for the end of the log.
                    let _ = fs::write(self.folder.join("over"), "");
                    self.state().trouble.get_or_insert(cause);
                    return;
                }
            }
        }
    }

    fn broken(&self, error: &io::Error) -> Cause {
        passing(
            "scratch",
            format!("hand over the log in {}: {error}", self.folder.display()),
        )
    }

    /// What the server waits for now, if it is to be fetched. What does not exist is said to be absent at once.
    fn wanted(&self) -> Result<Option<String>, Cause> {
        let entries = fs::read_dir(self.folder.join("want")).map_err(|e| self.broken(&e))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !self.menu.files.contains_key(&name) {
                fs::write(self.folder.join("absent").join(&name), "")
                    .map_err(|e| self.broken(&e))?;
                self.give(&Path::new("absent").join(&name))?;
                let _ = fs::remove_file(entry.path());
                continue;
            }
            let mut state = self.state();
            if !self.folder.join("ready").join(&name).exists() && state.busy.insert(name.clone()) {
                // What was asked for and everything before it need not be fetched ahead any more.
                let place = self.menu.order.iter().position(|one| *one == name);
                state.next = place.map_or(state.next, |place| state.next.max(place + 1));
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn give(&self, path: &Path) -> Result<(), Cause> {
        give(&self.folder.join(path), self.owner).map_err(|e| self.broken(&e))
    }

    /// The next to fetch ahead, while there is room.
    fn ahead(&self) -> Result<Option<String>, Cause> {
        let ready = fs::read_dir(self.folder.join("ready")).map_err(|e| self.broken(&e))?;
        let ready = ready.count();
        let mut state = self.state();
        if ready + state.busy.len() >= AHEAD {
            return Ok(None);
        }
        while let Some(name) = self.menu.order.get(state.next) {
            state.next += 1;
            if self.menu.files.contains_key(name) && state.busy.insert(name.clone()) {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn bring(&self, name: &str) -> Result<(), Cause> {
        let brought = self.fetch(name);
        self.state().busy.remove(name);
        brought
    }

    fn fetch(&self, name: &str) -> Result<(), Cause> {
        let Some(node) = self.menu.files.get(name) else {
            return Ok(());
        };
        let coming = self.folder.join("coming").join(name);
        let mut file = File::create(&coming).map_err(|e| self.broken(&e))?;
        let copied = self.reader.copy(node, &mut file);
        copied.map_err(|error| failed(&error))?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(|e| self.broken(&e))?;
        self.give(&Path::new("coming").join(name))?;
        fs::rename(coming, self.folder.join("ready").join(name)).map_err(|e| self.broken(&e))
    }
}
