//! Holds the clients' list against what a site has, act by act: what an earlier act lost is not counted twice, and
//! what survived an earlier act must survive the later ones too.
//! Must not know what happened in an act.

use std::collections::BTreeSet;

use crate::error::PartError;
use crate::load::{Audit, Lost, Window, audit};
use crate::world::{Site, World};

/// What is known to be lost, and from when on writes count for the next act.
#[derive(Debug, Default)]
pub(super) struct Kept {
    lost: BTreeSet<(String, String)>,
    from_us: u64,
}

impl Kept {
    /// The begin of the act that is being played.
    pub(super) fn began_us(&self) -> u64 {
        self.from_us
    }

    /// From here on writes count for the act that begins.
    pub(super) fn begin(&mut self, at_us: u64) {
        self.from_us = at_us;
    }

    /// Looks for every write that was ever acknowledged before `to_us`. Acknowledgements are counted from the act's
    /// begin on; losses are those that no earlier act had.
    pub(super) async fn audit(
        &mut self,
        world: &World,
        site: Site,
        to_us: u64,
    ) -> Result<Audit, PartError> {
        let (list, database, files) = (world.acks(), world.database_url(site)?, world.files(site));
        let window = |from_us| Window { from_us, to_us };
        let whole = audit(&list, window(0), &database, &files).await?;
        let act = audit(&list, window(self.from_us), &database, &files).await?;
        let fresh: Vec<Lost> = whole
            .lost
            .into_iter()
            .filter(|lost| self.lost.insert((lost.tenant.clone(), lost.id.clone())))
            .collect();
        Ok(Audit {
            acknowledged: act.acknowledged,
            lost: fresh,
        })
    }
}
