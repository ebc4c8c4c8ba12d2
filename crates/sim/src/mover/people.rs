//! What people do: approve, answer, retry, skip, turn round, give up; and the end of a run.
//! Must not lie, except where a check wants to see a refusal.

use mainstay_engine::{Answer, Event, Run, RunPhase, StepState};
use mainstay_model::{Body, Direction, Goal, PersonId, RunbookHash, Span, StepId, Tri, Undo};

use super::host::GOOD;
use crate::{topology::name, world::World};

/// So often people try to help a run before they turn it round or give it up.
const PATIENCE: u32 = 14;

fn ann() -> PersonId {
    name("ann")
}

fn ben() -> PersonId {
    name("ben")
}

impl World {
    /// A person looks at the run and does what is needed.
    pub(crate) fn person(&mut self, life: u64) {
        let Some(active) = self.mover.active.as_mut().filter(|it| it.life == life) else {
            return;
        };
        active.person_called = false;
        let phase = active.run.phase();
        // What cannot be helped is given up once nothing moves any more, and waited for until then.
        let waits = active.memory.helped > PATIENCE && phase != RunPhase::Stuck;
        active.memory.helped += u32::from(!waits);
        let helped = active.memory.helped;
        match phase {
            RunPhase::AwaitingApproval => self.approve(),
            RunPhase::Paused => {
                let _ = self.feed(&Event::Unpaused { by: ann() });
            }
            RunPhase::Planned | RunPhase::Running | RunPhase::Retreating | RunPhase::Stuck => {
                if helped > PATIENCE && phase == RunPhase::Stuck {
                    self.give_up();
                } else if !waits {
                    self.help();
                }
            }
            _ => return,
        }
        if helped > 20 * PATIENCE {
            let words = "people cannot bring this run to an end".to_owned();
            self.checks.fail(self.now, "I29", words);
        }
        let rests = self.mover.active.as_ref().filter(|it| it.life == life);
        if rests.is_some_and(|it| it.run.resting().is_some() || it.run.questions().next().is_some())
        {
            self.call_person(life);
        }
    }

    /// Approves as one may, after trying as one may not (I26).
    fn approve(&mut self) {
        let now = self.mover_now();
        let Some(active) = &self.mover.active else {
            return;
        };
        let runbook = active.run.created().runbook.clone();
        let good = now
            + if self.dice.chance(150) {
                Span::from_secs(3)
            } else {
                GOOD
            };
        let other = self.registry.last_hash.clone();
        let other = other.unwrap_or_else(|| RunbookHash("0".repeat(64)));
        let wrong = [
            (ann(), runbook.clone(), good, "by whoever asked"),
            (ben(), other.clone(), good, "for another runbook"),
            (
                ben(),
                runbook.clone(),
                now - Span::from_secs(1),
                "that had run out",
            ),
        ];
        for (by, hash, until, what) in wrong {
            if hash == runbook && what == "for another runbook" {
                continue;
            }
            let event = Event::Approved {
                by,
                runbook: hash,
                until,
            };
            if self.feed(&event).is_ok() {
                let words = format!("an approval {what} was taken");
                self.checks.fail(self.now, "I26", words);
                return;
            }
        }
        let event = Event::Approved {
            by: ben(),
            runbook,
            until: good,
        };
        if let Some(active) = &mut self.mover.active {
            active.memory.approved_until = Some(good);
        }
        let _ = self.feed(&event);
    }

    /// Decides about every step that waits.
    fn help(&mut self) {
        let Some(active) = &self.mover.active else {
            return;
        };
        let waiting: Vec<(StepId, StepState, Direction)> = (active.run.steps())
            .filter(|view| view.waits_for_person)
            .map(|view| (view.id, view.state.clone(), view.direction))
            .collect();
        for (step, state, direction) in waiting {
            match state {
                StepState::AwaitingPerson | StepState::UndoUnknown => {
                    self.decide(step, direction);
                }
                _ => {
                    self.settled_by_person(step, direction);
                    let _ = self.feed(&Event::Retried { step, by: ann() });
                }
            }
        }
        let helped = self.mover.active.as_ref().map_or(0, |it| it.memory.helped);
        if helped > PATIENCE / 2 {
            self.turn_round("it does not get better");
        }
    }

