//! Reads what `cargo test` prints: counts, and which tests said that they were left out.
//!
//! Tests run with `--show-output`. One that cannot run here (a program is missing) prints a line
//! `skipped: REASON` and returns; it is counted as skipped, never as passed.

/// The line by which a test says that it was left out.
const SKIPPED: &str = "skipped: ";

/// Sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    /// Adds another one.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Whether a line is worth showing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Line,
    Nothing,
}

/// Where in the output of one test program the reader is.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Results,
    /// The captured output of tests that passed.
    Successes,
}

/// Reads line by line.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    part: Part,
    test: String,
    left_out_here: usize,
    /// The sums so far.
    pub(crate) tally: Tally,
    /// Tests that said they were left out, with their reason.
    pub(crate) left_out: Vec<(String, String)>,
}

impl Reader {
    /// Takes one line of standard output.
    pub(crate) fn line(&mut self, line: &str) -> Show {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.part = Part::Results;
            self.result(counts);
            return Show::Line;
        }
        match (&self.part, line) {
            (_, "failures:") => self.part = Part::Results,
            (_, "successes:") => self.part = Part::Successes,
            _ => {}
        }
        if self.part == Part::Results {
            return Show::Line;
        }
        let heading = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(name) = heading {
            name.clone_into(&mut self.test);
        } else if let Some(reason) = line.strip_prefix(SKIPPED) {
            // A test that says so twice is still one test.
            let known = self
                .left_out
                .last()
                .is_some_and(|(name, _)| *name == self.test);
            if self.left_out_here == 0 || !known {
                self.left_out_here += 1;
                self.left_out.push((self.test.clone(), reason.to_owned()));
            }
        }
        Show::Nothing
    }

    /// `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn result(&mut self, counts: &str) {
        let counts = counts.split_once(". ").map_or(counts, |(_, counts)| counts);
        let count = |word: &str| {
            let part = counts
                .split("; ")
                .find_map(|part| part.trim().strip_suffix(word));
            part.and_then(|number| number.trim().parse::<usize>().ok())
                .unwrap_or(0)
        };
        let left_out = std::mem::take(&mut self.left_out_here);
        self.tally.add(&Tally {
            passed: count("passed").saturating_sub(left_out),
            failed: count("failed"),
            skipped: count("ignored") + left_out,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 3 tests
test a ... ok
test b ... ok
test c ... ignored

successes:

---- a stdout ----
some words
skipped: no knotd
skipped: and no named

---- b stdout ----
chatter

successes:
    a
    b

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 2 tests
test d ... FAILED
test e ... ok

successes:

successes:
    e

failures:

---- d stdout ----
skipped: but it failed

failures:
    d

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s
";

    #[test]
    fn counts_are_summed_and_left_out_tests_are_not_passed() {
        let mut reader = Reader::default();
        for line in OUTPUT.lines() {
            reader.line(line);
        }
        assert_eq!(
            reader.tally,
            Tally {
                passed: 2,
                failed: 1,
                skipped: 2
            }
        );
        assert_eq!(reader.left_out, [("a".to_owned(), "no knotd".to_owned())]);
    }

    #[test]
    fn the_chatter_of_passing_tests_is_hidden_and_failures_are_shown() {
        let mut reader = Reader::default();
        let shown: Vec<&str> = OUTPUT
            .lines()
            .filter(|line| reader.line(line) == Show::Line)
            .collect();
        assert!(!shown.contains(&"chatter"), "{shown:?}");
        for needed in [
            "test a ... ok",
            "---- d stdout ----",
            "skipped: but it failed",
        ] {
            assert!(shown.contains(&needed), "{needed} is missing in {shown:?}");
        }
    }

    #[test]
    fn other_lines_count_nothing() {
        let mut reader = Reader::default();
        for line in ["", "12 passed", "   Doc-tests mainstay", "test result: odd"] {
            reader.line(line);
        }
        assert_eq!(reader.tally, Tally::default());
    }
}
