//! The mover's journal on a disk that forgets what was not synced, and tears what it was just writing.
//! Must not know what an entry says.

use mainstay_engine::Seq;

use crate::dice::Dice;

/// A disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// What survives a crash.
    pub(crate) synced: Vec<u8>,
    /// Written and not synced.
    cache: Vec<u8>,
    /// The number of the last synced entry, kept elsewhere.
    pub(crate) durable: Seq,
    /// The number of the last written entry.
    written: Seq,
}

impl Disk {
    /// Appends an entry.
    pub(crate) fn append(&mut self, seq: Seq, bytes: &[u8]) {
        self.cache.extend_from_slice(bytes);
        self.written = seq;
    }

    /// Whether something is not synced.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.cache.is_empty()
    }

    /// The last written entry.
    pub(crate) fn written(&self) -> Seq {
        self.written
    }

    /// What was written survives from here on.
    pub(crate) fn sync(&mut self) {
        self.synced.append(&mut self.cache);
        self.durable = self.written;
    }

    /// Power fails: of what was not synced, any prefix may be there.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        let keep = match dice.below(3) {
            0 => 0,
            1 => self.cache.len(),
            _ => dice.index(self.cache.len() + 1),
        };
        self.cache.truncate(keep);
        self.synced.append(&mut self.cache);
        self.written = self.durable;
    }

    /// Cuts a torn tail off.
    pub(crate) fn cut(&mut self, end: usize, last: Seq) {
        self.synced.truncate(end);
        self.durable = last;
        self.written = last;
    }
}
