//! The async half of `postgres`: hands each order to the part that knows it, and turns looks into facts.
//! Must not know SQL.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mainstay_driver::{ActError, Driver, Handle, Order, Progress};
use mainstay_model::{
    Access, ComponentId, Declared, Facts, FenceClass, FenceFacts, Op, Output, PlanFile, Position,
    RecoveryPoint, Sample, Scope, SiteId, StoreFacts, Timestamp,
};
use tokio_postgres::Client;

use super::{
    backup::{Keeping, PostgresSaves, Standing},
    files::Folder,
    instance::{Instance, unreachable},
    job::Jobs,
    keep::Kept,
    look::{Look, StoredMark, look, mark},
    mark::failed,
    moves::lsn_text,
    options::{PostgresOptions, sites},
    point::{Proven, SourceSample, Tracker},
    rebuild::STATUS,
    server::StopMode,
};
use crate::shared::Quarantine;
use crate::shared::{lasting, unsupported};
use crate::support::{Home, now, sample};

/// How long the source is waited for when a standby is looked at: it may be gone.
const ASK_SOURCE: Duration = Duration::from_millis(800);

/// Operates the `postgres` stores of a plan file, at one site.
pub struct PostgresDriver {
    home: Home,
    instances: BTreeMap<ComponentId, Instance>,
    trackers: Mutex<BTreeMap<(ComponentId, SiteId), Tracker>>,
    jobs: Jobs,
    /// Standbys that are watched for as long as the driver lives.
    kept: Vec<Arc<Kept>>,
    /// Logs that are kept for as long as the driver lives.
    keeping: Keeping,
}

impl PostgresDriver {
    /// The driver of all `postgres` stores in the plan file.
    #[must_use]
    pub fn new(plan: &PlanFile, home: Home) -> Self {
        let declared: Vec<Declared> = plan
            .stores
            .values()
            .filter(|store| store.declared.kind.as_str() == "postgres")
            .map(|store| store.declared.clone())
            .collect();
        Self::of(&declared, home)
    }

    /// The driver of given stores.
    #[must_use]
    pub fn of(declared: &[Declared], home: Home) -> Self {
        let instances = declared
            .iter()
            .map(|declared| {
                let instance = Instance {
                    name: declared.name.clone(),
                    home: home.clone(),
                    sites: sites(declared),
                    options: PostgresOptions::of(declared).unwrap_or_default(),
                };
                (declared.name.clone(), instance)
            })
            .collect();
        Self {
            home,
            instances,
            trackers: Mutex::default(),
            jobs: Jobs::default(),
            kept: Vec::new(),
            keeping: Keeping::default(),
        }
    }

    /// Keeps the standbys of this site running, unless the site is quarantined. Call it inside a tokio runtime, and
    /// only in the site's agent.
    #[must_use]
    pub fn keeping_standbys(mut self, quarantine: &Arc<dyn Quarantine>) -> Self {
        let own = self.instances.values();
        let own = own.filter(|instance| instance.owns(&self.home.site));
        self.kept = own
            .map(|instance| {
                Arc::new(Kept {
                    instance: instance.clone(),
                    jobs: self.jobs.clone(),
                    quarantine: Arc::clone(quarantine),
                })
            })
            .collect();
        self.kept.iter().for_each(Kept::watch);
        self
    }

    /// Receives and stores the log of the stores whose backups want any moment restorable, while this site owns them.
    /// Only in the site's agent.
    #[must_use]
    pub(crate) fn keeping_logs(mut self, plan: &PlanFile) -> Self {
        let here = |instance: &&Instance| instance.sites.contains_key(&self.home.site);
        self.keeping = Keeping::start(plan, self.instances.values().filter(here));
        self
    }

    /// The half that saves: it keeps out of the way of what this half does to a data folder.
    #[must_use]
    pub(crate) fn saves(&self) -> PostgresSaves {
        PostgresSaves::new(&self.jobs, &self.keeping)
    }

    fn instance(&self, order: &Order) -> Result<&Instance, ActError> {
        let subject = &order.action.subject;
        let instance = subject
            .component()
            .and_then(|name| self.instances.get(name));
        let instance = instance.ok_or_else(|| {
            ActError::NotDone(lasting(
                "unknown-component",
                format!("{subject} is no postgres store of this plan"),
            ))
        })?;
        if order.action.site != self.home.site {
            let (site, here) = (&order.action.site, &self.home.site);
            return Err(ActError::NotDone(lasting(
                "wrong-site",
                format!("the cluster at {site} is operated from there, not from {here}"),
            )));
        }
        Ok(instance)
    }

