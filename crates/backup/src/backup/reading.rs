//! Reading the entries of a folder: a look tells whether one changed; what did is read, cut, and saved.
//! Must not know how threads are run.

use std::{
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    sync::{Arc, atomic::Ordering},
};

use super::{
    folder::{Chunk, Chunks, Folder},
    queue::Queue,
    run::{Hands, Run, Task},
};
use crate::{
    BlobKind, Id, Kind, Listed, Meta, ShortRead, Source,
    chunk::{AtEnd, LONGEST, SHORTEST},
    node::{Leads, write_node},
    saver::Stopped,
};

/// How much of a large file is read before it is cut: several chunks, and still in the cache when they are hashed.
const WINDOW: usize = 2 << 20;

/// Why an entry is not in the snapshot.
pub(super) enum Lost {
    /// It cannot be read.
    Unreadable(io::Error),
    /// The backup stops.
    Stopped,
}

impl From<Stopped> for Lost {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Whether something is not there any more: it was removed since it was listed.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

impl<S: Source> Run<'_, S> {
    /// Reads a run of entries and fills their place.
    pub(super) fn entries(
        &self,
        hands: &mut Hands<'_>,
        folder: &Arc<Folder<S::Folder>>,
        place: usize,
        entries: &[Listed],
    ) -> Result<(), Stopped> {
        let mut texts = Vec::with_capacity(entries.len() * 420);
        let (mut count, mut bytes) = (0, 0);
        for entry in entries {
            let from = texts.len();
            if from > 0 {
                texts.push(b',');
            }
            match self.entry(hands, folder, entry, &mut texts) {
                Ok(size) => (count, bytes) = (count + 1, bytes + size),
                Err(Lost::Stopped) => return Err(Stopped),
                Err(Lost::Unreadable(error)) => {
                    texts.truncate(from);
                    self.trouble(folder.path.join(&entry.name), &error);
                }
            }
        }
        self.entries.fetch_add(count, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.done(count, 0);
        self.fill(hands, folder, place, texts)
    }

    /// Appends one entry's text and answers the size of a file.
    fn entry(
        &self,
        hands: &mut Hands<'_>,
        folder: &Folder<S::Folder>,
        entry: &Listed,
        texts: &mut Vec<u8>,
    ) -> Result<u64, Lost> {
        let (name, gone) = (entry.name.as_bytes(), io::ErrorKind::NotFound);
        let handle = folder
            .handle
            .as_ref()
            .ok_or(gone)
            .map_err(io::Error::from)?;
        let mut kind = entry.kind;
        if kind.is_none() || folder.old.as_ref().is_some_and(|old| old.has(name)) {
            let seen = self.source.glance(handle, &entry.name)?;
            kind = Some(seen.kind);
            if let (Some(old), Some(made)) = (&folder.old, self.parent_time)
                && let Some((text, size)) = old.unchanged(name, &seen, made, self.index)
            {
                texts.extend_from_slice(text);
                self.unchanged.fetch_add(1, Ordering::Relaxed);
                self.progress.done(0, size);
                return Ok(size);
            }
        }
        if kind != Some(Kind::File) {
            let meta = self.source.look(handle, &entry.name)?;
            if meta.kind == Kind::File || meta.kind == Kind::Folder {
                return Err(
                    io::Error::other("it became another sort of entry while it was read").into(),
                );
            }
            write_node(name, &meta, Leads::Nowhere, texts);
            return Ok(0);
        }
        let (content, mut meta) = self.source.open(handle, &entry.name)?;
        let expected = meta.size;
        let blobs = self.content(hands, content, &mut meta)?;
        // A stream does not know its length before its end.
        if meta.size != expected && expected != u64::MAX {
            self.changing.fetch_add(1, Ordering::Relaxed);
        }
        write_node(name, &meta, Leads::Content(&blobs), texts);
        Ok(meta.size)
    }

    /// Reads a file to its end and saves its chunks. The size in `meta` becomes what was read.
    fn content(
        &self,
        hands: &mut Hands<'_>,
        mut content: S::Content,
        meta: &mut Meta,
    ) -> Result<Vec<Id>, Lost> {
        // A file as small as most are ends with the first read, in a buffer that stays in the cache.
        let small = usize::try_from(meta.size)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let room = if small <= SHORTEST {
            small.max(4096)
        } else {
            WINDOW
        };
        let (mut window, mut held) = (std::mem::take(&mut hands.window), 0);
        let chunks = Arc::new(Chunks::new());
        let mut size = 0;
        if window.len() < room {
            window.resize(room, 0);
        }
        let mut room = room;
        loop {
            let end = self.top_up(&mut content, &mut window[..room], &mut held)?;
            let mut from = 0;
            while from < held {
                let Some(length) = self.chunker.cut(&window[from..held], end) else {
                    break;
                };
                let chunk = &window[from..from + length];
                self.chunk(hands, &chunks, chunk)?;
                (from, size) = (from + length, size + length as u64);
            }
            window.copy_within(from..held, 0);
            held -= from;
            if end == AtEnd::Yes {
                break;
            }
            if from == 0 {
                // No cut in sight: a longer look is needed.
                room = (room * 2).clamp(WINDOW, LONGEST);
                window.resize(window.len().max(room), 0);
            }
        }
        hands.window = window;
        meta.size = size;
        while !chunks.is_whole() {
            self.saver.check()?;
            match self.queue.help() {
                Some(chunk) => self.chunk_of_another(hands, &chunk)?,
                None => Queue::<Task<S::Folder>, Chunk>::pause(),
            }
        }
        Ok(chunks.ids())
    }

    /// Reads until the window is full or the file ends.
    fn top_up(
        &self,
        content: &mut S::Content,
        window: &mut [u8],
        held: &mut usize,
    ) -> io::Result<AtEnd> {
        while *held < window.len() {
            let room = window.len() - *held;
            match content.read(&mut window[*held..]) {
                Ok(0) => return Ok(AtEnd::Yes),
                Ok(count) => {
                    *held += count;
                    if count < room && self.source.short_read() == ShortRead::IsTheEnd {
                        return Ok(AtEnd::Yes);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(AtEnd::NotYet)
    }

    /// Saves a chunk, or hands it to a thread that has nothing to do.
    fn chunk(
        &self,
        hands: &mut Hands<'_>,
        chunks: &Arc<Chunks>,
        bytes: &[u8],
    ) -> Result<(), Stopped> {
        self.saver.check()?;
        let number = chunks.expect();
        if bytes.len() >= SHORTEST && self.queue.has_spare() {
            self.queue.hand_over(Chunk {
                of: Arc::clone(chunks),
                number,
                bytes: bytes.to_vec(),
            });
        } else {
            chunks.fill(number, hands.hand.save(BlobKind::Data, bytes)?);
            self.progress.done(0, bytes.len() as u64);
        }
        Ok(())
    }

    /// Saves a chunk of a file that another thread reads.
    pub(super) fn chunk_of_another(
        &self,
        hands: &mut Hands<'_>,
        chunk: &Chunk,
    ) -> Result<(), Stopped> {
        let id = hands.hand.save(BlobKind::Data, &chunk.bytes)?;
        self.progress.done(0, chunk.bytes.len() as u64);
        chunk.of.fill(chunk.number, id);
        Ok(())
    }

    /// Keeps in mind what could not be read. What was removed meanwhile is no part of the source any more.
    pub(super) fn trouble(&self, path: std::path::PathBuf, error: &io::Error) {
        if !is_gone(error) {
            self.problem(path, error.to_string());
        }
    }
}
