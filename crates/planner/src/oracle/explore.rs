//! The search over all orders.
//! Must not know what an event does.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use mainstay_model::{
    Body, MoveMode, Necessity, OnFailure, Phase, PlanFile, Runbook, StepId, Undo,
};

use super::{
    cast::Cast,
    state::{State, Way},
    world::Broken,
};

/// The most steps that are searched; the number of orders doubles or triples with each.
pub const MAX_STEPS: usize = 12;

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No order breaks an invariant.
    Safe,
    /// An order breaks this one.
    Unsafe(&'static str),
    /// The runbook has more than [`MAX_STEPS`] steps.
    TooLarge,
}

/// The result, with how much was searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    /// What was found.
    pub found: Found,
    /// States met.
    pub states: usize,
}

/// Carries out every order that the edges allow.
#[must_use]
pub fn explore(runbook: &Runbook, file: &PlanFile) -> Explored {
    if runbook.steps.len() > MAX_STEPS {
        return Explored {
            found: Found::TooLarge,
            states: 0,
        };
    }
    let shaped = runbook.steps.iter().enumerate().all(|(at, step)| {
        step.id.index() == at && step.after.iter().all(|before| before.index() < at)
    });
    if !shaped {
        return Explored {
            found: Found::Unsafe("B2"),
            states: 0,
        };
    }
    let cast = Cast::of(runbook, file);
    let mut search = Search {
        cast: &cast,
        seen: BTreeSet::new(),
        open: vec![first(&cast)],
        before_commit: 0,
        after_commit: 0,
    };
    let found = match search.run() {
        Ok(()) => Found::Safe,
        Err(broken) => Found::Unsafe(broken),
    };
    Explored {
        found,
        states: search.seen.len(),
    }
}

fn first<'a>(cast: &Cast<'a>) -> State<'a> {
    let initial = cast.initial();
    State {
        way: Way::Forward,
        started: 0,
        ended: 0,
        undoing: 0,
        live: initial,
        settled: initial,
        found: BTreeMap::new(),
        fresh: 0,
        caught_up: 0,
        looked: 0,
        routes: BTreeMap::new(),
    }
}

struct Search<'s, 'a> {
    cast: &'s Cast<'a>,
    seen: BTreeSet<State<'a>>,
    open: Vec<State<'a>>,
    /// Steps that were seen over while commit had not started, and to start when it was over.
    before_commit: u32,
    after_commit: u32,
}

impl<'a> Search<'_, 'a> {
    fn run(&mut self) -> Result<(), Broken> {
        let reprotect = self.cast.runbook.mode == MoveMode::Reprotect;
        let steps = self.cast.runbook.steps.iter();
        let commits = steps.clone().filter(|step| step.phase == Phase::Commit);
        let commits: Vec<_> = commits.collect();
        if !reprotect
            && (commits.len() != 1 || !matches!(commits[0].body, Body::Join | Body::Check))
        {
            return Err("I22");
        }
        while let Some(state) = self.open.pop() {
            if self.seen.contains(&state) {
                continue;
            }
            match state.way {
                Way::Forward => self.forward(&state, commits.first().map(|step| step.id))?,
                Way::Back => self.back(&state)?,
            }
            self.seen.insert(state);
        }
        let either = self.before_commit & self.after_commit;
        let counts = self.cast.runbook.steps.iter().filter(|step| {
            step.necessity == Necessity::Required || matches!(step.body, Body::Act(_))
        });
        if !reprotect && counts.into_iter().any(|step| either & bit(step.id) != 0) {
            return Err("I22");
        }
        Ok(())
    }

    fn forward(&mut self, state: &State<'a>, commit: Option<StepId>) -> Result<(), Broken> {
        let steps = &self.cast.runbook.steps;
        if commit.is_some_and(|commit| state.started & bit(commit) == 0) {
            self.before_commit |= state.ended;
        }
        let committed = self.cast.committed(state);
        for step in steps {
            if state.started & bit(step.id) == 0 {
                if step
                    .after
                    .iter()
                    .all(|before| state.ended & bit(*before) != 0)
                {
                    let mut next = state.clone();
                    self.cast.start(&mut next, step)?;
                    if committed {
                        self.after_commit |= bit(step.id);
                    }
                    if self.cast.is_inert(step) {
                        self.cast.end(&mut next, step);
                    }
                    self.open.push(next);
                }
            } else if state.ended & bit(step.id) == 0 {
                let mut next = state.clone();
                self.cast.end(&mut next, step);
                self.open.push(next);
            }
        }
        if state.ended.count_ones() as usize == steps.len() {
            self.cast.complete(state)?;
        }
        if !committed && self.cast.runbook.on_failure == OnFailure::Retreat {
            self.open.push(turned_round(state));
        }
        Ok(())
    }

    /// A step is undone when everything that waited for it was undone, or never started.
    fn back(&mut self, state: &State<'a>) -> Result<(), Broken> {
        let mut left = false;
        for step in &self.cast.runbook.steps {
            let own = bit(step.id);
            if state.ended & own != 0 {
                continue;
            }
            left = true;
            let mut next = state.clone();
            if state.undoing & own != 0 {
                self.cast.end_undo(&mut next, step);
            } else {
                let waiting = self.cast.dependents[step.id.index()];
                if state.ended & waiting != waiting {
                    continue;
                }
                self.cast.start_undo(&mut next, step)?;
                if step.undo == Undo::Nothing {
                    self.cast.end_undo(&mut next, step);
                }
            }
            self.open.push(next);
        }
        if left {
            Ok(())
        } else {
            self.cast.intact(state)
        }
    }
}

fn bit(step: StepId) -> u32 {
    1 << step.0
}

/// The run turns round here. What is under way counts as done: its intent was recorded. What it would have shut out
/// counts as not shut: it may have failed.
fn turned_round<'a>(state: &State<'a>) -> State<'a> {
    State {
        way: Way::Back,
        ended: !state.started,
        undoing: 0,
        settled: u64::MAX,
        found: BTreeMap::new(),
        fresh: 0,
        ..state.clone()
    }
}
