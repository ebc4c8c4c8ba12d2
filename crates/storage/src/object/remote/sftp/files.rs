//! What is done with files on a server: listed, read and written in pieces that are under way side by side.
//! Must not know objects' names, nor how the server is reached.

use std::{io, path::Path, sync::Arc};

use bytes::BytesMut;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use openssh_sftp_client::{Error, Sftp, file::File, metadata::MetaData};
use tokio::io::AsyncSeekExt as _;

use super::{
    super::fault::{Fault, Outcome, Sort},
    link::fault,
};

/// Most servers take that much in one request; for those that do not, a piece goes in several, one after the other.
const PIECE: usize = 128 << 10;
/// Pieces that are under way at once: 4 MiB, which fills a line of 320 Mbit/s over 100 ms.
const AT_ONCE: usize = 32;

/// What is at a path; nothing if there is nothing.
pub(super) async fn look(sftp: &Sftp, path: &str) -> Result<Option<MetaData>, Fault> {
    match sftp.fs().symlink_metadata(path).await.map_err(fault) {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.sort == Sort::NoObject => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn is_folder(found: &MetaData) -> bool {
    found.file_type().is_some_and(|kind| kind.is_dir())
}

/// Makes a folder, and those above it.
pub(super) async fn make_folder(sftp: &Sftp, path: &str) -> Result<(), Fault> {
    let mut missing = Vec::new();
    for above in Path::new(path).ancestors() {
        let Some(text) = above.to_str().filter(|text| !text.is_empty()) else {
            break;
        };
        // A link above the container is the user's own way of laying out a server.
        match sftp.fs().metadata(text).await.map_err(fault) {
            Ok(found) if is_folder(&found) => break,
            Ok(_) => return Err(odd(text, "is no folder")),
            Err(fault) if fault.sort == Sort::NoObject => missing.push(text),
            Err(fault) => return Err(fault),
        }
    }
    for text in missing.into_iter().rev() {
        let made = sftp.fs().create_dir(text).await.map_err(fault);
        if let Err(fault) = made {
            // Somebody else may have been faster.
            let found = look(sftp, text).await?;
            if !found.is_some_and(|found| is_folder(&found)) {
                return Err(fault);
            }
        }
    }
    Ok(())
}

/// A file or a folder in a folder.
pub(super) enum Found {
    Folder(String),
    File(String, u64),
}

/// What is in a folder, in no order; nothing where there is no folder.
pub(super) async fn entries(sftp: &Sftp, folder: &str) -> Result<Option<Vec<Found>>, Fault> {
    let opened = match sftp.fs().open_dir(folder).await.map_err(fault) {
        Ok(opened) => opened,
        Err(fault) if fault.sort == Sort::NoObject => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let mut found = Vec::new();
    let mut listing = Box::pin(opened.read_dir());
    while let Some(entry) = listing.try_next().await.map_err(fault)? {
        let Some(name) = entry
            .filename()
            .to_str()
            .filter(|name| !matches!(*name, "." | ".."))
        else {
            continue;
        };
        let (name, meta) = (name.to_owned(), entry.metadata());
        // Not every server tells all of it in a listing.
        let meta = match (meta.file_type(), meta.len()) {
            (Some(_), Some(_)) => meta,
            _ => match look(sftp, &format!("{folder}/{name}")).await? {
                Some(meta) => meta,
                None => continue,
            },
        };
        match (meta.file_type(), meta.len()) {
            (Some(kind), _) if kind.is_dir() => found.push(Found::Folder(name)),
            (Some(kind), Some(size)) if kind.is_file() => found.push(Found::File(name, size)),
            (Some(_), _) => {}
            (None, _) => return Err(odd(&name, "is of a kind that the server does not tell")),
        }
    }
    Ok(Some(found))
}

/// The length of an open file.
pub(super) async fn length(file: &mut File) -> Result<u64, Fault> {
    let meta = file.metadata().await.map_err(fault)?;
    match (meta.file_type(), meta.len()) {
        (Some(kind), Some(size)) if kind.is_file() => Ok(size),
        _ => Err(odd("it", "is no file")),
    }
}

/// Reads exactly so many bytes.
pub(super) async fn read(file: &File, from: u64, len: usize) -> Result<Vec<u8>, Fault> {
    let pieces = (0..len).step_by(PIECE).map(|at| {
        let (file, wanted) = (file.clone(), PIECE.min(len - at));
        async move { read_piece(file, from + at as u64, wanted).await }
    });
    let mut pieces = stream::iter(pieces).buffered(AT_ONCE);
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| odd("it", "is larger than memory"))?;
    while let Some(piece) = pieces.try_next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn read_piece(mut file: File, from: u64, wanted: usize) -> Result<Vec<u8>, Fault> {
    let mut piece = Vec::with_capacity(wanted);
    while piece.len() < wanted {
        // The library moves on by what was asked for, however little came: so the place is said each time.
        let at = io::SeekFrom::Start(from + piece.len() as u64);
        file.seek(at)
            .await
            .map_err(|error| fault(Error::IOError(error)))?;
        let rest = u32::try_from(wanted - piece.len()).unwrap_or(u32::MAX);
        match file.read(rest, BytesMut::new()).await.map_err(fault)? {
            Some(bytes) if !bytes.is_empty() => piece.extend_from_slice(&bytes),
            _ => return Err(odd("it", "ended while it was read")),
        }
    }
    Ok(piece)
}

/// Writes bytes from a place on.
pub(super) async fn write(file: &File, from: u64, bytes: &Arc<Vec<u8>>) -> Result<(), Fault> {
    let pieces = (0..bytes.len()).step_by(PIECE).map(|at| {
        let (mut file, bytes) = (file.clone(), Arc::clone(bytes));
        async move {
            let place = io::SeekFrom::Start(from + at as u64);
            let end = bytes.len().min(at + PIECE);
            file.seek(place)
                .await
                .map_err(|error| fault(Error::IOError(error)))?;
            file.write_all(&bytes[at..end]).await.map_err(fault)
        }
    });
    stream::iter(pieces)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

fn odd(what: &str, how: &str) -> Fault {
    Fault {
        sort: Sort::Other,
        outcome: Outcome::NotDone,
        source: io::Error::new(io::ErrorKind::InvalidData, format!("{what} {how}")),
    }
}
