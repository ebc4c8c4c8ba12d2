//! `mainstay backup show`: one restore point, and what is in it.

use std::path::{Path, PathBuf};

use clap::Args;
use mainstay_backup::{BackupError, Kind, Node, Reader};
use mainstay_control::backups::{BackupsError, Point, Vault, position_text};
use mainstay_model::Timestamp;
use mainstay_proof::Receipt;
use serde::Serialize;

use super::shared::{bytes, failed, find_point, trust};
use crate::{
    error::{Exit, Failure},
    output::{Output, Tone},
    session::Session,
};

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The beginning of its name, as `backup list` prints it.
    #[arg(value_name = "POINT")]
    point: String,
    /// Which folder of it to list.
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Only in this repository.
    #[arg(long, value_name = "REPOSITORY")]
    from: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    point: Point,
    receipts: Vec<Receipt>,
    missing: Vec<String>,
    folder: PathBuf,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    kind: &'static str,
    bytes: u64,
}

pub(super) async fn run(args: &ShowArgs, session: &Session, out: &Output) -> Result<Exit, Failure> {
    let (vault, point) = find_point(session, &args.point, args.from.as_deref()).await?;
    let receipts = session
        .desk
        .receipts()
        .and_then(|ledger| ledger.list())
        .map_err(|error| Failure::new(error.code(), error))?;
    let of = |receipt: &Receipt| receipt.point.as_ref() == Some(&point.id);
    let receipts: Vec<Receipt> = receipts.into_iter().filter(of).collect();
    let (folder, nodes) = list(&vault, &point, args.path.clone()).await?;
    let missing = point.found.snapshot.mainstay_missing.iter();
    let missing = missing
        .flat_map(|missing| &missing.first)
        .map(|entry| format!("{}: {}", entry.path, entry.why));
    let shown = Shown {
        receipts,
        missing: missing.collect(),
        entries: nodes.iter().map(entry).collect(),
        folder,
        point,
    };
    print(&shown, out);
    out.value(&shown);
    Ok(Exit::Done)
}

fn print(shown: &Shown, out: &Output) {
    let point = &shown.point;
    out.line(format!(
        "restore point {} of {} ({})",
        point.id, point.store, point.kind
    ));
    out.line(format!(
        "  read from {} at epoch {}: everything acknowledged before {}",
        point.site, point.epoch, point.taken
    ));
    if let Some(position) = &point.position {
        out.line(format!("  up to {}", position_text(position)));
    }
    out.line(format!(
        "  in {}, first seen {}, {}",
        point.repository,
        point.recorded,
        trust(point, out)
    ));
    for receipt in &shown.receipts {
        let checks = match receipt.checks.len() {
            0 => String::new(),
            _ => format!(": {}", receipt.checks.join(", ")),
        };
        let at = Timestamp(receipt.at);
        out.line(format!(
            "  receipt {}: {} at {at}{checks}",
            receipt.seq, receipt.level
        ));
    }
    for missing in &shown.missing {
        out.line(format!("  {}: {missing}", out.paint(Tone::Bad, "missing")));
    }
    out.line(format!("{}:", shown.folder.display()));
    for entry in &shown.entries {
        let size = if entry.kind == "file" {
            bytes(entry.bytes)
        } else {
            entry.kind.to_owned()
        };
        out.line(format!("  {size:>10}  {}", entry.name));
    }
}

fn entry(node: &Node) -> Entry {
    Entry {
        name: String::from_utf8_lossy(&node.name).into_owned(),
        kind: match node.meta.kind {
            Kind::File => "file",
            Kind::Folder => "folder",
            Kind::Link => "link",
            _ => "other",
        },
        bytes: node.meta.size,
    }
}

/// The entries of a folder of a restore point; without a path those of what was saved.
async fn list(
    vault: &Vault,
    point: &Point,
    path: Option<PathBuf>,
) -> Result<(PathBuf, Vec<Node>), Failure> {
    let snapshot = point.found.snapshot.clone();
    let repository = vault.repository.clone();
    let listed = tokio::task::spawn_blocking(move || {
        let root = snapshot.paths.first().map_or("/", String::as_str);
        let root = Path::new(root);
        let reader = Reader::open(&repository)?;
        let wanted = match path {
            Some(path) => root.join(path.strip_prefix("/").unwrap_or(&path)),
            None => root.to_owned(),
        };
        match reader.folder(&snapshot, &wanted) {
            Ok(nodes) => Ok((wanted, nodes)),
            // It is a file: what there is in its folder is that file.
            Err(BackupError::NoPath { .. }) => {
                let node = reader.find(&snapshot, &wanted)?;
                Ok((wanted.parent().unwrap_or(root).to_owned(), vec![node]))
            }
            Err(error) => Err(error),
        }
    })
    .await
    .map_err(|error| Failure::bug("list the restore point", error))?;
    listed.map_err(|error| failed(BackupsError::Repository(error)))
}
