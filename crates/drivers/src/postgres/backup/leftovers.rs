//! What a scratch server leaves when the process that started it dies: left while it runs, ended and removed by whoever
//! comes next. A note whose writer lives is left alone.
//! Must not know what a server was for.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mainstay_driver::Cause;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::super::rebuild::gone;
use crate::shared::{Locked, passing};

/// How long servers may take to end.
const END: Duration = Duration::from_secs(20);

/// What is where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    version: u32,
    data: PathBuf,
    /// The folder that its socket is in, by which it can be told from any other server.
    sockets: PathBuf,
    /// Where the log waits for it.
    log: PathBuf,
}

/// A note that a server runs; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Note {
    file: PathBuf,
    lock: PathBuf,
    held: Option<Locked>,
}

impl Note {
    /// Leaves it as a process that dies would.
    #[cfg(test)]
    pub(super) fn abandon(mut self) {
        self.held = None;
        std::mem::forget(self);
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
        let _ = fs::remove_file(&self.lock);
        self.held = None;
    }
}

/// Notes that a server is going to run on a data folder.
pub(super) fn note(notes: &Path, data: &Path, sockets: &Path, log: &Path) -> io::Result<Note> {
    fs::create_dir_all(notes)?;
    let lock = tempfile::Builder::new()
        .prefix("server-")
        .suffix(".lock")
        .tempfile_in(notes)?;
    let lock = lock.into_temp_path().keep().map_err(|error| error.error)?;
    let held = Locked::attempt(&lock)?;
    let file = lock.with_extension("json");
    let left = Noted {
        version: 1,
        data: data.to_owned(),
        sockets: sockets.to_owned(),
        log: log.to_owned(),
    };
    fs::write(&file, serde_json::to_vec(&left)?)?;
    Ok(Note { file, lock, held })
}

/// Ends and removes what processes that are gone have left.
pub(super) fn sweep(notes: &Path) -> Result<(), Cause> {
    let broken =
        |error: io::Error| passing("scratch", format!("look in {}: {error}", notes.display()));
    let entries = match fs::read_dir(notes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(broken)?,
    };
    for entry in entries.flatten() {
        let file = entry.path();
        if file.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let lock = file.with_extension("lock");
        let Some(held) = Locked::attempt(&lock).map_err(broken)? else {
            continue;
        };
        let left = fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice::<Noted>(&text).ok());
        if let Some(left) = left {
            tracing::warn!(data = %left.data.display(), "a scratch server was left behind: it is ended");
            end_servers(&left.sockets)?;
            for folder in [&left.sockets, &left.log] {
                fs::remove_dir_all(folder).or_else(gone).map_err(broken)?;
            }
        }
        drop(Note {
            file,
            lock,
            held: Some(held),
        });
    }
    Ok(())
}

/// Ends the server that listens in a folder, and waits until it is gone.
fn end_servers(sockets: &Path) -> Result<(), Cause> {
    let begun = Instant::now();
    loop {
        let running = servers(sockets);
        if running.is_empty() {
            return Ok(());
        }
        let signal = match begun.elapsed() {
            spent if spent > END * 2 => {
                let what = format!(
                    "the servers {running:?} at {} do not end",
                    sockets.display()
                );
                return Err(passing("scratch", what));
            }
            spent if spent > END => Signal::KILL,
            _ => Signal::QUIT,
        };
        for pid in running.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Servers that were told to listen in this folder: nobody but the scratch server that it was made for is.
fn servers(sockets: &Path) -> Vec<i32> {
    let told = format!("unix_socket_directories={}", sockets.display());
    let is_one = |folder: &Path| {
        let words = fs::read(folder.join("cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        words.any(|word| word == told.as_bytes())
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = all.filter(|entry| is_one(&entry.path()));
    ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_living_process_noted_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (notes, folder) = (dir.path().join("notes"), dir.path().join("sockets"));
        fs::create_dir(&folder).unwrap();
        let held = note(&notes, &dir.path().join("data"), &folder, &folder).unwrap();
        sweep(&notes).unwrap();
        assert!(folder.exists());
        let (file, lock) = (held.file.clone(), held.lock.clone());
        held.abandon();
        assert!(file.exists());
        sweep(&notes).unwrap();
        assert!(!folder.exists() && !file.exists() && !lock.exists());
        sweep(&dir.path().join("never")).unwrap();
    }
}
