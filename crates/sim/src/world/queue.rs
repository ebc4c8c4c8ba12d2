//! What is waiting to happen, by time; at the same time, whatever was put in first.
//! Must not know what an event means.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::Ev;
use crate::clock::Time;

/// The queue. Events stay where they are; only their times and places are sorted.
#[derive(Debug, Default)]
pub(super) struct Queue {
    order: BinaryHeap<Reverse<(Time, u64, usize)>>,
    events: Vec<Option<Ev>>,
    free: Vec<usize>,
    count: u64,
}

impl Queue {
    /// Puts an event in.
    pub(super) fn push(&mut self, at: Time, event: Ev) {
        self.count += 1;
        let place = if let Some(place) = self.free.pop() {
            self.events[place] = Some(event);
            place
        } else {
            self.events.push(Some(event));
            self.events.len() - 1
        };
        self.order.push(Reverse((at, self.count, place)));
    }

    /// Takes the next event out.
    pub(super) fn pop(&mut self) -> Option<(Time, Ev)> {
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.events[place].take().map(|event| (at, event))
    }
}