    async fn facts(&self, scope: &Scope) -> Result<Facts, String> {
        let subject = &scope.subject;
        let instance = subject
            .component()
            .and_then(|name| self.instances.get(name))
            .ok_or_else(|| format!("{subject} is no postgres store of this plan"))?;
        let site = &scope.site;
        if instance.owns(site)
            && let Some(path) = instance.folder()
            && let Some(resting) = at_rest(&Folder { path, owner: None })
        {
            return Ok(with_fence(instance, resting));
        }
        let login = instance.admin(site).await.map_err(|cause| cause.what)?;
        let client = login.connect().await.map_err(|e| unreachable(&e).what)?;
        let owned = instance.at(site).is_ok_and(|at| at.data.is_some());
        let ours = instance.ours(site);
        let mut seen = look(&client, &ours, owned)
            .await
            .map_err(|e| failed(&e).what)?;
        let source = (seen.follows.as_deref())
            .and_then(|to| instance.site_of(to))
            .filter(|source| source != site);
        let mut recovery = None;
        let mut behind = None;
        if seen.recovery
            && let Some(source) = &source
        {
            // The source is asked before the standby is looked at, never the other way round.
            let asked = instance.ask_source(source).await.ok();
            let asked = asked.filter(|asked| asked.system == seen.system);
            seen = look(&client, &ours, owned)
                .await
                .map_err(|e| failed(&e).what)?;
            (recovery, behind) = self.proven(instance, site, source, asked.as_ref(), &seen);
        }
        let stored = mark(&client).await.map_err(|e| failed(&e).what)?;
        // A standby's mark is its source's, and may be lost with it; a primary's is this site's own.
        if let Some(stored) = stored
            .as_ref()
            .filter(|_| instance.owns(site) && !seen.recovery)
        {
            instance.remember(stored.mark.epoch);
        }
        Ok(with_fence(
            instance,
            facts(
                &seen,
                stored.as_ref(),
                source.as_ref(),
                recovery,
                behind,
                Some(instance)
                    .filter(|_| *site == self.home.site)
                    .and_then(Standing::of),
            ),
        ))
    }

    /// What the standby has proven, and the bytes it is known to lack.
    fn proven(
        &self,
        instance: &Instance,
        site: &SiteId,
        source: &SiteId,
        asked: Option<&Asked>,
        seen: &Look,
    ) -> (Option<RecoveryPoint>, Option<u64>) {
        let file = instance.state(&format!("{site}.point.json"));
        let mut trackers = self.trackers.lock().unwrap_or_else(PoisonError::into_inner);
        let tracker = trackers
            .entry((instance.name.clone(), site.clone()))
            .or_insert_with(|| Tracker::starting_with(load(&file)));
        if let Some(asked) = asked {
            tracker.source(asked.sample);
        }
        let proven = tracker.standby(source, seen.lsn, seen.replayed_at);
        if let Some(proven) = &proven {
            save(&file, proven);
        }
        let point = proven.map(|proven| RecoveryPoint {
            source: proven.source,
            taken_at: proven.taken_at,
            position: Position::Lsn(seen.lsn),
        });
        (point, tracker.behind(seen.lsn))
    }

    async fn long(&self, instance: &Instance, order: &Order) -> Result<Progress, ActError> {
        let effect = order.id.to_string();
        let work = instance.clone();
        match &order.action.op {
            Op::Rebuild { from } => {
                let from = from.clone();
                let file = instance.state(STATUS);
                let job = self
                    .jobs
                    .ensure(file, &effect, |notes| work.rebuild(from, notes));
                job.await
            }
            Op::Salvage { owner } => {
                let (owner, run) = (owner.clone(), order.id.run.clone());
                let file = instance.state("salvage.json");
                let job = self
                    .jobs
                    .ensure(file, &effect, |notes| work.salvage(owner, run, notes));
                job.await
            }
            _ => Err(unsupported("postgres")),
        }
    }
}

#[async_trait]
impl Driver for PostgresDriver {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = now();
        sample(&self.home, at, self.facts(scope).await)
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let instance = self.instance(order)?;
        match &order.action.op {
            Op::Seal(epoch) => instance.seal(order, *epoch).await,
            Op::Unseal(epoch) => instance.unseal(order, *epoch).await,
            Op::Promote(epoch) => instance.promote(order, *epoch).await,
            Op::Demote(epoch) => instance.demote(order, *epoch).await,
            Op::Fence(below) => instance.fence(order, *below).await,
            Op::CatchUp { from } => instance.catch_up(order, from).await,
            Op::Rebuild { from } => match instance.may_rebuild(order, from).await? {
                Some(already) => Ok(Progress::Done(already)),
                None => self.long(instance, order).await,
            },
            Op::Salvage { .. } => self.long(instance, order).await,
            Op::Start => {
                let server = instance.server().await.map_err(ActError::NotDone)?;
                instance
                    .remember_stopped(false)
                    .map_err(ActError::NotDone)?;
                server.start().await.map_err(ActError::Unknown)?;
                Ok(Progress::Done(Output::default()))
            }
            Op::Stop => {
                let server = instance.server().await.map_err(ActError::NotDone)?;
                instance.remember_stopped(true).map_err(ActError::NotDone)?;
                server
                    .stop(StopMode::Fast)
                    .await
                    .map_err(ActError::Unknown)?;
                Ok(Progress::Done(Output::default()))
            }
            _ => Err(unsupported("postgres")),
        }
    }

    /// Every operation here carries on when it is asked for again, so that is what polling does.
    async fn poll(&self, order: &Order, _handle: &Handle) -> Result<Progress, ActError> {
        let instance = self.instance(order)?;
        match &order.action.op {
            // The check before a rebuild was made when it began; now the cluster may be half way.
            Op::Rebuild { .. } | Op::Salvage { .. } => self.long(instance, order).await,
            _ => self.act(order).await,
        }
    }

    /// A salvage that was cut short is made anew; what else was can be seen.
    async fn recall(&self, order: &Order) -> Result<Progress, ActError> {
        let instance = self.instance(order)?;
        match &order.action.op {
            Op::Salvage { .. } => self.long(instance, order).await,
            _ => Err(ActError::not_recalled(order)),
        }
    }
}