    fn decide(&mut self, step: StepId, direction: Direction) {
        let Some(active) = &self.mover.active else {
            return;
        };
        let runbook = active.run.runbook().clone();
        let Some(it) = runbook.steps.get(step.index()) else {
            return;
        };
        let asks = matches!(it.body, Body::Ask(_)) && direction == Direction::Forward;
        let answer = if asks {
            // Nobody vouches for a site that may still write: it is switched off first.
            let site = self.topology.site(&it.site);
            self.switch_off(site);
            Answer::Yes
        } else if !goals(it, direction).is_empty() && self.really(goals(it, direction)) {
            Answer::Yes
        } else {
            self.settled_by_person(step, direction);
            let _ = self.feed(&Event::Retried { step, by: ann() });
            return;
        };
        self.settled_by_person(step, direction);
        let event = Event::Answered {
            step,
            by: ann(),
            answer,
        };
        let _ = self.feed(&event);
    }

    /// Whether these goals hold in truth.
    fn really(&self, goals: &[Goal]) -> bool {
        let now = self.mover_now();
        goals.iter().all(|goal| {
            let site = self.topology.site(&goal.scope.from);
            let sample = self.observe(site, &goal.scope);
            self.topology.kinds.holds(goal, &sample, now) == Tri::Holds
        })
    }

    fn settled_by_person(&mut self, step: StepId, direction: Direction) {
        if let Some(active) = &mut self.mover.active {
            active.memory.unknown.remove(&(step, direction));
        }
    }

    /// Back, if that is still possible.
    pub(crate) fn turn_round(&mut self, why: &str) {
        let event = Event::Retreated {
            by: ann(),
            reason: why.to_owned(),
        };
        let _ = self.feed(&event);
    }

    /// Skips what may be skipped, turns round, or cancels.
    fn give_up(&mut self) {
        let Some(active) = &self.mover.active else {
            return;
        };
        let waiting: Vec<StepId> = (active.run.steps())
            .filter(|view| view.waits_for_person)
            .map(|view| view.id)
            .collect();
        let mut skipped = false;
        for step in waiting {
            let event = Event::Skipped {
                step,
                by: ann(),
                reason: "nothing helps".to_owned(),
            };
            skipped |= self.feed(&event).is_ok();
        }
        if skipped {
            return;
        }
        self.turn_round("nothing helps");
        let stuck = self.mover.active.as_ref().map(|it| it.run.phase());
        if stuck == Some(RunPhase::Stuck) {
            let event = Event::Cancelled {
                by: ann(),
                reason: "nothing helps".to_owned(),
            };
            let _ = self.feed(&event);
        }
    }

    /// A run is over.
    pub(crate) fn finish(&mut self, phase: RunPhase) {
        let Some(active) = self.mover.active.take() else {
            return;
        };
        self.trace
            .say(self.now, || format!("the run is over: {phase:?}"));
        self.check_replay(&active);
        self.registry.learn(&active.run);
        self.check_end(&active.run, phase);
        self.mover.ends.push(phase);
        self.watch_anew();
    }

    /// The run that goes on.
    pub(crate) fn run_now(&self) -> Option<&Run> {
        self.mover.active.as_ref().map(|it| &it.run)
    }
}

fn goals(step: &mainstay_model::Step, direction: Direction) -> &[Goal] {
    match (direction, &step.undo) {
        (Direction::Forward, _) => &step.goals,
        (Direction::Undo, Undo::Act { goals, .. }) => goals,
        (Direction::Undo, _) => &[],
    }
}
