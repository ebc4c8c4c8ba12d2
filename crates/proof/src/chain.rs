//! A chain of entries: each names the hash of the one before it, so that nothing can be edited, left out or put in
//! unseen (I18, I30). The hash covers stored bytes, never a value that was serialised again.
//! Must not know what an entry says.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Hash;

/// The end of a chain: keep it apart from the chain, and a shortened chain is seen too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The sequence of the last entry; 0 for an empty chain.
    pub seq: u64,
    /// Its hash; [`Hash::NONE`] for an empty chain.
    pub hash: Hash,
}

/// One stored entry, as whoever keeps the chain has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// The hash of the entry before it.
    pub previous: Hash,
    /// The stored bytes.
    pub bytes: &'a [u8],
    /// Its own hash.
    pub hash: Hash,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is missing, repeated or out of order.
    #[error("its number is {found}")]
    Sequence {
        /// The number it has.
        found: u64,
    },
    /// It does not follow the entry before it: one of them was replaced.
    #[error("it does not follow the entry before it")]
    Previous,
    /// Its bytes are not those that were written.
    #[error("its bytes are not those that were written")]
    Content,
    /// The chain ends before it.
    #[error("the chain ends before it")]
    Missing,
    /// The chain has this entry, and its head says that it ends earlier or otherwise.
    #[error("the head of the chain does not name it")]
    Head,
}

/// A chain is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry} is damaged: {what}")]
pub struct Damaged {
    /// The number that the entry should have.
    pub entry: u64,
    /// What is wrong with it.
    pub what: Broken,
}

/// The hash of an entry: SHA-256 over the domain tag with its length, the previous hash, the sequence, and the bytes.
#[must_use]
pub fn link(domain: &str, previous: &Hash, seq: u64, bytes: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update((domain.len() as u64).to_be_bytes());
    hasher.update(domain.as_bytes());
    hasher.update(previous.0);
    hasher.update(seq.to_be_bytes());
    hasher.update(bytes);
    Hash(hasher.finalize().into())
}

impl Head {
    /// Checks that `next` follows, and moves on to it.
    pub fn follow(&mut self, domain: &str, next: &Link<'_>) -> Result<(), Damaged> {
        let entry = self.seq + 1;
        let damaged = |what| Damaged { entry, what };
        if next.seq != entry {
            return Err(damaged(Broken::Sequence { found: next.seq }));
        }
        if next.hash != link(domain, &next.previous, next.seq, next.bytes) {
            return Err(damaged(Broken::Content));
        }
        if next.previous != self.hash {
            return Err(damaged(Broken::Previous));
        }
        *self = Self {
            seq: entry,
            hash: next.hash,
        };
        Ok(())
    }
}

/// Checks a whole chain and returns its head. With an `expected` head, a chain that was cut, lengthened or forked is
/// found as well; without one, a cut at the end cannot be seen.
pub fn verify<'a>(
    domain: &str,
    links: impl IntoIterator<Item = Link<'a>>,
    expected: Option<Head>,
) -> Result<Head, Damaged> {
    let mut head = Head::default();
    for next in links {
        head.follow(domain, &next)?;
        match expected {
            Some(end) if head.seq == end.seq && head.hash != end.hash || head.seq > end.seq => {
                return Err(Damaged {
                    entry: head.seq,
                    what: Broken::Head,
                });
            }
            _ => {}
        }
    }
    match expected {
        Some(end) if head.seq < end.seq => Err(Damaged {
            entry: head.seq + 1,
            what: Broken::Missing,
        }),
        _ => Ok(head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "test";

    fn chain(entries: &[&'static [u8]]) -> Vec<Link<'static>> {
        let (mut previous, mut links) = (Hash::NONE, Vec::new());
        for (seq, bytes) in (1..).zip(entries) {
            let hash = link(DOMAIN, &previous, seq, bytes);
            links.push(Link {
                seq,
                previous,
                bytes,
                hash,
            });
            previous = hash;
        }
        links
    }

    fn damage(links: Vec<Link<'_>>, head: Option<Head>) -> (u64, Broken) {
        let damaged = verify(DOMAIN, links, head).unwrap_err();
        (damaged.entry, damaged.what)
    }

    #[test]
    fn i18_every_kind_of_damage_names_its_entry() {
        let good = chain(&[b"a", b"b", b"c", b"d"]);
        let head = verify(DOMAIN, good.clone(), None).unwrap();
        assert_eq!(head.seq, 4);
        assert_eq!(verify(DOMAIN, good.clone(), Some(head)), Ok(head));
        assert_eq!(
            verify("other", good.clone(), None).unwrap_err().what,
            Broken::Content
        );

        let mut edited = good.clone();
        edited[1].bytes = b"B";
        assert_eq!(damage(edited, None), (2, Broken::Content));

        let mut left_out = good.clone();
        left_out.remove(2);
        assert_eq!(damage(left_out, None), (3, Broken::Sequence { found: 4 }));

        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert_eq!(damage(swapped, None), (2, Broken::Sequence { found: 3 }));

        let other = chain(&[b"a", b"x", b"c", b"d"]);
        let spliced = vec![good[0], good[1], other[2], other[3]];
        assert_eq!(damage(spliced, None), (3, Broken::Previous));

        assert_eq!(damage(good[..3].to_vec(), Some(head)), (4, Broken::Missing));
        assert_eq!(damage(other.clone(), Some(head)), (4, Broken::Head));
        let longer = chain(&[b"a", b"b", b"c", b"d", b"e"]);
        assert_eq!(damage(longer, Some(head)), (5, Broken::Head));
    }
}
