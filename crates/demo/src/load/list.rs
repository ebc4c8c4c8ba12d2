//! The list of acknowledged writes: append-only lines of JSON, each written at once, so that a
//! kill at any moment costs at most a line that was never complete.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::PartError;

/// The list's version.
const VERSION: u32 = 1;

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A generator began.
    Start {
        /// The version of the lines that follow.
        version: u32,
        /// When, in microseconds since the epoch.
        at_us: u64,
    },
    /// The service acknowledged a write.
    Ack(Ack),
    /// An attempt got no acknowledgement.
    Failure(Failure),
}

/// A write that the service acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The tenant written for.
    pub tenant: String,
    /// The order's id.
    pub id: String,
    /// SHA-256 of its attachment, in lower-case hexadecimal.
    pub sha256: String,
    /// When the acknowledged attempt was sent, in microseconds since the epoch.
    pub sent_us: u64,
    /// When its answer was there.
    pub acked_us: u64,
    /// How many attempts it took.
    pub attempts: u32,
    /// The site that served it.
    pub site: String,
    /// The replica that served it.
    pub replica: String,
}

/// An attempt without an acknowledgement; whether it took effect is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The tenant written for.
    pub tenant: String,
    /// The order's id.
    pub id: String,
    /// When it was sent, in microseconds since the epoch.
    pub sent_us: u64,
    /// When it had failed.
    pub failed_us: u64,
    /// The address tried, empty when the name did not resolve.
    pub to: String,
    /// What went wrong: a status with its code, or `timeout`, `connect`, `dns`, `transport`.
    pub why: String,
}

/// A list as read back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Its lines, in the order of writing.
    pub entries: Vec<Entry>,
}

impl List {
    /// Reads a list. A last line without an end is left out: it was never completely written.
    pub fn read(path: &Path) -> Result<Self, PartError> {
        let text = std::fs::read_to_string(path).map_err(PartError::file("read", path))?;
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut entries = Vec::new();
        for (number, line) in complete.lines().enumerate() {
            let wrong = |why: String| PartError::Content {
                path: path.to_path_buf(),
                why: format!("line {}: {why}", number + 1),
            };
            let entry: Entry =
                serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            match entry {
                Entry::Start { version, .. } if version != VERSION => {
                    return Err(wrong(format!(
                        "its version is {version}, known is {VERSION}"
                    )));
                }
                _ => entries.push(entry),
            }
        }
        Ok(Self { entries })
    }

    /// The acknowledgements, in the order of writing.
    pub fn acks(&self) -> impl Iterator<Item = &Ack> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Ack(ack) => Some(ack),
            _ => None,
        })
    }

    /// The failed attempts, in the order of writing.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Failure(failure) => Some(failure),
            _ => None,
        })
    }
}

/// Appends to a list.
#[derive(Debug)]
pub(crate) struct Appender {
    path: PathBuf,
    file: Mutex<File>,
}

impl Appender {
    /// Opens the list, removes a line that an earlier life left incomplete, and notes the start.
    pub(crate) fn open(path: &Path, at_us: u64) -> Result<Self, PartError> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(PartError::file("open", path))?;
        cut_incomplete_line(&mut file).map_err(PartError::file("repair", path))?;
        let list = Self {
            path: path.to_path_buf(),
            file: Mutex::new(file),
        };
        list.append(&Entry::Start {
            version: VERSION,
            at_us,
        })?;
        Ok(list)
    }

    /// Appends one line with one write.
    pub(crate) fn append(&self, entry: &Entry) -> Result<(), PartError> {
        let failed = |error| PartError::file("append to", &self.path)(error);
        let mut line = serde_json::to_vec(entry).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line).map_err(failed)
    }
}

fn cut_incomplete_line(file: &mut File) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let complete = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    if complete == bytes.len() {
        Ok(())
    } else {
        file.set_len(complete as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_line_is_ignored_and_then_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        drop(Appender::open(&path, 1).unwrap());
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"kind\":\"a")
            .unwrap();
        assert_eq!(List::read(&path).unwrap().entries.len(), 1);
        drop(Appender::open(&path, 2).unwrap());
        let starts = List::read(&path).unwrap().entries;
        assert_eq!(
            starts,
            [1, 2].map(|at_us| Entry::Start { version: 1, at_us })
        );
    }

    /// Later versions must still read this.
    #[test]
    fn the_first_version_of_the_list_is_readable_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let golden = concat!(
            r#"{"kind":"start","version":1,"at_us":5}"#,
            "\n",
            r#"{"kind":"ack","tenant":"t01","id":"o1","sha256":"ab","sent_us":6,"acked_us":7,"#,
            r#""attempts":1,"site":"prod","replica":"prod-1"}"#,
            "\n",
            r#"{"kind":"failure","tenant":"t01","id":"o2","sent_us":8,"failed_us":9,"#,
            r#""to":"127.0.0.1:1","why":"connect"}"#,
            "\n",
        );
        std::fs::write(&path, golden).unwrap();
        let list = List::read(&path).unwrap();
        assert_eq!((list.acks().count(), list.failures().count()), (1, 1));
        std::fs::write(&path, golden.replace("\"ack\"", "\"akc\"")).unwrap();
        assert!(
            List::read(&path)
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }
}
