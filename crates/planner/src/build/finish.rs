//! Commit, the one step that everything required leads to, and what may only happen after it.
//! Must not know what came before.

use mainstay_model::Phase;

use super::context::Build;
use crate::graph::{Layer, NodeId, Place, nothing};

impl Build<'_> {
    /// The point of no return, then traffic, background work and the rest.
    pub(crate) fn commit_and_after(&mut self) {
        let open = self.ends();
        let place = Place::system(Phase::Commit).in_layer(Layer::Commit);
        let draft = nothing(&self.control);
        let commit = self.graph.add(place, draft, open);
        let shifted = self.shift_workloads(commit);
        self.release(shifted);
        self.retire(shifted);
    }

    /// Nodes that nothing waits for yet.
    fn ends(&self) -> Vec<NodeId> {
        let mut waited = vec![false; self.graph.nodes.len()];
        for node in &self.graph.nodes {
            for before in &node.after {
                waited[before.0 as usize] = true;
            }
        }
        let ends = (0_u32..).zip(waited).filter(|(_, waited)| !waited);
        ends.map(|(at, _)| NodeId(at)).collect()
    }
}
