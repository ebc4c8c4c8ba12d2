//! The proof's one entry, the shape of a runbook, and the rules about commit.
//! Must not know the rules about stores, workloads and routes.

use mainstay_model::{Body, MoveMode, Necessity, Op, Phase, PlanFile, Runbook, Step, StepId};

use crate::topology::{Index, users};

use super::{
    Proof, Race, Reading, accepted, is_final_shift, order::Order, reprotect, retreat, routes,
    schedulers, stores,
};

/// Everything that a rule looks at.
pub(crate) struct Case<'a> {
    pub(crate) runbook: &'a Runbook,
    pub(crate) file: &'a PlanFile,
    pub(crate) reading: Reading<'a>,
    pub(crate) order: Order,
    /// Store to the workloads that use it.
    pub(crate) users: Index<'a>,
    /// For each step whether it surely comes before, or after, commit.
    pub(crate) commit: Vec<AgainstCommit>,
}

/// How a step lies to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgainstCommit {
    /// Over before it starts.
    Before,
    /// It is the commit.
    Itself,
    /// Starts when it is over.
    After,
    /// Either way round.
    Either,
}

/// Shows that every order that the edges allow is safe, or names two steps that could race.
pub fn prove(runbook: &Runbook, file: &PlanFile) -> Result<Proof, Race> {
    well_formed(runbook)?;
    let order = Order::of(&runbook.steps);
    let reading = Reading::of(runbook, file);
    let commit = against_commit(runbook, &reading.commits);
    let case = Case {
        runbook,
        file,
        reading,
        order,
        users: users(file),
        commit,
    };
    case.commit_is_a_cut()?;
    stores::check(&case)?;
    schedulers::check(&case)?;
    routes::check(&case)?;
    retreat::check(&case)?;
    reprotect::check(&case)?;
    accepted::check(&case)?;
    Ok(Proof {
        steps: runbook.steps.len(),
        edges: runbook.steps.iter().map(|step| step.after.len()).sum(),
        questions: case.order.asked(),
    })
}

fn well_formed(runbook: &Runbook) -> Result<(), Race> {
    for (at, step) in runbook.steps.iter().enumerate() {
        let numbered = step.id.index() == at;
        let earlier = step.after.iter().all(|before| before.index() < at);
        if !numbered || !earlier {
            return Err(Race {
                invariant: "B2".to_owned(),
                early: Some(step.id),
                late: None,
                how: format!(
                    "{} is not numbered after everything that it waits for",
                    step.title()
                ),
                order: Vec::new(),
            });
        }
    }
    Ok(())
}

/// Marks everything on either side of the first commit, in one pass each way.
fn against_commit(runbook: &Runbook, commits: &[StepId]) -> Vec<AgainstCommit> {
    let mut marks = vec![AgainstCommit::Either; runbook.steps.len()];
    let Some(commit) = commits.first() else {
        return marks;
    };
    marks[commit.index()] = AgainstCommit::Itself;
    for step in &runbook.steps[commit.index() + 1..] {
        let after = |before: &StepId| {
            matches!(
                marks[before.index()],
                AgainstCommit::Itself | AgainstCommit::After
            )
        };
        if step.after.iter().any(after) {
            marks[step.id.index()] = AgainstCommit::After;
        }
    }
    for at in (0..=commit.index()).rev() {
        let leads = matches!(marks[at], AgainstCommit::Itself | AgainstCommit::Before);
        if leads {
            for before in &runbook.steps[at].after {
                marks[before.index()] = AgainstCommit::Before;
            }
        }
    }
    marks
}

impl Case<'_> {
    pub(crate) fn step(&self, id: StepId) -> &Step {
        &self.runbook.steps[id.index()]
    }

    pub(crate) fn title(&self, id: StepId) -> String {
        format!("`{}` (step {})", self.step(id).title(), id.0)
    }

    pub(crate) fn against(&self, id: StepId) -> AgainstCommit {
        self.commit[id.index()]
    }

    /// Whether a retreat may have to undo it.
    pub(crate) fn may_be_undone(&self, id: StepId) -> bool {
        self.against(id) != AgainstCommit::After
    }

    /// `early` may start while `late` is not over.
    pub(crate) fn race(&self, invariant: &str, early: StepId, late: StepId, how: &str) -> Race {
        Race {
            invariant: invariant.to_owned(),
            early: Some(early),
            late: Some(late),
            how: format!(
                "{} may start before {} is over: {how}",
                self.title(early),
                self.title(late)
            ),
            order: self.leading_to(early),
        }
    }

    /// A step that is wrong, or that lacks another one.
    pub(crate) fn wrong(&self, invariant: &str, step: StepId, how: &str) -> Race {
        Race {
            invariant: invariant.to_owned(),
            early: Some(step),
            late: None,
            how: format!("{}: {how}", self.title(step)),
            order: self.leading_to(step),
        }
    }

    /// The least that must be over before a step starts, in an order that the edges allow.
    fn leading_to(&self, step: StepId) -> Vec<StepId> {
        let mut needed = vec![false; step.index() + 1];
        needed[step.index()] = true;
        for at in (0..=step.index()).rev() {
            if needed[at] {
                for before in &self.runbook.steps[at].after {
                    needed[before.index()] = true;
                }
            }
        }
        let steps = self.runbook.steps[..step.index()].iter();
        steps
            .map(|step| step.id)
            .filter(|id| needed[id.index()])
            .collect()
    }

    /// One commit, and everything required lies on one side of it; what only commit allows lies behind it.
    fn commit_is_a_cut(&self) -> Result<(), Race> {
        if self.runbook.mode == MoveMode::Reprotect {
            return Ok(());
        }
        let commit = match self.reading.commits.as_slice() {
            [one] => *one,
            [] => return Err(self.no_commit()),
            [_, second, ..] => {
                return Err(self.wrong("I22", *second, "there is more than one commit"));
            }
        };
        if !matches!(self.step(commit).body, Body::Join | Body::Check) {
            return Err(self.wrong("I22", commit, "a commit changes nothing by itself"));
        }
        for step in &self.runbook.steps {
            let side = self.against(step.id);
            let required = step.necessity == Necessity::Required;
            if side == AgainstCommit::Either && (required || matches!(step.body, Body::Act(_))) {
                let how = "commit waits for everything required, or allows it";
                return Err(self.race("I22", commit, step.id, how));
            }
            if only_after_commit(step, self.file) && side != AgainstCommit::After {
                return Err(self.race("I22", step.id, commit, "only commit allows it"));
            }
        }
        Ok(())
    }

    fn no_commit(&self) -> Race {
        Race {
            invariant: "I22".to_owned(),
            early: None,
            late: None,
            how: format!(
                "{} steps and no commit among them",
                self.runbook.steps.len()
            ),
            order: Vec::new(),
        }
    }
}

/// Whether a step lets the world depend on the move.
pub(crate) fn only_after_commit(step: &Step, file: &PlanFile) -> bool {
    let released = match &step.body {
        Body::Act(action) => action.op == Op::Release || step.phase == Phase::Release,
        _ => false,
    };
    released || (is_final_shift(step, file) && matches!(step.body, Body::Act(_)))
}
