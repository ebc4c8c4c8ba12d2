//! What happened, as a running hash, and as words if somebody wants to read them.
//! Must not know what is right.

use crate::clock::Time;

/// The trace of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// With or without words.
    pub(crate) fn new(words: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: words.then(Vec::new),
        }
    }

    /// Mixes numbers into the hash: like FNV-1a, a whole number at a time, and turned so that every bit counts.
    pub(crate) fn mix(&mut self, numbers: &[u64]) {
        for number in numbers {
            let mixed = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3);
            self.hash = mixed.rotate_left(31);
        }
    }

    /// Writes a line, if words are wanted.
    pub(crate) fn say(&mut self, now: Time, words: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let (seconds, rest) = (now / 1_000_000, now % 1_000_000);
            lines.push(format!("{seconds:>5}.{rest:06} {}", words()));
        }
    }

    /// The hash so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The words.
    pub(crate) fn lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
