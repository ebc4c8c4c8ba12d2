//! A base backup: the tar stream of `pg_basebackup`, stored file by file as it comes, so that it never lies on a disk
//! whole and what is the same as before is stored once. With the log that it needs, so that it stands alone.
//! Must not know where it goes on from there.

use std::{
    io::{self, Read},
    path::{Component, Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
};

use mainstay_backup::{
    Archive, BackupError, Finished, Holds, Kind, Label, Meta, Progress, Repository, RestorePoint,
    Time, archive,
};
use mainstay_driver::Cause;
use mainstay_model::{Position, Timestamp};
use serde::Deserialize;
use tar::EntryType;

use super::{
    output::{Words, words},
    segment::{Size, lsn},
    store::{Seen, Store, tag, tagged},
    wait::wait,
};
use crate::shared::{failed, lasting, passing};

/// What the server lists in a backup: every file with its checksum, and the log that it needs.
pub(super) const MANIFEST: &str = "backup_manifest";
/// Without these a stream is no backup, however well it seems to end.
const NEEDED: [&str; 3] = ["backup_label", "global/pg_control", MANIFEST];

/// A base backup in a repository.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) point: RestorePoint,
    pub(super) cluster: u64,
    pub(super) size: Size,
    pub(super) timeline: u32,
    /// The log that it needs begins here.
    pub(super) start: u64,
    /// From here on it is consistent.
    pub(super) end: u64,
    /// When it was consistent, by the source's clock.
    pub(super) until: Timestamp,
}

impl Base {
    /// What a snapshot's tags say; none if it is no base backup of this kind.
    pub(super) fn of(point: RestorePoint) -> Option<Self> {
        let tags = &point.snapshot.tags;
        let number = |key| tagged(tags, key)?.parse::<u64>().ok();
        let Some(Position::Lsn(end)) = point.label.position else {
            return None;
        };
        Some(Self {
            cluster: number("cluster")?,
            size: Size::new(number("segment-bytes")?)?,
            timeline: u32::try_from(number("timeline")?).ok()?,
            start: lsn(tagged(tags, "start")?)?,
            end,
            until: Timestamp(tagged(tags, "until-us")?.parse().ok()?),
            point,
        })
        .filter(|base| base.point.label.holds == Holds::Store)
    }
}

/// The part of the manifest that says which log the backup needs.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(rename = "WAL-Ranges")]
    ranges: Vec<Range>,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

/// The log that a manifest asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    timeline: u32,
    start: u64,
    end: u64,
}

/// Makes a base backup of the cluster at this agent's site. Blocks.
pub(in super::super) fn save(
    store: &Store,
    into: &Repository,
    progress: &dyn Progress,
) -> Result<(Label, Finished), Cause> {
    let seen = wait(store.look())?;
    if seen.tablespaces > 0 {
        return Err(lasting(
            "postgres-tablespaces",
            format!(
                "{} has {} tablespaces outside its data folder: they are not backed up",
                store.instance.name, seen.tablespaces
            ),
        ));
    }
    let mut label = store.label(&seen, seen.clock, None, Holds::Store);
    let mut running = Running::start(store)?;
    let (root, data) = (store.path(), store.data_path());
    let mut position = None;
    let made = archive(into, &root, &store.options(), progress, |archive| {
        let whole = |why: String| BackupError::NotWhole {
            name: root.display().to_string(),
            why,
        };
        let read = running.read(archive, &data);
        let ended = running.end();
        // A program that failed says why better than its broken stream does.
        ended.map_err(whole)?;
        let needs = read?;
        let after = wait(store.look()).map_err(|cause| whole(cause.what))?;
        position = Some(Position::Lsn(needs.end));
        label.position.clone_from(&position);
        let mut tags = label.tags();
        tags.extend(own_tags(&seen, needs, after.clock));
        Ok(tags)
    });
    running.kill();
    let finished = made.map_err(|error| failed(&error))?;
    label.position = position;
    Ok((label, finished))
}

fn own_tags(seen: &Seen, needs: Needs, until: Timestamp) -> [String; 5] {
    let start = super::super::moves::lsn_text(needs.start);
    [
        tag("cluster", seen.cluster),
        tag("segment-bytes", seen.size.0),
        tag("timeline", needs.timeline),
        tag("start", start),
        tag("until-us", until.0),
    ]
}

