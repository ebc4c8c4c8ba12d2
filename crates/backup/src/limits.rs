//! How fast each stage of a backup and of a restore is by itself, on one thread: what the whole can reach at most, and
//! which stage holds it up. For measuring; nothing else needs it.
//! Must not know who measures.

use std::{
    fs::{self, File},
    hint::black_box,
    io::{self, Read as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mainstay_storage::{Local, ObjectName, Part, Storage, StorageError};

use crate::{
    Files, Id, Kind, Source,
    chunk::{AtEnd, Chunker},
    crypto::{IV, Key, OVERHEAD},
    pack::{Squeeze, TARGET},
    restore::write_sparse,
    saver::LEVEL,
};

/// What one thing of a backup or of a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Folders are listed and every entry is looked at.
    Walk,
    /// Files are read.
    Read,
    /// Cuts are found.
    Cut,
    /// Chunks are hashed: twice, when a blob is made and when it is proven.
    Hash,
    /// Chunks are compressed, if that helps.
    Compress,
    /// Blobs are encrypted and authenticated.
    Seal,
    /// What is sealed is hashed for its pack's name.
    HashPack,
    /// Packs are written piece by piece, and made durable.
    WritePack,
    /// Packs are written whole, and made durable.
    Upload,
    /// Packs are read in stretches.
    ReadPack,
    /// Blobs are authenticated and decrypted.
    Open,
    /// Blobs are decompressed.
    Decompress,
    /// Files are written.
    WriteFile,
}

/// How long one stage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Which.
    pub stage: Stage,
    /// For so many bytes of the source, however many were left of them.
    pub bytes: u64,
    /// On one thread.
    pub took: Duration,
}

impl Limit {
    /// Mebibytes of the source in a second.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is shown in a few digits"
    )]
    pub fn mib_per_second(&self) -> f64 {
        self.bytes as f64 / 1_048_576.0 / self.took.as_secs_f64().max(1e-9)
    }
}

/// A stretch of a pack that is read at once.
const STRETCH: u64 = 4 << 20;
/// A piece of a pack that is written at once.
const PIECE: usize = 2 << 20;

/// Lets each stage do its part for files below `source`, evenly taken from all of them up to `most` bytes, with
/// what the stage before made. Writes below `scratch`.
pub fn limits(source: &Path, scratch: &Path, most: u64) -> io::Result<Vec<Limit>> {
    let mut measured = Vec::new();
    let start = Instant::now();
    let files = walk(source)?;
    let total: u64 = files.iter().map(|(_, size)| size).sum();
    measured.push((Stage::Walk, total, start.elapsed()));
    let start = Instant::now();
    let sample = read(&files, total, most)?;
    let bytes = sample.iter().map(|file| file.len() as u64).sum();
    let mut note = |stage, took| measured.push((stage, bytes, took));
    note(Stage::Read, start.elapsed());
    let chunks = timed(Stage::Cut, &mut note, || cut(&sample));
    let ids: Vec<Id> = timed(Stage::Hash, &mut note, || {
        chunks.iter().map(|chunk| Id::of(chunk)).collect()
    });
    black_box(ids);
    let mut squeeze = Squeeze::new(LEVEL)?;
    let mut sealed: Vec<(Vec<u8>, bool)> = timed(Stage::Compress, &mut note, || {
        chunks
            .iter()
            .map(|chunk| {
                let squeezed = squeeze.squeeze(chunk);
                (framed(squeezed.unwrap_or(chunk)), squeezed.is_some())
            })
            .collect()
    });
    let mut random = rand::rng();
    let key = Key::random(&mut random);
    timed(Stage::Seal, &mut note, || {
        for (blob, _) in &mut sealed {
            key.seal(blob, &mut random);
        }
    });
    let pack: Vec<u8> = sealed.iter().flat_map(|(blob, _)| blob).copied().collect();
    timed(Stage::HashPack, &mut note, || black_box(Id::of(&pack)));
    store(&pack, scratch, &mut note).map_err(io::Error::other)?;
    drop(pack);
    timed(Stage::Open, &mut note, || {
        for (blob, _) in &mut sealed {
            let _ = black_box(key.open(blob));
        }
    });
    timed(Stage::Decompress, &mut note, || decompress(&sealed))?;
    drop(sealed);
    timed(Stage::WriteFile, &mut note, || write(&sample, scratch))?;
    let limit = |(stage, bytes, took)| Limit { stage, bytes, took };
    Ok(measured.into_iter().map(limit).collect())
}

fn timed<T>(stage: Stage, note: &mut impl FnMut(Stage, Duration), work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    note(stage, start.elapsed());
    done
}