/// The answer of a source.
pub(super) struct Asked {
    pub(super) sample: SourceSample,
    pub(super) flushed: u64,
    pub(super) system: i64,
}

impl Instance {
    /// Asks a primary, as the role that copies from it, how far its log is flushed.
    pub(super) async fn ask_source(&self, source: &SiteId) -> Result<Asked, String> {
        let login = self.copier(source).await.map_err(|cause| cause.what)?;
        let asked_at = now();
        let asked = tokio::time::timeout(ASK_SOURCE, async {
            let client = login.connect().await.map_err(|e| e.to_string())?;
            ask(&client, asked_at).await.map_err(|e| failed(&e).what)
        });
        asked
            .await
            .map_err(|_| format!("{source} does not answer in time"))?
    }
}

async fn ask(client: &Client, asked_at: Timestamp) -> Result<Asked, tokio_postgres::Error> {
    let sql = "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8,
        (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
        (SELECT system_identifier FROM pg_control_system())";
    let row = client.query_one(sql, &[]).await?;
    let flushed = u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
    let sample = SourceSample {
        asked_at,
        flushed,
        source_clock: Timestamp(row.try_get(1)?),
    };
    Ok(Asked {
        sample,
        flushed,
        system: row.try_get(2)?,
    })
}

/// A cluster that does not run, or is not there.
fn at_rest(folder: &Folder) -> Option<Facts> {
    let access = match (folder.is_cluster(), folder.postmaster()) {
        (false, _) => Access::Empty,
        (true, None) => Access::Stopped,
        (true, Some(_)) => return None,
    };
    Some(Facts {
        exists: Some(access != Access::Empty),
        store: Some(StoreFacts {
            access,
            mark: None,
            position: None,
            recovery: None,
            behind_bytes: None,
            written: None,
        }),
        ..Facts::default()
    })
}

fn facts(
    seen: &Look,
    stored: Option<&StoredMark>,
    source: Option<&SiteId>,
    recovery: Option<RecoveryPoint>,
    behind: Option<u64>,
    log: Option<Standing>,
) -> Facts {
    let access = if seen.recovery {
        Access::Replica
    } else if seen.sealed() {
        Access::Sealed
    } else {
        Access::Open
    };
    let mut extra = BTreeMap::from([
        ("lsn".to_owned(), lsn_text(seen.lsn)),
        ("timeline".to_owned(), seen.timeline.to_string()),
        ("sessions".to_owned(), seen.sessions.to_string()),
    ]);
    if let Some(source) = source {
        extra.insert("source".to_owned(), source.to_string());
        extra.insert("streaming".to_owned(), seen.streaming.to_string());
    }
    if let Some(received) = seen.received {
        extra.insert("received".to_owned(), lsn_text(received));
    }
    if let Some(log) = log.filter(|_| !seen.recovery) {
        extra.insert("log-stored".to_owned(), log.lsn);
        extra.insert("log-stored-until".to_owned(), log.taken.to_string());
        extra.extend(log.trouble.map(|what| ("log-trouble".to_owned(), what)));
        extra.extend(log.lost.map(|what| ("log-lost".to_owned(), what)));
    }
    Facts {
        exists: Some(true),
        store: Some(StoreFacts {
            access,
            mark: stored.map(|stored| stored.mark.clone()),
            position: Some(Position::Lsn(seen.lsn)),
            recovery,
            behind_bytes: behind,
            written: stored.and_then(|stored| seen.written_since(stored)),
        }),
        extra,
        ..Facts::default()
    }
}

/// Adds the floor as a fence, where applications cannot write anyway.
fn with_fence(instance: &Instance, mut facts: Facts) -> Facts {
    let shut = facts
        .store
        .as_ref()
        .is_some_and(|store| store.access != Access::Open);
    let below = instance.floor();
    if shut && below.0 > 0 {
        facts.fence = Some(FenceFacts {
            below,
            class: FenceClass::F2,
            evidence: format!(
                "applications cannot connect, it boots sealed, and a promote below epoch {below} is refused"
            ),
        });
    }
    facts
}

fn load(file: &Path) -> Option<Proven> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Remembers the point for the time after a restart. Losing it only widens the reported bound.
fn save(file: &Path, proven: &Proven) {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(proven)?)?;
        std::fs::rename(new, file)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, "the recovery point is not kept");
    }
}
