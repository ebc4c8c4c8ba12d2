//! The part of a terminal that is drawn again and again: lines that replace the ones before.
//! Must not know what the lines say.

use console::{Term, measure_text_width, truncate_str};

/// A few rows at the end of the terminal.
#[derive(Debug)]
pub(crate) struct Live {
    term: Term,
    /// The widths of the lines that stand there now.
    drawn: Vec<usize>,
}

impl Live {
    /// Nothing is drawn yet.
    pub(crate) fn new() -> Self {
        Self {
            term: Term::buffered_stdout(),
            drawn: Vec::new(),
        }
    }

    /// How many rows may be drawn: one less than the terminal has, so that nothing scrolls.
    pub(crate) fn rows(&self) -> usize {
        let (rows, _) = self.term.size();
        usize::from(rows).saturating_sub(1).max(3)
    }

    /// Replaces what stands there.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        self.wipe();
        let columns = self.columns();
        for line in lines {
            let cut = truncate_str(line, columns, "…");
            self.drawn.push(measure_text_width(&cut));
            // A terminal that is gone is no reason to stop a run.
            let _ = self.term.write_line(&cut);
        }
        let _ = self.term.flush();
    }

    /// Puts a line above that stays.
    pub(crate) fn above(&mut self, line: &str) {
        self.wipe();
        let _ = self.term.write_line(line);
        let _ = self.term.flush();
    }

    /// Takes the rows away.
    pub(crate) fn clear(&mut self) {
        self.wipe();
        let _ = self.term.flush();
    }

    fn columns(&self) -> usize {
        let (_, columns) = self.term.size();
        usize::from(columns).max(20)
    }

    /// A terminal that became narrower since has broken the lines: they take more rows now.
    fn wipe(&mut self) {
        let columns = self.columns();
        let rows = self
            .drawn
            .drain(..)
            .map(|width| width.div_ceil(columns).max(1));
        let _ = self.term.clear_last_lines(rows.sum());
    }
}
