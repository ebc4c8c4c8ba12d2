//! Happens-before between the steps of a runbook: exact, and near constant for graphs of the shape that plans have.
//! Must not know what a step means.
//!
//! A spanning forest over the edges answers most questions: an ancestor in it surely comes first. Two depth-first
//! rankings of the whole graph refuse most others: what a step reaches lies inside its interval in both (the idea of
//! GRAIL, Yildirim, Chaoji and Zaki, VLDB 2010). What neither decides is searched, with both as a guide.

use std::cell::{Cell, RefCell};

use mainstay_model::{Step, StepId};

/// The relation.
#[derive(Debug)]
pub(crate) struct Order {
    /// For each step the range of its successors in `targets`.
    starts: Vec<u32>,
    targets: Vec<u32>,
    /// Interval of each step in the spanning forest.
    tree: Vec<(u32, u32)>,
    /// Intervals of each step in the two rankings.
    ranks: [Vec<(u32, u32)>; 2],
    /// Which question last saw a step.
    seen: RefCell<Vec<u32>>,
    question: Cell<u32>,
    asked: Cell<u64>,
}

impl Order {
    /// Reads the edges. Every `after` must name earlier steps only.
    pub(crate) fn of(steps: &[Step]) -> Self {
        let (starts, targets) = successors(steps);
        let ranks = [
            ranking(&starts, &targets, false),
            ranking(&starts, &targets, true),
        ];
        Self {
            tree: forest(steps),
            ranks,
            seen: RefCell::new(vec![0; steps.len()]),
            question: Cell::new(0),
            asked: Cell::new(0),
            starts,
            targets,
        }
    }