/// `pg_basebackup` under way.
struct Running {
    child: Child,
    stream: Option<ChildStdout>,
    words: Option<Words>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    fn start(store: &Store) -> Result<Self, Cause> {
        let site = &store.instance.home.site;
        let (login, password, programs) = wait(async {
            let login = store.instance.copier(site).await?;
            let password = store.instance.copier_password(site).await?;
            Ok((login, password, store.instance.programs().await?))
        })?;
        let mut command = programs.command("pg_basebackup");
        command
            .args(["-D", "-", "-F", "t", "-X", "fetch", "-c", "fast", "-w"])
            .args(["-l", "mainstay", "-d", &login.conninfo()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        let mut child = command.spawn().map_err(|error| {
            passing(
                "postgres-program-failed",
                format!("cannot run pg_basebackup: {error}"),
            )
        })?;
        Ok(Self {
            stream: child.stdout.take(),
            words: child.stderr.take().map(words),
            child,
        })
    }

    /// Stores the stream's members, and answers which log they need.
    fn read(&mut self, archive: &mut Archive<'_>, data: &Path) -> Result<Needs, BackupError> {
        let broken = |error: io::Error| BackupError::Source {
            path: data.to_path_buf(),
            source: error,
        };
        let Some(mut stream) = self.stream.take() else {
            return Err(broken(io::ErrorKind::BrokenPipe.into()));
        };
        let needs = members(&mut stream, archive, data)?;
        // What follows the last member is padding; a program that cannot write it fails.
        io::copy(&mut stream, &mut io::sink()).map_err(broken)?;
        needs.ok_or_else(|| broken(io::Error::other("the stream is no whole base backup")))
    }

    /// Waits for the program's own word.
    fn end(&mut self) -> Result<(), String> {
        // Nothing reads it any more: it must not wait for a reader.
        self.stream = None;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(());
        }
        let said = self.words.take().map(Words::last).unwrap_or_default();
        Err(format!("pg_basebackup ended with {status}: {said}"))
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stores every member. None if something is missing without which it is no backup.
fn members(
    stream: &mut impl Read,
    archive: &mut Archive<'_>,
    data: &Path,
) -> Result<Option<Needs>, BackupError> {
    let broken = |error: io::Error| BackupError::Source {
        path: data.to_path_buf(),
        source: error,
    };
    let refuse =
        |path: &Path, what: &str| broken(io::Error::other(format!("{} {what}", path.display())));
    let (mut needed, mut needs) = (NEEDED.to_vec(), None);
    let mut tar = tar::Archive::new(stream);
    for member in tar.entries().map_err(broken)? {
        let mut member = member.map_err(broken)?;
        let name = member.path().map_err(broken)?.into_owned();
        let path = below(data, &name).ok_or_else(|| refuse(&name, "is no path in a backup"))?;
        needed.retain(|one| Path::new(one) != name);
        let meta = meta(member.header()).map_err(broken)?;
        match member.header().entry_type() {
            EntryType::Directory => archive.folder(&path, meta)?,
            EntryType::Regular if name == Path::new(MANIFEST) => {
                let mut text = Vec::new();
                member.read_to_end(&mut text).map_err(broken)?;
                needs = Some(needed_log(&text).map_err(|why| refuse(&name, &why))?);
                archive.file(&path, meta, &mut &text[..])?;
            }
            EntryType::Regular => {
                archive.file(&path, meta, &mut member)?;
            }
            _ => {
                return Err(refuse(
                    &name,
                    "is neither a file nor a folder: it is not backed up",
                ));
            }
        }
    }
    Ok(needs.filter(|_| needed.is_empty()))
}

/// Where a member belongs, if it stays below.
fn below(data: &Path, name: &Path) -> Option<PathBuf> {
    let mut path = data.to_path_buf();
    for part in name.components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(path)
}

fn meta(header: &tar::Header) -> io::Result<Meta> {
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Folder,
        _ => Kind::File,
    };
    let secs = i64::try_from(header.mtime()?).unwrap_or(i64::MAX);
    let mut meta = Meta::plain(kind, header.mode()? & 0o7777, Time::from_parts(secs, 0));
    meta.uid = u32::try_from(header.uid()?).unwrap_or(0);
    meta.gid = u32::try_from(header.gid()?).unwrap_or(0);
    Ok(meta)
}

fn needed_log(manifest: &[u8]) -> Result<Needs, String> {
    let manifest: Manifest =
        serde_json::from_slice(manifest).map_err(|error| format!("cannot be read: {error}"))?;
    let parsed = |range: &Range| {
        Some(Needs {
            timeline: range.timeline,
            start: lsn(&range.start)?,
            end: lsn(&range.end)?,
        })
    };
    let ranges: Option<Vec<Needs>> = manifest.ranges.iter().map(parsed).collect();
    let ranges = ranges.ok_or("has positions that are none")?;
    // A backup from a standby that was promoted meanwhile has several; it is consistent at the end of the last.
    let last = ranges.iter().max_by_key(|one| one.timeline);
    let start = ranges.iter().map(|one| one.start).min();
    match (last, start) {
        (Some(last), Some(start)) => Ok(Needs { start, ..*last }),
        _ => Err("names no log".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_which_log_is_needed() {
        let text = br#"{"PostgreSQL-Backup-Manifest-Version": 1, "Files": [{"Path":"x","Size":1}],
            "WAL-Ranges": [{"Timeline": 2, "Start-LSN": "0/3000028", "End-LSN": "1/F"}]}"#;
        let needs = needed_log(text).unwrap();
        assert_eq!(
            needs,
            Needs {
                timeline: 2,
                start: 0x300_0028,
                end: (1 << 32) + 15
            }
        );
        for bad in [
            "{}",
            r#"{"WAL-Ranges": []}"#,
            "",
            r#"{"WAL-Ranges": [{"Timeline":1,"Start-LSN":"x","End-LSN":"0/1"}]}"#,
        ] {
            assert!(needed_log(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn members_stay_below_the_data_folder() {
        let data = Path::new("/ledger/data");
        assert_eq!(
            below(data, Path::new("./base/1/2")),
            Some("/ledger/data/base/1/2".into())
        );
        for bad in ["../x", "/etc/passwd", "a/../../b"] {
            assert_eq!(below(data, Path::new(bad)), None, "{bad}");
        }
    }
}
