//! Who may go next: a ready queue, the steps under way, and timers. Each event costs a few tree operations, however
//! many steps there are.
//! Must not know what a step does, nor in which direction the run goes.

use std::{collections::BTreeSet, sync::Arc};

use mainstay_model::{Runbook, StepId, Timestamp};

/// The steps that wait for each step.
#[derive(Debug, PartialEq, Eq)]
struct Graph {
    starts: Vec<u32>,
    edges: Vec<StepId>,
}

/// The queue of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    graph: Arc<Graph>,
    /// For each step, how many others it still waits for.
    waits: Vec<u32>,
    /// Steps that wait for nobody.
    ready: BTreeSet<StepId>,
    /// Steps under way.
    active: BTreeSet<StepId>,
    timers: BTreeSet<(Timestamp, StepId)>,
}

impl Schedule {
    /// Everything still to be done.
    pub(crate) fn new(runbook: &Runbook) -> Self {
        let mut starts = vec![0_u32; runbook.steps.len() + 1];
        for before in runbook.steps.iter().flat_map(|step| &step.after) {
            starts[before.index() + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let total = starts.last().map_or(0, |total| *total as usize);
        let (mut next, mut edges) = (starts.clone(), vec![StepId(0); total]);
        for step in &runbook.steps {
            for before in &step.after {
                edges[next[before.index()] as usize] = step.id;
                next[before.index()] += 1;
            }
        }
        let waits = runbook.steps.iter().map(|step| step.after.len());
        let mut schedule = Self {
            graph: Arc::new(Graph { starts, edges }),
            waits: waits
                .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
                .collect(),
            ready: BTreeSet::new(),
            active: BTreeSet::new(),
            timers: BTreeSet::new(),
        };
        schedule.ready_if_free(runbook);
        schedule
    }

    /// Turns the queue round: each step waits for those that waited for it, and for `guards` on top.
    pub(crate) fn reverse(&mut self, runbook: &Runbook, guards: impl Iterator<Item = StepId>) {
        for step in &runbook.steps {
            self.waits[step.id.index()] =
                u32::try_from(self.dependents(step.id).len()).unwrap_or(u32::MAX);
        }
        for guarded in guards {
            self.waits[guarded.index()] += 1;
        }
        self.ready.clear();
        self.ready_if_free(runbook);
    }

    /// Lets every step go at once: only a planted bug does that.
    pub(crate) fn queue_all(&mut self, runbook: &Runbook) {
        self.ready = runbook.steps.iter().map(|step| step.id).collect();
    }

    fn ready_if_free(&mut self, runbook: &Runbook) {
        let free = runbook
            .steps
            .iter()
            .map(|step| step.id)
            .filter(|id| self.is_free(*id));
        self.ready = free.collect();
    }

    /// The steps that wait for this one on the way forward.
    pub(crate) fn dependents(&self, id: StepId) -> &[StepId] {
        let from = self.graph.starts[id.index()] as usize;
        let to = self.graph.starts[id.index() + 1] as usize;
        &self.graph.edges[from..to]
    }

    /// One of those that the step waits for is over.
    pub(crate) fn free(&mut self, id: StepId) {
        let waits = &mut self.waits[id.index()];
        *waits = waits.saturating_sub(1);
        if *waits == 0 {
            self.ready.insert(id);
        }
    }

    /// One is over: all that wait for it on the way forward wait for one less.
    pub(crate) fn free_dependents(&mut self, id: StepId) {
        let graph = Arc::clone(&self.graph);
        let (from, to) = (
            graph.starts[id.index()] as usize,
            graph.starts[id.index() + 1] as usize,
        );
        for next in &graph.edges[from..to] {
            self.free(*next);
        }
    }

    /// Whether the step waits for nobody.
    pub(crate) fn is_free(&self, id: StepId) -> bool {
        self.waits[id.index()] == 0
    }

    /// How many others the step waits for.
    pub(crate) fn waits(&self, id: StepId) -> u32 {
        self.waits[id.index()]
    }

    /// Puts a step (back) into the queue.
    pub(crate) fn queue(&mut self, id: StepId) {
        self.ready.insert(id);
    }

    /// The next step forward.
    pub(crate) fn pop_first(&mut self) -> Option<StepId> {
        self.ready.pop_first()
    }

    /// The next step back.
    pub(crate) fn pop_last(&mut self) -> Option<StepId> {
        self.ready.pop_last()
    }

    /// The steps under way.
    pub(crate) fn active(&self) -> &BTreeSet<StepId> {
        &self.active
    }

    /// Says whether a step is under way.
    pub(crate) fn set_active(&mut self, id: StepId, active: bool) {
        if active {
            self.active.insert(id);
        } else {
            self.active.remove(&id);
        }
    }

    /// Replaces a step's timer.
    pub(crate) fn set_timer(&mut self, id: StepId, old: Option<Timestamp>, new: Option<Timestamp>) {
        if let Some(at) = old {
            self.timers.remove(&(at, id));
        }
        if let Some(at) = new {
            self.timers.insert((at, id));
        }
    }

    /// The earliest timer.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The steps whose timers are due.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<StepId> {
        let due = self.timers.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, id)| *id).collect()
    }

    /// Nothing goes on any more.
    pub(crate) fn stop(&mut self) {
        self.ready.clear();
        self.active.clear();
        self.timers.clear();
    }
}
