//! The network: latency, loss, duplicates, partitions in one direction or both.
//! Must not know what a message means.

use std::collections::BTreeSet;

use crate::{
    clock::{MS, SECOND, Time},
    dice::Dice,
};

/// The network's state.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    /// Cut directions.
    cut: BTreeSet<(usize, usize)>,
    /// Messages lost, in a thousand.
    pub(crate) loss: u64,
    /// Messages that arrive twice, in a thousand.
    pub(crate) twice: u64,
    /// Messages that take long, in a thousand.
    pub(crate) slow: u64,
}

impl Net {
    /// A network without faults.
    pub(crate) fn new() -> Self {
        Self {
            cut: BTreeSet::new(),
            loss: 0,
            twice: 0,
            slow: 0,
        }
    }

    /// Nothing goes from there to there any more.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// All is well again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// No faults of any sort from now on.
    pub(crate) fn calm(&mut self) {
        *self = Self::new();
    }

    /// Whether a message could get through.
    pub(crate) fn passes(&self, from: usize, to: usize) -> bool {
        from == to || !self.cut.contains(&(from, to))
    }

    /// Whether question and answer could.
    pub(crate) fn talks(&self, a: usize, b: usize) -> bool {
        self.passes(a, b) && self.passes(b, a)
    }

    /// The delays after which a message arrives: none if it is lost, two if it is duplicated.
    pub(crate) fn send(&self, from: usize, to: usize, dice: &mut Dice) -> [Option<Time>; 2] {
        if !self.passes(from, to) || (self.loss > 0 && dice.chance(self.loss)) {
            return [None, None];
        }
        let first = self.delay(dice);
        let twice = self.twice > 0 && dice.chance(self.twice);
        [Some(first), twice.then(|| self.delay(dice) * 3)]
    }

    fn delay(&self, dice: &mut Dice) -> Time {
        if self.slow > 0 && dice.chance(self.slow) {
            dice.between(200 * MS, 12 * SECOND)
        } else {
            dice.between(MS / 2, 12 * MS)
        }
    }
}
