//! What steps did and what can be seen. It lives on when the executor dies.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_engine::{ActOutcome, Evidence};
use mainstay_model::{Direction, EffectId, Goal, Output, Predicate, Span, StepId, Timestamp, Tri};

/// What goes wrong with one attempt, or with looks at one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was changed, and it may pass.
    MayPass,
    /// Nothing was changed, and it will not pass.
    Refused,
    /// It happened, and nobody heard of it.
    Happened,
    /// It did not happen, and nobody knows that.
    Lost,
    /// No answer at all.
    Silent,
    /// A long operation that takes so many polls.
    Long(u32),
    /// Somebody newer was here.
    Stale,
    /// It says done and did nothing.
    Lies,
}

/// The world: it lives on when the executor dies.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub done: BTreeSet<StepId>,
    /// Faults by step, direction and attempt.
    pub faults: BTreeMap<(StepId, Direction, u32), Fault>,
    /// Steps that cannot be seen.
    pub blind: BTreeSet<StepId>,
    /// How often each effect was carried out.
    pub acted: BTreeMap<EffectId, u32>,
    /// The order in which things changed.
    pub log: Vec<(StepId, Direction)>,
    /// Polls left, by handle.
    pub polls: BTreeMap<String, u32>,
}

impl World {
    fn change(&mut self, id: &EffectId) {
        match id.direction {
            Direction::Forward => self.done.insert(id.step),
            Direction::Undo => self.done.remove(&id.step),
        };
        self.log.push((id.step, id.direction));
    }

    /// An act; `None` if nobody ever answers.
    pub fn act(&mut self, id: &EffectId) -> Option<ActOutcome> {
        *self.acted.entry(id.clone()).or_default() += 1;
        let not_done = |retry| ActOutcome::NotDone {
            code: "fake".to_owned(),
            what: "it was told to fail".to_owned(),
            retry,
        };
        let fault = self.faults.get(&(id.step, id.direction, id.attempt));
        Some(match fault.copied() {
            None => {
                self.change(id);
                ActOutcome::Done(self.output(id.step))
            }
            Some(Fault::Lies) => ActOutcome::Done(Output::default()),
            Some(Fault::MayPass) => not_done(true),
            Some(Fault::Refused) => not_done(false),
            Some(Fault::Happened) => {
                self.change(id);
                ActOutcome::Unknown("the line went dead".to_owned())
            }
            Some(Fault::Lost) => ActOutcome::Unknown("the line went dead".to_owned()),
            Some(Fault::Silent) => return None,
            Some(Fault::Stale) => ActOutcome::StaleEpoch(mainstay_model::Epoch(9)),
            Some(Fault::Long(polls)) => {
                self.polls.insert(id.to_string(), polls);
                ActOutcome::Running {
                    handle: id.to_string(),
                    again_at: Timestamp(0),
                    note: None,
                }
            }
        })
    }

    pub fn poll(&mut self, id: &EffectId, handle: &str, now: Timestamp) -> ActOutcome {
        let left = self.polls.entry(handle.to_owned()).or_default();
        if *left > 0 {
            *left -= 1;
            return ActOutcome::Running {
                handle: handle.to_owned(),
                again_at: now + Span::from_secs(1),
                note: Some(format!("{left} polls left")),
            };
        }
        if !self.log.contains(&(id.step, id.direction)) {
            self.change(id);
        }
        ActOutcome::Done(Output::default())
    }

    /// What there is to be seen of what a step made.
    pub fn output(&self, id: StepId) -> Output {
        let made = ("made".to_owned(), format!("by step {}", id.0));
        let there = self.done.contains(&id) && !self.blind.contains(&id);
        Output {
            position: None,
            values: there.then_some(made).into_iter().collect(),
        }
    }

    pub fn see(&self, goals: &[Goal]) -> Vec<Evidence> {
        goals.iter().map(|goal| self.answer(goal)).collect()
    }

    fn answer(&self, goal: &Goal) -> Evidence {
        let Predicate::Custom { name, args } = &goal.is else {
            panic!("only custom goals here");
        };
        let id = StepId(args["step"].parse().unwrap());
        let done = self.done.contains(&id);
        let answer = if self.blind.contains(&id) {
            Tri::CannotTell
        } else {
            Tri::from(if name == "done" { done } else { !done })
        };
        let why = match answer {
            Tri::Holds => String::new(),
            _ => format!(
                "step {} is {}",
                id.0,
                if done { "done" } else { "not done" }
            ),
        };
        Evidence { answer, why }
    }
}