/// Every file and its length, as a backup finds them.
fn walk(root: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let source = Files::new(root)?;
    let entered = source.enter()?;
    let mut open = vec![(entered.path, entered.folder)];
    let mut files = Vec::new();
    while let Some((path, folder)) = open.pop() {
        for entry in source.list(&folder)? {
            let below = path.join(&entry.name);
            if entry.kind == Some(Kind::Folder) {
                open.push((below, source.folder(&folder, &entry.name)?.0));
            } else {
                let meta = source.glance(&folder, &entry.name)?;
                files.push((below, meta.size));
            }
        }
    }
    Ok(files)
}

fn read(files: &[(PathBuf, u64)], total: u64, most: u64) -> io::Result<Vec<Vec<u8>>> {
    let share = |size: u64| {
        if total > most {
            u128::from(size) * u128::from(most) / u128::from(total)
        } else {
            u128::from(size)
        }
    };
    let mut sample = Vec::with_capacity(files.len());
    for (path, size) in files {
        let length = usize::try_from(share(*size)).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        File::open(path)?.read_exact(&mut bytes)?;
        sample.push(bytes);
    }
    Ok(sample)
}

fn cut(sample: &[Vec<u8>]) -> Vec<&[u8]> {
    let chunker = Chunker::new(b"limits");
    let mut chunks = Vec::new();
    for file in sample {
        let mut rest = &file[..];
        while !rest.is_empty() {
            let length = chunker.cut(rest, AtEnd::Yes).unwrap_or(rest.len());
            let (chunk, after) = rest.split_at(length);
            chunks.push(chunk);
            rest = after;
        }
    }
    chunks
}

/// With room for what sealing adds.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut framed = vec![0; bytes.len() + OVERHEAD];
    framed[IV..IV + bytes.len()].copy_from_slice(bytes);
    framed
}

/// Writes packs in both ways and reads them back.
fn store(
    bytes: &[u8],
    scratch: &Path,
    note: &mut impl FnMut(Stage, Duration),
) -> Result<(), StorageError> {
    let local = Local::create(&scratch.join("packs"))?;
    let name = |way: &str, number: usize| ObjectName::new(format!("{way}/{number}"));
    let packs = || bytes.chunks(TARGET).enumerate();
    timed(Stage::WritePack, note, || {
        for (number, pack) in packs() {
            if let Some(mut begun) = local.begin()? {
                pack.chunks(PIECE)
                    .try_for_each(|piece| begun.append(piece))?;
                begun.finish(&name("pieces", number)?)?;
            }
        }
        local.flush()
    })?;
    timed(Stage::Upload, note, || {
        packs().try_for_each(|(number, pack)| local.write(&name("whole", number)?, pack))?;
        local.flush()
    })?;
    timed(Stage::ReadPack, note, || {
        let mut into = Vec::new();
        for (number, pack) in packs() {
            let (name, size) = (name("whole", number)?, pack.len() as u64);
            for from in (0..size).step_by(usize::try_from(STRETCH).unwrap_or(usize::MAX)) {
                let len = STRETCH.min(size - from);
                local.read(&name, Part::Range { from, len }, &mut into)?;
            }
        }
        Ok(())
    })
}

fn decompress(sealed: &[(Vec<u8>, bool)]) -> io::Result<()> {
    let mut decompressor = zstd::bulk::Decompressor::new()?;
    let mut plain = Vec::with_capacity(crate::chunk::LONGEST);
    for (blob, _) in sealed.iter().filter(|(_, squeezed)| *squeezed) {
        plain.clear();
        let inner = &blob[IV..blob.len() + IV - OVERHEAD];
        decompressor.decompress_to_buffer(inner, &mut plain)?;
    }
    Ok(())
}

/// Writes files as a restore does: new ones, in chunks, without what is zero.
fn write(sample: &[Vec<u8>], scratch: &Path) -> io::Result<()> {
    let folder = scratch.join("files");
    fs::create_dir_all(&folder)?;
    for (number, bytes) in sample.iter().enumerate() {
        let file = OwnedFd::from(File::create(folder.join(number.to_string()))?);
        for (at, chunk) in (0_u64..).step_by(1 << 20).zip(bytes.chunks(1 << 20)) {
            write_sparse(&file, chunk, at)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_measured_on_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("in")).unwrap();
        fs::write(source.join("in/text"), "many words ".repeat(200_000)).unwrap();
        fs::write(source.join("none"), "").unwrap();
        let measured = limits(&source, &folder.path().join("scratch"), 1 << 20).unwrap();
        let stages: std::collections::BTreeSet<Stage> =
            measured.iter().map(|limit| limit.stage).collect();
        assert_eq!((stages.len(), measured.len()), (13, 13));
        assert!(measured[1..].iter().all(|limit| limit.bytes == 1 << 20));
        assert_eq!(measured[0].bytes, 2_200_000);
        assert!(measured.iter().all(|limit| limit.mib_per_second() > 0.0));
    }
}
