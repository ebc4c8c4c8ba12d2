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
    /// Polls left, of long operations.
    pub polls: BTreeMap<EffectId, u32>,
    /// What was asked after and had never been ordered.
    pub barred: BTreeSet<EffectId>,
}

fn not_done(retry: bool) -> ActOutcome {
    ActOutcome::NotDone {
        code: "fake".to_owned(),
        what: "it was told to fail".to_owned(),
        retry,
    }
}

impl World {
    fn change(&mut self, id: &EffectId) {
        match id.direction {
            Direction::Forward => self.done.insert(id.step),
            Direction::Undo => self.done.remove(&id.step),
        };
        self.log.push((id.step, id.direction));
    }

    /// What goes wrong with this act. What holds already is not refused: drivers are idempotent.
    fn fault(&self, id: &EffectId) -> Option<Fault> {
        let fault = self.faults.get(&(id.step, id.direction, id.attempt));
        let undone = id.direction == Direction::Undo && !self.done.contains(&id.step);
        let refusal = |fault: &Fault| matches!(fault, Fault::Refused | Fault::MayPass);
        fault.copied().filter(|fault| !(undone && refusal(fault)))
    }

    /// An act; `None` if nobody ever answers.
    pub fn act(&mut self, id: &EffectId) -> Option<ActOutcome> {
        assert!(
            !self.barred.contains(id),
            "{id} was asked after before it was ordered"
        );
        *self.acted.entry(id.clone()).or_default() += 1;
        Some(match self.fault(id) {
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
                self.polls.insert(id.clone(), polls);
                ActOutcome::Running {
                    handle: id.to_string(),
                    again_at: Timestamp(0),
                    note: None,
                }
            }
        })
    }

    /// What became of an act, by the long operation that it started, or else by the agent's own journal. What was
    /// never ordered never will be.
    pub fn poll(&mut self, id: &EffectId, now: Timestamp) -> ActOutcome {
        let fault = self.fault(id);
        match (self.polls.get_mut(id), fault) {
            (Some(left), _) if *left > 0 => {
                *left -= 1;
                ActOutcome::Running {
                    handle: id.to_string(),
                    again_at: now + Span::from_secs(1),
                    note: Some(format!("{left} polls left")),
                }
            }
            (Some(_), _) => {
                if !self.log.contains(&(id.step, id.direction)) {
                    self.change(id);
                }
                ActOutcome::Done(Output::default())
            }
            (None, None | Some(Fault::Happened)) if self.acted.contains_key(id) => {
                ActOutcome::Done(self.output(id.step))
            }
            (None, Some(Fault::Lies)) if self.acted.contains_key(id) => {
                ActOutcome::Done(Output::default())
            }
            (None, fault) => {
                self.barred.insert(id.clone());
                not_done(fault != Some(Fault::Refused))
            }
        }
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
