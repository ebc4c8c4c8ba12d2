//! Turning a task into an effect: which goals, which inputs, which token, and when.
//! Must not decide anything.

use mainstay_model::{
    Action, Body, Direction, EffectId, Fence, Goal, Input, Predicate, Question, Span, Step,
    Timestamp, Undo, Wanted,
};

use super::state::{Out, RunState, Turn, goals};
use crate::{Effect, Look, bugs::Bug, machine::Stage};

/// The pause before look number `looks`: short at first, so that a quick step is seen quickly.
pub(crate) fn look_pause(looks: u32) -> Span {
    if looks > 120 {
        return Span::from_secs(5);
    }
    Span::from_millis((25_u64 << looks.min(6)).min(1_000))
}

/// The pause before try number `tries`, from 1.
pub(crate) fn try_pause(tries: u32) -> Span {
    Span::from_millis(250_u64 << (2 * tries.saturating_sub(1)).min(6))
}

impl RunState {
    /// Asks for a look.
    pub(crate) fn emit_look(&self, step: &Step, look: Look, at: Timestamp, turn: &mut Turn<'_>) {
        let run = &self.steps[step.id.index()];
        let direction = run.place.direction;
        let requires = match (look, direction) {
            (Look::Before, Direction::Forward) => &step.requires[..],
            _ => &[],
        };
        turn.out.push(Out::Now(Effect::Observe {
            step: step.id,
            direction,
            attempt: run.attempt(),
            look,
            requires: requires.iter().map(|goal| self.resolved(goal)).collect(),
            goals: goals(step, direction)
                .iter()
                .map(|goal| self.resolved(goal))
                .collect(),
            at,
        }));
    }

    /// A goal with the position put in that an earlier step found.
    fn resolved(&self, goal: &Goal) -> Goal {
        let mut goal = goal.clone();
        if let Predicate::CaughtUp(wanted @ Wanted::Output(_)) = &mut goal.is
            && let Wanted::Output(from) = wanted
            && let Some(position) = self.output(from.step).position.clone()
        {
            *wanted = Wanted::Position(position);
        }
        goal
    }

    /// Asks for the action, once its intent is durable (I16).
    pub(crate) fn emit_act(&self, step: &Step, turn: &mut Turn<'_>) {
        let Some(action) = action(step, self.steps[step.id.index()].place.direction) else {
            return;
        };
        let inputs = step.inputs.iter().map(|from| Input {
            from: *from,
            output: self.output(from.step).clone(),
        });
        let act = Effect::Act {
            id: self.effect_id(step),
            action: action.clone(),
            fence: self.fence(step, turn),
            inputs: inputs.collect(),
        };
        turn.out.push(if self.bugs.has(Bug::ActBeforeDurable) {
            Out::Now(act)
        } else {
            Out::Durable(act)
        });
    }

    /// Asks for a poll of the step's handle.
    pub(crate) fn emit_poll(&self, step: &Step, turn: &mut Turn<'_>) {
        let run = &self.steps[step.id.index()];
        let (Some(action), Some((handle, at))) = (action(step, run.place.direction), &run.handle)
        else {
            return;
        };
        turn.out.push(Out::Now(Effect::Poll {
            id: self.effect_id(step),
            action: action.clone(),
            fence: self.fence(step, turn),
            handle: handle.clone(),
            at: (*at).max(turn.now),
        }));
    }

    /// Asks a person: the step's own question, or what became of its action.
    pub(crate) fn emit_ask(&self, step: &Step, turn: &mut Turn<'_>) {
        turn.out.push(Out::Now(Effect::Ask {
            step: step.id,
            question: self.question(step),
        }));
    }

    /// What a person is asked about a step.
    pub(crate) fn question(&self, step: &Step) -> Question {
        let run = &self.steps[step.id.index()];
        if let (Body::Ask(question), Stage::Asking) = (&step.body, run.place.stage) {
            return question.clone();
        }
        let what = match run.place.direction {
            Direction::Forward => "",
            Direction::Undo => "the undoing of ",
        };
        let title = step.title();
        Question {
            text: format!("nobody can see whether {what}{title:?} happened: did it?"),
            yes: format!("a person vouches that {what}{title:?} happened"),
        }
    }

    fn effect_id(&self, step: &Step) -> EffectId {
        let run = &self.steps[step.id.index()];
        EffectId {
            run: self.created.run.clone(),
            step: step.id,
            direction: run.place.direction,
            attempt: run.attempt(),
            executor: run.executor,
        }
    }

    /// The token: forward the step's own, back the epoch that the retreat takes, which voids what arrives late.
    fn fence(&self, step: &Step, turn: &Turn<'_>) -> Option<Fence> {
        let fence = step
            .fence
            .as_ref()
            .filter(|_| !self.bugs.has(Bug::ActWithoutToken))?;
        let epoch = match self.steps[step.id.index()].place.direction {
            Direction::Forward => fence.epoch,
            Direction::Undo => turn
                .runbook
                .epochs
                .get(&fence.store)
                .map_or(fence.epoch, |epochs| epochs.retreat),
        };
        Some(Fence {
            store: fence.store.clone(),
            epoch,
        })
    }
}

fn action(step: &Step, direction: Direction) -> Option<&Action> {
    match (direction, &step.body, &step.undo) {
        (Direction::Forward, Body::Act(action), _)
        | (Direction::Undo, _, Undo::Act { action, .. }) => Some(action),
        _ => None,
    }
}
