//! A file that is there already: which of its parts are right.
//! Must not know how the others are fetched.

use std::{io, os::fd::OwnedFd};

use rustix::{buffer::spare_capacity, io::Errno};

use super::{
    plan::FileJob,
    target::{Target, set_length},
};
use crate::{BlobKind, Id, Index, index::Place};

/// What was found.
pub(super) struct Found {
    pub(super) file: OwnedFd,
    /// For each blob, whether it is right.
    pub(super) right: Vec<bool>,
}

/// Reads a regular file that only has this name, part by part. Anything else that is in the way is removed, unless it
/// is a folder.
pub(super) fn compare(target: &Target, job: &FileJob, index: &Index) -> io::Result<Option<Found>> {
    let Some(seen) = target.look(&job.path)? else {
        return Ok(None);
    };
    let sort = rustix::fs::FileType::from_raw_mode(seen.st_mode);
    if sort == rustix::fs::FileType::Directory {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "a folder is in its place",
        ));
    }
    // Another name of the same file may lie outside: writing here would write there.
    if sort != rustix::fs::FileType::RegularFile || seen.st_nlink > 1 {
        target.remove(&job.path)?;
        return Ok(None);
    }
    let file = target.open_file(&job.path)?;
    let (mut right, mut at, mut bytes) = (Vec::new(), 0, Vec::new());
    for id in &job.blobs {
        let length = index
            .find(BlobKind::Data, id)
            .map_or(0, Place::plain_length);
        read(&file, at, length, &mut bytes)?;
        right.push(bytes.len() as u64 == length && Id::of(&bytes) == *id);
        at += length;
    }
    set_length(&file, job.size)?;
    Ok(Some(Found { file, right }))
}

/// Reads as much as is there.
fn read(file: &OwnedFd, at: u64, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    let length = usize::try_from(length).map_err(io::Error::other)?;
    into.try_reserve_exact(length).map_err(io::Error::other)?;
    while into.len() < length {
        let from = at + into.len() as u64;
        match rustix::io::pread(file, spare_capacity(into), from) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    into.truncate(length);
    Ok(())
}
