//! The async half of `haproxy`: brings new servers in before it takes old ones out, and waits requests out.
//! Must not know why a route changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use mainstay_driver::{ActError, Cause, Driver, Handle, Order, Progress};
use mainstay_model::{
    ComponentId, Declared, Epoch, Facts, Op, Output, PlanFile, RouteFacts, Sample, Scope, Span,
    Subject, Timestamp, Weights,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{
    cli::{CommandError, ask, tell},
    kind::ODD,
    options::{HaproxyOptions, HaproxyTarget, Sessions},
    state::{Record, Servers, Targets, scaled, servers, share, variable},
};
use crate::shared::{lasting, passing, unsupported};
use crate::support::{Home, now, sample};

/// How long a site that is brought in may take to be up by HAProxy's own checks.
const UP: Duration = Duration::from_secs(10);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// One declared route.
struct Route {
    name: ComponentId,
    options: HaproxyOptions,
    targets: Targets,
}

/// Operates the `haproxy` routes of a plan file.
pub struct HaproxyDriver {
    home: Home,
    routes: BTreeMap<ComponentId, Route>,
}

/// What a started change still waits for. It is the handle, so anyone can poll it.
#[derive(Debug, Serialize, Deserialize)]
struct Draining {
    /// Requests in flight may take until then.
    until: Timestamp,
}

impl HaproxyDriver {
    /// The driver of all `haproxy` routes in the plan file.
    #[must_use]
    pub fn new(plan: &PlanFile, home: Home) -> Self {
        let declared: Vec<Declared> = plan
            .routes
            .values()
            .filter(|route| route.declared.kind.as_str() == "haproxy")
            .map(|route| route.declared.clone())
            .collect();
        Self::of(&declared, home)
    }

    /// The driver of given routes.
    #[must_use]
    pub fn of(declared: &[Declared], home: Home) -> Self {
        let routes = declared
            .iter()
            .filter_map(|declared| Some((declared.name.clone(), Route::of(declared)?)))
            .collect();
        Self { home, routes }
    }

    fn route(&self, subject: &Subject) -> Result<&Route, String> {
        subject
            .component()
            .and_then(|name| self.routes.get(name))
            .ok_or_else(|| format!("{subject} is no haproxy route of this plan"))
    }

    fn socket(&self, socket: &str) -> String {
        match socket.strip_prefix("unix:") {
            Some(path) => format!("unix:{}", self.home.path(path).display()),
            None => socket.to_owned(),
        }
    }

    fn sockets(&self, route: &Route) -> Vec<String> {
        let sockets = route.options.sockets.iter();
        sockets.map(|socket| self.socket(socket)).collect()
    }

    async fn change(
        &self,
        route: &Route,
        weights: &Weights,
        epoch: Epoch,
    ) -> Result<Progress, ActError> {
        let wanted = scaled(weights);
        if !wanted.keys().any(|site| route.targets.contains_key(site)) {
            return Err(ActError::NotDone(lasting(
                "route-would-be-empty",
                "no site with a weight has a server: a route is never left empty",
            )));
        }
        // Held until this change is over: two plans of this agent cannot overtake each other.
        let floor = Floor::lock(self.floor_file(route)).map_err(ActError::NotDone)?;
        let record = Record {
            epoch,
            weights: wanted.clone(),
        };
        let sockets = self.sockets(route);
        let (mut taken_out, mut brought_in) = (false, false);
        for socket in &sockets {
            let (known, seen) = read(socket, route).await.map_err(|e| not_done(&e))?;
            let newest = known.as_ref().map(|known| known.epoch).unwrap_or_default();
            if newest.max(floor.epoch) > epoch {
                return Err(ActError::StaleEpoch(newest.max(floor.epoch)));
            }
            if newest == epoch && known.is_some_and(|known| known != record) {
                return Err(ActError::StaleEpoch(epoch));
            }
            let (before, _) = share(&route.targets, &seen);
            taken_out |= before.keys().any(|site| !wanted.contains_key(site));
            brought_in |= wanted.keys().any(|site| !before.contains_key(site));
        }
        floor.raise(epoch).map_err(ActError::NotDone)?;
        for socket in &sockets {
            shift(socket, route, &record).await?;
        }
        drop(floor);
        // Only taking sites away is a drain. When another site takes over, nobody waits for the old one's requests.
        let grace = if brought_in {
            Span::ZERO
        } else {
            route.options.grace
        };
        let draining = Draining {
            until: now() + grace,
        };
        if taken_out {
            return self.drained(route, &record, &draining).await;
        }
        Ok(Progress::Done(output(&record)))
    }

    /// Over once the sites that were taken out have no session, or the grace is over.
    async fn drained(
        &self,
        route: &Route,
        record: &Record,
        draining: &Draining,
    ) -> Result<Progress, ActError> {
        let out: BTreeSet<&String> = route
            .targets
            .iter()
            .filter(|(site, _)| !record.weights.contains_key(*site))
            .flat_map(|(_, names)| names)
            .collect();
        let mut open = 0;
        for socket in self.sockets(route) {
            let text = ask(&socket, "show stat").await.map_err(|e| unknown(&e))?;
            open += sessions(&text, &out);
        }
        let left = draining.until.since(now());
        if open > 0 && left > Span::ZERO {
            return Ok(Progress::Running {
                // Serialising a number cannot fail.
                handle: Handle(serde_json::to_string(draining).unwrap_or_default()),
                again_in: left.min(Span::from_millis(200)),
                note: Some(format!("{open} sessions in flight")),
            });
        }
        if open > 0 && route.options.sessions == Sessions::Cut {
            for socket in self.sockets(route) {
                for server in &out {
                    let cut = format!("shutdown sessions server {server}");
                    tell(&socket, &cut).await.map_err(|e| unknown(&e))?;
                }
            }
        }
        let mut output = output(record);
        output
            .values
            .insert("sessions-left".to_owned(), open.to_string());
        Ok(Progress::Done(output))
    }

    fn floor_file(&self, route: &Route) -> PathBuf {
        let name = format!("{}.epoch", route.name);
        self.home.state.join("haproxy").join(name)
    }

    async fn facts(&self, scope: &Scope) -> Result<Facts, String> {
        let route = self.route(&scope.subject)?;
        let mut facts = Facts {
            exists: Some(true),
            ..Facts::default()
        };
        let mut first: Option<(Option<Record>, Weights)> = None;
        for socket in self.sockets(route) {
            let (record, seen) = read(&socket, route).await.map_err(|e| e.to_string())?;
            let (weights, odd) = share(&route.targets, &seen);
            if let Some(odd) = odd {
                facts
                    .extra
                    .insert(ODD.to_owned(), format!("{socket}: {odd}"));
            }
            match &first {
                None => first = Some((record, weights)),
                Some(first) if *first == (record, weights) => {}
                Some(_) => {
                    let what = format!("{socket} is set otherwise than the others");
                    facts.extra.insert(ODD.to_owned(), what);
                }
            }
        }
        if let Some((record, weights)) = first {
            facts.route = Some(RouteFacts {
                weights,
                epoch: record.map(|record| record.epoch).unwrap_or_default(),
            });
        }
        Ok(facts)
    }
}

#[async_trait]
impl Driver for HaproxyDriver {
    async fn observe(&self, scope: &Scope) -> Sample {
        let at = now();
        sample(&self.home, at, self.facts(scope).await)
    }

    async fn act(&self, order: &Order) -> Result<Progress, ActError> {
        let route = self
            .route(&order.action.subject)
            .map_err(|what| ActError::NotDone(lasting("unknown-component", what)))?;
        match &order.action.op {
            Op::Route { weights, epoch } => self.change(route, weights, *epoch).await,
            _ => Err(unsupported("haproxy")),
        }
    }

    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        let bad = |what: String| ActError::Unknown(passing("route-unconfirmed", what));
        let draining: Draining =
            serde_json::from_str(&handle.0).map_err(|error| bad(error.to_string()))?;
        let route = self.route(&order.action.subject).map_err(bad)?;
        let Op::Route { weights, epoch } = &order.action.op else {
            return Err(unsupported("haproxy"));
        };
        let record = Record {
            epoch: *epoch,
            weights: scaled(weights),
        };
        self.drained(route, &record, &draining).await
    }
}

