//! Commit, the one step that everything required leads to, and what may only happen after it.
//! Must not know what came before.

use mainstay_model::Phase;

use super::context::Build;
use crate::graph::{Layer, NodeId, Place, Rank, nothing};

impl Build<'_> {
    /// The point of no return, then traffic, background work and the rest.
    pub(crate) fn commit_and_after(&mut self) {
        let commit = self.commit(Layer::Commit);
        let shifted = self.shift_workloads(commit);
        self.release(shifted);
        self.retire(shifted);
    }

    /// The point of no return, which everything so far leads to.
    pub(crate) fn commit(&mut self, layer: Layer) -> NodeId {
        let open = self.ends();
        let place = Place::system(Phase::Commit).in_layer(layer);
        let draft = nothing(&self.control);
        let commit = self.graph.add(place, draft, open);
        self.graph.nodes[commit.0 as usize].rank = Rank::Last;
        commit
    }

    /// Nodes that nothing waits for yet.
    pub(crate) fn ends(&self) -> Vec<NodeId> {
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
