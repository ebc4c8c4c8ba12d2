//! Whether a new run may begin beside those that there are.
//! Must not know where runs are kept.

use crate::{
    RunPhase,
    bugs::{Bug, Bugs},
};

/// The run that keeps a new one from beginning: the first that is not over. Resumed after a newer one, it would act on
/// owners and epochs that have passed (I21).
pub fn unfinished<R>(runs: impl IntoIterator<Item = (R, RunPhase)>) -> Option<R> {
    unfinished_with(runs, Bugs::NONE)
}

/// The same, with planted bugs.
pub fn unfinished_with<R>(runs: impl IntoIterator<Item = (R, RunPhase)>, bugs: Bugs) -> Option<R> {
    let mut runs = runs.into_iter();
    let found = runs.find(|(_, phase)| !phase.is_over());
    let found = found.filter(|_| !bugs.has(Bug::RunsBesideUnfinished));
    found.map(|(run, _)| run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_is_over_lets_another_begin() {
        let over = [
            RunPhase::Succeeded,
            RunPhase::SucceededWithExceptions,
            RunPhase::Retreated,
            RunPhase::Cancelled,
        ];
        assert_eq!(unfinished(over.map(|phase| ("old", phase))), None);
        for phase in [
            RunPhase::Planned,
            RunPhase::AwaitingApproval,
            RunPhase::Running,
            RunPhase::Paused,
            RunPhase::Retreating,
            RunPhase::Stuck,
        ] {
            let runs = [("old", RunPhase::Retreated), ("left", phase)];
            assert_eq!(unfinished(runs), Some("left"), "{phase:?}");
        }
    }
}
