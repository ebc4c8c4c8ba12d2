//! Asks before the world is changed. Without a terminal only `--yes` is a yes.
//! Must not know what is about to happen; the verb has shown it.

use std::io::{BufRead, IsTerminal, Write};

use crate::{
    args::Yes,
    error::{Exit, Failure},
};

/// Returns when the answer is yes.
pub(crate) fn ask(question: &str, yes: Yes) -> Result<(), Failure> {
    if yes.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::usage(
            "MS0004",
            "this changes the world and there is no terminal to ask at",
        )
        .next("add `--yes` once you have read the plan"));
    }
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{question} Type yes: ");
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Failure::new("MS0012", "not done: the answer was not yes").exit(Exit::Failed))
}
