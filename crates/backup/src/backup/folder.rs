//! A folder that is being backed up: a place for each run of its entries, filled in any order by any thread. Whoever
//! fills the last place writes the tree and goes on with the folder above.
//! Must not know how entries are read.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::old::Old;
use crate::{Id, Meta};

/// Where a folder belongs: which place of the folder above it fills.
pub(super) struct Above<F> {
    pub(super) folder: Arc<Folder<F>>,
    pub(super) place: usize,
    pub(super) name: OsString,
    pub(super) meta: Meta,
}

/// A folder that is being backed up.
pub(super) struct Folder<F> {
    /// Nothing for the first.
    pub(super) above: Option<Box<Above<F>>>,
    pub(super) path: PathBuf,
    /// The source's folder; nothing for those above the source.
    pub(super) handle: Option<F>,
    pub(super) old: Option<Old>,
    places: Mutex<Vec<Vec<u8>>>,
    left: AtomicUsize,
}

impl<F> Folder<F> {
    /// One with so many places, all empty.
    pub(super) fn new(
        above: Option<Box<Above<F>>>,
        path: PathBuf,
        handle: Option<F>,
        old: Option<Old>,
        places: usize,
    ) -> Self {
        Self {
            above,
            path,
            handle,
            old,
            places: Mutex::new(vec![Vec::new(); places]),
            left: AtomicUsize::new(places),
        }
    }

    /// Fills a place with entries (their texts, separated by commas), or leaves it empty. Answers the tree once
    /// nothing is left to fill.
    pub(super) fn fill(&self, place: usize, texts: Vec<u8>) -> Option<Vec<u8>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(empty) = places.get_mut(place) {
            *empty = texts;
        }
        (self.left.fetch_sub(1, Ordering::AcqRel) == 1).then(|| tree(&places))
    }
}

/// A tree as restic writes it, with the line's end that its encoder leaves.
pub(super) fn tree(places: &[Vec<u8>]) -> Vec<u8> {
    let length: usize = places.iter().map(|place| place.len() + 1).sum();
    let mut json = Vec::with_capacity(length + 16);
    json.extend(b"{\"nodes\":[");
    let mut first = true;
    for place in places.iter().filter(|place| !place.is_empty()) {
        if !first {
            json.push(b',');
        }
        json.extend_from_slice(place);
        first = false;
    }
    json.extend(b"]}\n");
    json
}

/// The chunks of a file that other threads help with.
pub(super) struct Chunks {
    ids: Mutex<Vec<Option<Id>>>,
    left: AtomicUsize,
}

/// A chunk that is handed to another thread.
pub(super) struct Chunk {
    pub(super) of: Arc<Chunks>,
    pub(super) number: usize,
    pub(super) bytes: Vec<u8>,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            ids: Mutex::default(),
            left: AtomicUsize::new(0),
        }
    }

    /// Keeps a place for the next chunk.
    pub(super) fn expect(&self) -> usize {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.push(None);
        self.left.fetch_add(1, Ordering::AcqRel);
        ids.len() - 1
    }

    pub(super) fn fill(&self, number: usize, id: Id) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = ids.get_mut(number) {
            *place = Some(id);
        }
        drop(ids);
        self.left.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn is_whole(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    pub(super) fn ids(&self) -> Vec<Id> {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().flatten().copied().collect()
    }
}
