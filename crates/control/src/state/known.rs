//! What the state says about the system, as the planner wants to know it.
//! Must not know what is true now; observing tells.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_model::{
    ComponentId, Epoch, FenceClass, Phase, Sample, SiteId, Span, Timestamp, Weights,
};
use mainstay_planner::{Measured, Protection};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{
    Change, State, StateError, marks,
    rows::{decode, encode, name, pairs, triples, unsigned},
};

/// A fence that was seen, and when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFence {
    /// Writers below this epoch are shut out.
    pub below: Epoch,
    /// By which class.
    pub class: FenceClass,
    /// When it was first seen to hold.
    pub at: Timestamp,
}

/// What is known of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownStore {
    /// Its epoch; zero when nobody ever owned it.
    pub epoch: Epoch,
    /// The greatest epoch that any run was given.
    pub granted: Epoch,
    /// Whether a copy was verified since it moved; none if it never moved.
    pub protection: Option<Protection>,
    /// The newest good sample of each site.
    pub samples: BTreeMap<SiteId, Sample>,
    /// Fences that were seen.
    pub fences: BTreeMap<SiteId, KnownFence>,
}

/// Everything that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Where components are active, as far as anything ever moved or was adopted.
    pub placement: BTreeMap<ComponentId, Weights>,
    /// Stores.
    pub stores: BTreeMap<ComponentId, KnownStore>,
    /// Sites that were fenced and not reprotected since.
    pub quarantined: BTreeSet<SiteId>,
    /// Median durations of earlier steps.
    pub measured: Vec<Measured>,
}

impl Known {
    /// Whether nothing was ever adopted or moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.placement.is_empty() && self.stores.values().all(|store| store.granted.0 == 0)
    }
}

type EpochRow = (String, i64, i64);

impl State {
    /// Everything that is known.
    pub fn known(&self) -> Result<Known, StateError> {
        let mut known = Known::default();
        let placement = self
            .db
            .read(|c| pairs(c, "SELECT component, weights FROM placement"))?;
        for (component, weights) in placement {
            let weights = decode("a placement", &weights)?;
            known.placement.insert(name(&component)?, weights);
        }
        let epochs: Vec<EpochRow> = self.db.read(|c| {
            let mut rows = c.prepare_cached("SELECT component, epoch, granted FROM epochs")?;
            let found = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            found.collect()
        })?;
        for (store, epoch, granted) in epochs {
            let store = known.stores.entry(name(&store)?).or_default();
            store.epoch = Epoch(unsigned(epoch));
            store.granted = Epoch(unsigned(granted)).max(store.epoch);
        }
        self.read_protection(&mut known)?;
        let samples = self
            .db
            .read(|c| triples(c, "SELECT store, site, body FROM samples"))?;
        for (store, site, body) in samples {
            let store = known.stores.entry(name(&store)?).or_default();
            store
                .samples
                .insert(name(&site)?, decode("a sample", &body)?);
        }
        let fences = self
            .db
            .read(|c| triples(c, "SELECT store, site, body FROM fences"))?;
        for (store, site, body) in fences {
            let store = known.stores.entry(name(&store)?).or_default();
            store.fences.insert(name(&site)?, decode("a fence", &body)?);
        }
        known.measured = self.measured()?;
        Ok(known)
    }

    fn read_protection(&self, known: &mut Known) -> Result<(), StateError> {
        let protection: Vec<(String, i64)> = self.db.read(|c| {
            let mut rows = c.prepare_cached("SELECT store, protected FROM protection")?;
            let found = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            found.collect()
        })?;
        for (store, protected) in protection {
            let store = known.stores.entry(name(&store)?).or_default();
            store.protection = Some(if protected == 1 {
                Protection::Protected
            } else {
                Protection::NotProtected
            });
        }
        let sites: Vec<String> = self.db.read(|c| {
            let mut rows = c.prepare_cached("SELECT site FROM quarantine")?;
            let found = rows.query_map([], |row| row.get(0))?;
            found.collect()
        })?;
        for site in sites {
            known.quarantined.insert(name(&site)?);
        }
        Ok(())
    }

    fn measured(&self) -> Result<Vec<Measured>, StateError> {
        let rows: Vec<(String, String, String, i64)> = self.db.read(|c| {
            let sql = "SELECT phase, component, site, micros FROM durations";
            let mut rows = c.prepare_cached(sql)?;
            let found = rows.query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
            found.collect()
        })?;
        let mut groups: BTreeMap<(String, String, String), Vec<u64>> = BTreeMap::new();
        for (phase, component, site, micros) in rows {
            let group = groups.entry((phase, component, site)).or_default();
            group.push(unsigned(micros));
        }
        let groups = groups.into_iter();
        groups
            .map(|((phase, component, site), mut spans)| {
                spans.sort_unstable();
                let quoted = format!("\"{phase}\"");
                Ok(Measured {
                    phase: decode::<Phase>("a phase", quoted.as_bytes())?,
                    component: name(&component)?,
                    site: name(&site)?,
                    median: Span(spans.get(spans.len() / 2).copied().unwrap_or(0)),
                    samples: u32::try_from(spans.len()).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }

    /// Remembers the newest good samples of stores, for when their sites do not answer, and fences that were seen.
    /// One write for all of them.
    pub async fn remember(
        &self,
        samples: Vec<(ComponentId, SiteId, Sample)>,
        fences: Vec<(ComponentId, SiteId, KnownFence)>,
    ) -> Result<(), StateError> {
        let mut rows = Vec::new();
        for (store, site, sample) in samples {
            rows.push(("samples", store, site, encode("a sample", &sample)?));
        }
        for (store, site, fence) in fences {
            rows.push(("fences", store, site, encode("a fence", &fence)?));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let work = move |c: &Connection| {
            for (table, store, site, body) in &rows {
                let sql = format!(
                    "INSERT OR REPLACE INTO {table} (store, site, body) VALUES (?1, ?2, ?3)"
                );
                c.prepare_cached(&sql)?
                    .execute(params![store.as_str(), site.as_str(), body])?;
            }
            Ok(())
        };
        Ok(self.db.write(work).await?)
    }

    /// Changes the state outside of any run: an adoption.
    pub async fn change(&self, changes: Vec<Change>) -> Result<(), StateError> {
        self.db
            .write(move |c| {
                changes
                    .iter()
                    .try_for_each(|change| marks::apply(c, change))
            })
            .await?;
        Ok(())
    }
}
