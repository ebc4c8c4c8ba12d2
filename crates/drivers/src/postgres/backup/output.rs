//! The last words of a program that runs for long.
//! Must not know programs.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read},
    thread::JoinHandle,
};

/// How many lines are kept.
const LINES: usize = 5;

/// Listens until the program ends.
pub(super) struct Words(JoinHandle<VecDeque<String>>);

/// Begins to listen.
pub(super) fn words(from: impl Read + Send + 'static) -> Words {
    Words(std::thread::spawn(move || {
        let mut last = VecDeque::new();
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            if last.len() == LINES {
                last.pop_front();
            }
            last.push_back(String::from_utf8_lossy(&line).trim().to_owned());
        }
        last
    }))
}

impl Words {
    /// What it said last. Waits until nobody can say more.
    pub(super) fn last(self) -> String {
        let last = self.0.join().unwrap_or_default();
        Vec::from(last).join(" / ")
    }
}
