//! The one place of xtask that writes to the terminal. Plain lines, so that logs read well.

use std::time::Duration;

/// One line to standard output.
#[expect(clippy::print_stdout, reason = "this module is xtask's output")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// One line to standard error.
#[expect(clippy::print_stderr, reason = "this module is xtask's output")]
pub(crate) fn complaint(text: &str) {
    eprintln!("{text}");
}

/// Seconds with one decimal, or minutes and seconds from a minute on.
pub(crate) fn took(time: Duration) -> String {
    if time.as_secs() < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(took(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(took(Duration::from_secs(125)), "2 min 05 s");
    }
}
