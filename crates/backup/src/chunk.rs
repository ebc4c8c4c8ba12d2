//! Where a file is cut, by its content, so that an insertion moves few cuts. Any cuts are valid to readers.
//! Source: Xia and others, "The Design of Fast Content-Defined Chunking" (2020), by the crate `fastcdc`.
//! Must not know files.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};
use sha2::{Digest as _, Sha256};

/// Nothing shorter is cut.
pub(crate) const SHORTEST: usize = 512 << 10;
/// What chunks tend to.
const AVERAGE: usize = 1 << 20;
/// Nothing longer is left whole.
pub(crate) const LONGEST: usize = 8 << 20;

/// Cuts by a repository's own secret, so that the lengths of chunks tell a stranger nothing about known files.
#[derive(Clone)]
pub(crate) struct Chunker {
    gear: Vec<u64>,
    shifted: Vec<u64>,
    masks: (u64, u64),
}

impl Chunker {
    /// The same secret gives the same cuts.
    pub(crate) fn new(secret: &[u8]) -> Self {
        let random = |number: u64| {
            let mut hash = Sha256::new();
            hash.update(b"mainstay chunker 1\0");
            hash.update(secret);
            hash.update(number.to_le_bytes());
            let bytes: [u8; 32] = hash.finalize().into();
            bytes
                .first_chunk()
                .map_or(0, |first| u64::from_le_bytes(*first))
        };
        let gear: Vec<u64> = (0..256).map(random).collect();
        Self {
            shifted: gear.iter().map(|one| one << 1).collect(),
            gear,
            masks: select_masks(AVERAGE, Normalization::Level1),
        }
    }

    /// The length of the first chunk, if these bytes tell it: a cut was found, the chunk is as long as it may be, or
    /// nothing follows.
    pub(crate) fn cut(&self, bytes: &[u8], at_end: AtEnd) -> Option<usize> {
        let (small, large) = self.masks;
        let (_, length) = cut_gear(
            bytes,
            SHORTEST,
            AVERAGE,
            LONGEST,
            small,
            large,
            small << 1,
            large << 1,
            &self.gear,
            &self.shifted,
        );
        let told = length < bytes.len() || length >= LONGEST || at_end == AtEnd::Yes;
        told.then_some(length)
    }
}

/// Whether anything follows the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// They are the last.
    Yes,
    /// There may be more.
    NotYet,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(bytes: &[u8], step: usize) -> Vec<usize> {
        let chunker = Chunker::new(b"secret");
        let (mut from, mut seen, mut cuts) = (0, 0, Vec::new());
        while from < bytes.len() {
            let end = if seen == bytes.len() {
                AtEnd::Yes
            } else {
                AtEnd::NotYet
            };
            match chunker.cut(&bytes[from..seen], end) {
                Some(length) if length > 0 => {
                    from += length;
                    cuts.push(from);
                }
                _ => seen = (seen + step).min(bytes.len()),
            }
        }
        cuts
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn cuts_do_not_depend_on_how_much_is_seen_at_a_time() {
        let bytes = noise(12 << 20);
        let whole = cuts(&bytes, bytes.len());
        assert!(whole.len() > 5, "{whole:?}");
        assert_eq!(whole, cuts(&bytes, 3 << 20));
        assert_eq!(whole, cuts(&bytes, 700_001));
    }

    #[test]
    fn an_insertion_moves_few_cuts_and_lengths_are_kept_to() {
        let bytes = noise(12 << 20);
        let before = cuts(&bytes, bytes.len());
        let mut longer = b"inserted".to_vec();
        longer.extend(&bytes);
        let after = cuts(&longer, longer.len());
        let kept = before
            .iter()
            .filter(|cut| after.contains(&(*cut + 8)))
            .count();
        assert!(kept + 3 >= before.len(), "{kept} of {}", before.len());
        let mut last = 0;
        for cut in &before[..before.len() - 1] {
            assert!((SHORTEST..=LONGEST).contains(&(cut - last)));
            last = *cut;
        }
        assert_eq!(cuts(&vec![0; 20 << 20], 1 << 20)[0], LONGEST);
    }
}