    /// How many questions were answered.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.get()
    }

    /// Whether `a` is surely over before `b` starts.
    pub(crate) fn before(&self, a: StepId, b: StepId) -> bool {
        self.asked.set(self.asked.get() + 1);
        let (a, b) = (a.index(), b.index());
        a < b && !self.surely_not(a, b) && (self.in_tree(a, b) || self.search(a, b))
    }

    /// The same, or the same step.
    pub(crate) fn before_or_same(&self, a: StepId, b: StepId) -> bool {
        a == b || self.before(a, b)
    }

    fn in_tree(&self, a: usize, b: usize) -> bool {
        let (outer, inner) = (self.tree[a], self.tree[b]);
        outer.0 <= inner.0 && inner.1 <= outer.1
    }

    fn surely_not(&self, a: usize, b: usize) -> bool {
        self.ranks
            .iter()
            .any(|rank| rank[b].0 < rank[a].0 || rank[b].1 > rank[a].1)
    }

    fn next(&self, at: usize) -> &[u32] {
        &self.targets[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    fn search(&self, a: usize, b: usize) -> bool {
        let mut seen = self.seen.borrow_mut();
        if self.question.get() == u32::MAX {
            seen.fill(0);
            self.question.set(0);
        }
        let question = self.question.get() + 1;
        self.question.set(question);
        let mut open = vec![a];
        while let Some(at) = open.pop() {
            for next in self.next(at) {
                let next = *next as usize;
                if next == b {
                    return true;
                }
                if next > b || seen[next] == question || self.surely_not(next, b) {
                    continue;
                }
                if self.in_tree(next, b) {
                    return true;
                }
                seen[next] = question;
                open.push(next);
            }
        }
        false
    }
}

/// Successors of every step, packed.
fn successors(steps: &[Step]) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; steps.len() + 1];
    for before in steps.iter().flat_map(|step| &step.after) {
        starts[before.index() + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut free = starts.clone();
    let edges = starts.last().copied().unwrap_or(0) as usize;
    let mut targets = vec![0_u32; edges];
    for step in steps {
        for before in &step.after {
            let slot = &mut free[before.index()];
            targets[*slot as usize] = step.id.0;
            *slot += 1;
        }
    }
    (starts, targets)
}

/// Entry and exit numbers in a forest in which each step hangs below the latest step it waits for.
fn forest(steps: &[Step]) -> Vec<(u32, u32)> {
    let mut size = vec![1_u32; steps.len()];
    let parents: Vec<Option<usize>> = steps
        .iter()
        .map(|step| step.after.iter().map(|id| id.index()).max())
        .collect();
    for at in (0..steps.len()).rev() {
        if let Some(parent) = parents[at] {
            size[parent] += size[at];
        }
    }
    // Parents come first, so one pass hands every step a slice of its parent's interval.
    let mut free = vec![0_u32; steps.len()];
    let mut roots = 0_u32;
    let mut tree = Vec::with_capacity(steps.len());
    for at in 0..steps.len() {
        let slot = match parents[at] {
            Some(parent) => &mut free[parent],
            None => &mut roots,
        };
        let enter = *slot;
        *slot += size[at];
        free[at] = enter + 1;
        tree.push((enter, enter + size[at] - 1));
    }
    tree
}

/// Depth-first finishing ranks, and for each step the lowest rank that it reaches.
fn ranking(starts: &[u32], targets: &[u32], backwards: bool) -> Vec<(u32, u32)> {
    let count = starts.len() - 1;
    let mut rank = vec![(u32::MAX, 0_u32); count];
    let mut done = vec![false; count];
    let mut next_rank = 0_u32;
    let mut stack: Vec<(usize, u32)> = Vec::new();
    let roots = (0..count).map(|at| if backwards { count - 1 - at } else { at });
    for root in roots {
        if done[root] {
            continue;
        }
        done[root] = true;
        stack.push((root, 0));
        while let Some((at, child)) = stack.pop() {
            let (first, end) = (starts[at], starts[at + 1]);
            if first + child < end {
                stack.push((at, child + 1));
                let place = if backwards {
                    end - 1 - child
                } else {
                    first + child
                };
                let next = targets[place as usize] as usize;
                if !done[next] {
                    done[next] = true;
                    stack.push((next, 0));
                }
                continue;
            }
            let reached = targets[first as usize..end as usize].iter();
            let lowest = reached.map(|next| rank[*next as usize].0).min();
            rank[at] = (lowest.unwrap_or(next_rank).min(next_rank), next_rank);
            next_rank += 1;
        }
    }
    rank
}

#[cfg(test)]
mod tests {
    use mainstay_model::{Body, Necessity, Phase, SiteId, Span, Subject, Undo};
    use proptest::prelude::*;

    use super::*;

    fn step(id: u32, after: Vec<StepId>) -> Step {
        let site = SiteId::new("a").unwrap();
        Step {
            id: StepId(id),
            phase: Phase::Gate,
            subject: Subject::System,
            site: site.clone(),
            at: site,
            after,
            requires: Vec::new(),
            goals: Vec::new(),
            inputs: Vec::new(),
            body: Body::Join,
            undo: Undo::Nothing,
            fence: None,
            necessity: Necessity::Required,
            timeout: Span::ZERO,
            estimate: Span::ZERO,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_transitive_closure(edges in proptest::collection::vec((0_usize..14, 0_usize..14), 0..40)) {
            let mut steps: Vec<Step> = (0..14).map(|id| step(id, Vec::new())).collect();
            let mut reach = vec![vec![false; 14]; 14];
            for (a, b) in edges {
                if a < b {
                    steps[b].after.push(StepId(u32::try_from(a).unwrap()));
                }
            }
            for b in 0..14 {
                for before in steps[b].after.clone() {
                    for (a, row) in reach.iter_mut().enumerate() {
                        row[b] |= row[before.index()] || a == before.index();
                    }
                }
            }
            let order = Order::of(&steps);
            for (a, row) in reach.iter().enumerate() {
                for (b, expected) in row.iter().enumerate() {
                    let (a, b) = (u32::try_from(a).unwrap(), u32::try_from(b).unwrap());
                    prop_assert_eq!(order.before(StepId(a), StepId(b)), *expected);
                }
            }
        }
    }
}