impl Route {
    fn of(declared: &Declared) -> Option<Self> {
        let targets = declared
            .at
            .iter()
            .map(|(site, at)| {
                let HaproxyTarget(names) = serde_json::from_value(at.clone()).ok()?;
                Some((site.clone(), names.into_iter().collect()))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            name: declared.name.clone(),
            options: HaproxyOptions::of(declared).ok()?,
            targets,
        })
    }

    fn of_site(&self, weights: &Weights, serving: bool) -> impl Iterator<Item = (&String, u32)> {
        let sites = self.targets.iter().map(move |(site, names)| {
            let weight = weights.get(site).copied().unwrap_or(0);
            (names, weight)
        });
        sites
            .filter(move |(_, weight)| (*weight > 0) == serving)
            .flat_map(|(names, weight)| names.iter().map(move |name| (name, weight)))
    }
}

/// Reads the record and the servers of one process.
async fn read(socket: &str, route: &Route) -> Result<(Option<Record>, Servers), CommandError> {
    let answer = ask(socket, &format!("get var {}", variable(&route.name))).await?;
    let text = ask(socket, "show servers state").await?;
    let seen = servers(&text).ok_or_else(|| {
        CommandError::Refused(
            socket.to_owned(),
            "show servers state".to_owned(),
            text.chars().take(100).collect(),
        )
    })?;
    Ok((Record::from_answer(&answer), seen))
}

