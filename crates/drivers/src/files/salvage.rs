//! Saves what only this site has before the site is made a copy: every file that the owner lacks or has otherwise.
//! Must not know what the files mean.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use mainstay_driver::ActError;
use mainstay_model::{Output, SiteId};
use mainstay_storage::{Content, Item, Lack, Manifest, Tree, TreeError, copy_only};
use serde::Serialize;

use super::{observe::content, own::Ours, state::data};
use crate::shared::{hindered, now, refused, sync_folder, write_durably};

/// The version of the manifest.
const VERSION: u32 = 1;

/// What is in a salvage folder: `manifest.json` beside `files/`.
#[derive(Debug, Serialize)]
struct Saved<'a> {
    version: u32,
    store: &'a str,
    site: &'a SiteId,
    owner: &'a SiteId,
    run: &'a str,
    at_us: i64,
    /// Digest over what is below `files/`.
    digest: String,
    items: Vec<SavedItem>,
}

/// One entry that the owner lacks.
#[derive(Debug, Serialize)]
struct SavedItem {
    path: String,
    mode: u32,
    kind: &'static str,
    size: Option<u64>,
    sha256: Option<String>,
    owner: &'static str,
}

/// Saves into `folder`, which appears whole or not at all; one that is there already is the answer.
pub(super) fn salvage(
    ours: &Ours<'_>,
    store: &str,
    owner: (&SiteId, &Path),
    folder: &Path,
) -> Result<Output, ActError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        hindered("salvage-failed", format!("{what}: {error}"))
    };
    if let Some(saved) = saved(folder) {
        return Ok(saved);
    }
    if !ours.root.exists() {
        return Ok(Output::default());
    }
    let _lock = ours.lock()?;
    if !owner.1.exists() {
        let what = format!("the owner's files at {} are not there", owner.1.display());
        return Err(refused("source-unreachable", what));
    }
    let mine = content(ours.root, ours.memory).map_err(|error| failed("read the files", &error))?;
    let theirs =
        content(owner.1, ours.memory).map_err(|error| failed("read the owner's", &error))?;
    let lacking = theirs.lacks(&mine);
    let temporary = folder.with_extension("unfinished");
    let saved =
        save(ours, &temporary, &lacking).map_err(|error| failed("save the files", &error))?;
    let digest = saved.digest();
    let summary = format!("{digest} {}", lacking.len());
    let manifest = Saved {
        version: VERSION,
        store,
        site: ours.asker.site,
        owner: owner.0,
        run: ours.asker.run.as_str(),
        at_us: now().0,
        digest,
        items: lacking
            .iter()
            .map(|(item, lack)| describe(item, *lack))
            .collect(),
    };
    finish(&temporary, folder, &manifest, &summary)
        .map_err(|error| failed("finish the salvage", &error))?;
    Ok(output(folder, &summary))
}

/// What was saved there, if it is.
pub(super) fn saved(folder: &Path) -> Option<Output> {
    let summary = fs::read_to_string(folder.join("summary")).ok()?;
    Some(output(folder, &summary))
}

fn save(
    ours: &Ours<'_>,
    temporary: &Path,
    lacking: &[(&Item, Lack)],
) -> Result<Manifest, TreeError> {
    let writing = |source| TreeError::Write {
        path: temporary.to_path_buf(),
        source,
    };
    if temporary.exists() {
        fs::remove_dir_all(temporary).map_err(writing)?;
    }
    let from = data(ours.root).map_err(writing)?;
    let to = Tree::create(&temporary.join("files")).map_err(writing)?;
    let wanted: BTreeSet<PathBuf> = lacking.iter().map(|(item, _)| item.path.clone()).collect();
    let copied = copy_only(&from, &to, &wanted, &ours.memory.hashes)?;
    Ok(copied.manifest)
}

fn describe(item: &Item, lack: Lack) -> SavedItem {
    let (kind, size, sha256) = match &item.content {
        Content::Folder => ("folder", None, None),
        Content::Link(_) => ("link", None, None),
        Content::File(size, sha) => ("file", Some(*size), Some(hex::encode(sha))),
    };
    SavedItem {
        path: item.path.to_string_lossy().into_owned(),
        mode: item.mode,
        kind,
        size,
        sha256,
        owner: match lack {
            Lack::Absent => "absent",
            Lack::Differs => "differs",
        },
    }
}

fn finish(
    temporary: &Path,
    folder: &Path,
    manifest: &Saved<'_>,
    summary: &str,
) -> std::io::Result<()> {
    let bytes = serde_json::to_vec_pretty(manifest)?;
    write_durably(&temporary.join("manifest.json"), &bytes)?;
    write_durably(&temporary.join("summary"), summary.as_bytes())?;
    fs::rename(temporary, folder)?;
    folder.parent().map_or(Ok(()), sync_folder)
}

fn output(folder: &Path, summary: &str) -> Output {
    let (digest, files) = summary.split_once(' ').unwrap_or((summary, "0"));
    Output {
        position: None,
        values: [
            ("salvage".to_owned(), folder.display().to_string()),
            ("files".to_owned(), files.to_owned()),
            ("digest".to_owned(), digest.to_owned()),
        ]
        .into(),
    }
}