/// Changes one process. The record goes first, so that an older plan is refused while this one is under way; new
/// servers come in before old ones go out, so that the route is never empty.
async fn shift(socket: &str, route: &Route, record: &Record) -> Result<(), ActError> {
    let (variable, text) = (variable(&route.name), record.to_text());
    let note = format!("experimental-mode on; set var {variable} fmt {text}");
    tell(socket, &note).await.map_err(|e| first_failed(&e))?;
    for (name, weight) in route.of_site(&record.weights, true) {
        for command in [
            format!("set server {name} weight {weight}"),
            format!("set server {name} state ready"),
        ] {
            tell(socket, &command).await.map_err(|e| unknown(&e))?;
        }
    }
    let deadline = Instant::now() + UP;
    loop {
        let (_, seen) = read(socket, route).await.map_err(|e| unknown(&e))?;
        let mut incoming = route.of_site(&record.weights, true);
        if incoming.any(|(name, _)| seen.get(name).is_some_and(|state| state.up)) {
            break;
        }
        if Instant::now() > deadline {
            // The old servers are still in: somebody has to look before they are taken out.
            return Err(ActError::Unknown(passing(
                "route-target-down",
                "no server of the new sites is up by HAProxy's own checks: the old ones stay in",
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
    for (name, _) in route.of_site(&record.weights, false) {
        let drain = format!("set server {name} state drain");
        tell(socket, &drain).await.map_err(|e| unknown(&e))?;
    }
    Ok(())
}

/// Sums the current sessions of the named servers, from `show stat` (CSV with a header line).
fn sessions(text: &str, names: &BTreeSet<&String>) -> u64 {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default().trim_start_matches("# ");
    let Some(column) = header.split(',').position(|name| name == "scur") else {
        return 0;
    };
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let name = format!("{}/{}", fields.first()?, fields.get(1)?);
            names
                .contains(&name)
                .then(|| fields.get(column)?.parse::<u64>().ok())?
        })
        .sum()
}

fn output(record: &Record) -> Output {
    Output {
        position: None,
        values: BTreeMap::from([("record".to_owned(), record.to_text())]),
    }
}

fn not_done(error: &CommandError) -> ActError {
    ActError::NotDone(cause(error))
}

fn unknown(error: &CommandError) -> ActError {
    ActError::Unknown(cause(error))
}

/// The first command of a change: only if its answer was lost may something have changed.
fn first_failed(error: &CommandError) -> ActError {
    match error {
        CommandError::Silent(..) | CommandError::Refused(..) => not_done(error),
        CommandError::Lost(..) => unknown(error),
    }
}

fn cause(error: &CommandError) -> Cause {
    match error {
        CommandError::Silent(..) => passing("haproxy-unreachable", error.to_string()),
        CommandError::Lost(..) => passing("haproxy-unconfirmed", error.to_string()),
        CommandError::Refused(..) => lasting("haproxy-refused", error.to_string()),
    }
}

/// The newest epoch that this agent has asked for, locked while a change is under way. HAProxy forgets its own
/// record when it is started anew; this file does not.
struct Floor {
    path: PathBuf,
    epoch: Epoch,
    _lock: fs::File,
}

impl Floor {
    fn lock(path: PathBuf) -> Result<Self, Cause> {
        let open = || -> io::Result<fs::File> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let lock = fs::File::create(path.with_extension("lock"))?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            Ok(lock)
        };
        let lock = open().map_err(|error| {
            passing(
                "route-busy",
                format!("another change of this route is under way: {error}"),
            )
        })?;
        let text = fs::read_to_string(&path).unwrap_or_default();
        Ok(Self {
            epoch: Epoch(text.trim().parse().unwrap_or(0)),
            path,
            _lock: lock,
        })
    }

    fn raise(&self, epoch: Epoch) -> Result<(), Cause> {
        let new = self.path.with_extension("new");
        let write = || -> io::Result<()> {
            fs::write(&new, format!("{epoch}\n"))?;
            fs::File::open(&new)?.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|error| {
            passing(
                "state-unwritable",
                format!("cannot write in the agent's folder: {error}"),
            )
        })
    }
}
