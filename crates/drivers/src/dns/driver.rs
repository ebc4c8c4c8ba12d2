//! The async half of `dns`: looks from outside, changes a route in one conditional update, waits old answers out.
//! Must not know why a route changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, RecordType, TSigner, rdata::tsig::TsigAlgorithm},
};
use mainstay_driver::{ActError, Cause, Driver, Handle, Order, Progress};
use mainstay_model::{
    ComponentId, Declared, Epoch, Facts, Op, Output, PlanFile, RouteFacts, Sample, Scope, Span,
    Subject, Timestamp, Weights,
};
use serde::{Deserialize, Serialize};

use super::{
    kind::ODD,
    options::{DnsOptions, DnsTarget, Tsig, TsigHash},
    record::{EpochRecord, Targets, addresses_for, share},
    update::{Names, replace, strings},
    wire::{AskError, UpdateError, ask, resolve, update},
};
use crate::shared::{lasting, passing, unsupported};
use crate::support::{Home, now, sample, secret};

/// How long a change is looked for before the answer is "running".
const LOOKS: u32 = 5;
/// The pause between two looks for a change.
const LOOK_PAUSE: Duration = Duration::from_millis(40);
/// How much longer than the old TTL a change may stay unseen.
const SLACK: Span = Span::from_secs(30);
/// How far this machine's clock and the name server's may differ (RFC 8945, section 10 recommends five minutes).
const FUDGE_SECONDS: u16 = 300;

/// One declared route.
struct Route {
    options: DnsOptions,
    targets: Targets,
}

/// Operates the `dns` routes of a plan file.
pub struct DnsDriver {
    home: Home,
    routes: BTreeMap<ComponentId, Route>,
}

/// What the answers say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    addresses: BTreeSet<IpAddr>,
    /// The greatest TTL in the answer, in seconds.
    ttl: u32,
    epoch: Option<RData>,
}

/// What a started change still waits for. It is the handle, so anyone can poll it.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    /// Old answers live in caches until then.
    until: Timestamp,
    /// A change that outsiders do not see by then has an unknown outcome.
    deadline: Timestamp,
}

impl DnsDriver {
    /// The driver of all `dns` routes in the plan file.
    #[must_use]
    pub fn new(plan: &PlanFile, home: Home) -> Self {
        let dns = plan
            .routes
            .iter()
            .filter(|(_, route)| route.declared.kind.as_str() == "dns");
        let routes = dns
            .filter_map(|(name, route)| {
                Some((name.clone(), Route::of(&route.declared, route.ttl)?))
            })
            .collect();
        Self { home, routes }
    }

    /// The driver of given routes, for tests and tools that have no plan file.
    #[must_use]
    pub fn of(declared: &[Declared], home: Home) -> Self {
        let routes = declared
            .iter()
            .filter_map(|declared| Some((declared.name.clone(), Route::of(declared, None)?)))
            .collect();
        Self { home, routes }
    }

    fn route(&self, subject: &Subject) -> Result<&Route, String> {
        subject
            .component()
            .and_then(|name| self.routes.get(name))
            .ok_or_else(|| format!("{subject} is no dns route of this plan"))
    }

    async fn change(
        &self,
        route: &Route,
        weights: &Weights,
        epoch: Epoch,
    ) -> Result<Progress, ActError> {
        let wanted = addresses_for(&route.targets, weights);
        if wanted.is_empty() {
            return Err(ActError::NotDone(lasting(
                "route-would-be-empty",
                "no site with a weight has an address: a route is never left empty",
            )));
        }
        let names = route.names().map_err(ActError::NotDone)?;
        let server = resolve(&route.options.server)
            .await
            .map_err(|e| not_asked(&e))?;
        let before = look(server, &names).await.map_err(|e| not_asked(&e))?;
        let current = recorded(before.epoch.as_ref()).map_err(ActError::NotDone)?;
        let current_epoch = current.map(|record| record.epoch);
        if current_epoch.is_some_and(|current| current > epoch) {
            return Err(ActError::StaleEpoch(current_epoch.unwrap_or_default()));
        }
        if current_epoch == Some(epoch) {
            if before.addresses != wanted {
                return Err(ActError::StaleEpoch(epoch));
            }
        } else {
            let record = EpochRecord {
                epoch,
                weights: weights.clone(),
            };
            let message = replace(&names, before.epoch.as_ref(), &record, &wanted);
            let signer = self.signer(route).await.map_err(ActError::NotDone)?;
            let seconds = u64::try_from(now().0).unwrap_or(0) / 1_000_000;
            if let Err(error) = update(server, message, signer.as_ref(), seconds).await {
                return Err(settle(error, server, &names, epoch).await);
            }
        }
        self.after_change(route, &names, &before, &wanted, epoch)
            .await
    }

    /// Looks a few times for the change; what takes longer is polled.
    async fn after_change(
        &self,
        route: &Route,
        names: &Names,
        before: &Seen,
        wanted: &BTreeSet<IpAddr>,
        epoch: Epoch,
    ) -> Result<Progress, ActError> {
        let changed = now();
        let ttl = Span::from_secs(u64::from(before.ttl));
        // Only taking sites away is a drain: cached answers still bring them traffic, so they are waited out.
        let drains = wanted.is_subset(&before.addresses) && *wanted != before.addresses;
        let waiting = Waiting {
            until: if drains { changed + ttl } else { changed },
            deadline: changed + ttl + SLACK,
        };
        for _ in 0..LOOKS {
            if !drains && self.seen_outside(route, names, wanted, epoch).await {
                return Ok(Progress::Done(output(epoch, wanted)));
            }
            if drains {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Ok(waiting.running())
    }

    async fn seen_outside(
        &self,
        route: &Route,
        names: &Names,
        wanted: &BTreeSet<IpAddr>,
        epoch: Epoch,
    ) -> bool {
        match self.look_outside(route, names).await {
            Ok((seen, None)) => {
                let record = recorded(seen.epoch.as_ref());
                seen.addresses == *wanted
                    && record.is_ok_and(|r| r.is_some_and(|r| r.epoch == epoch))
            }
            _ => false,
        }
    }

    /// Asks every resolver. Those that answer must agree; the second part says when they do not.
    async fn look_outside(
        &self,
        route: &Route,
        names: &Names,
    ) -> Result<(Seen, Option<String>), AskError> {
        let asked = route.outside();
        let looks = asked.iter().map(|server| async move {
            let address = resolve(server).await?;
            look(address, names).await.map(|seen| (server, seen))
        });
        let mut error = None;
        let mut answers: Vec<(&String, Seen)> = Vec::new();
        for answer in futures::future::join_all(looks).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(silent) => error = Some(silent),
            }
        }
        let Some((first, seen)) = answers.first().cloned() else {
            return Err(error.unwrap_or_else(|| AskError::Unnamed("no resolver".to_owned())));
        };
        let odd = answers
            .iter()
            .find(|(_, other)| other.addresses != seen.addresses || other.epoch != seen.epoch)
            .map(|(other, _)| format!("{first} and {other} answer differently"));
        Ok((seen, odd))
    }

    async fn signer(&self, route: &Route) -> Result<Option<TSigner>, Cause> {
        let Some(key) = &route.options.tsig else {
            return Ok(None);
        };
        let value = secret(&self.home.base, &key.secret).await?;
        signer(key, &value).map(Some)
    }

    async fn facts(&self, scope: &Scope) -> Result<Facts, String> {
        let route = self.route(&scope.subject)?;
        let names = route.names().map_err(|cause| cause.what)?;
        let (seen, disagreement) = self
            .look_outside(route, &names)
            .await
            .map_err(|error| error.to_string())?;
        let mut facts = Facts {
            exists: Some(!seen.addresses.is_empty()),
            ..Facts::default()
        };
        facts
            .extra
            .insert("ttl".to_owned(), format!("{}s", seen.ttl));
        if let Some(disagreement) = disagreement {
            // Some clients still get the old answer: nobody can say what the route is.
            facts.extra.insert(ODD.to_owned(), disagreement);
            return Ok(facts);
        }
        let record = match recorded(seen.epoch.as_ref()) {
            Ok(record) => record,
            Err(cause) => {
                facts.extra.insert("epoch-record".to_owned(), cause.what);
                return Ok(facts);
            }
        };
        let share = share(&route.targets, &seen.addresses, record.as_ref());
        if let Some(odd) = share.odd {
            facts.extra.insert(ODD.to_owned(), odd);
        }
        facts.route = Some(RouteFacts {
            weights: share.weights,
            epoch: record.map(|record| record.epoch).unwrap_or_default(),
        });
        Ok(facts)
    }
}

#[async_trait]
impl Driver for DnsDriver {
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
            _ => Err(unsupported("dns")),
        }
    }

    async fn poll(&self, order: &Order, handle: &Handle) -> Result<Progress, ActError> {
        let unknown = |what: String| ActError::Unknown(passing("route-unconfirmed", what));
        let waiting: Waiting =
            serde_json::from_str(&handle.0).map_err(|error| unknown(error.to_string()))?;
        let route = self.route(&order.action.subject).map_err(unknown)?;
        let Op::Route { weights, epoch } = &order.action.op else {
            return Err(unsupported("dns"));
        };
        let names = route.names().map_err(ActError::Unknown)?;
        let wanted = addresses_for(&route.targets, weights);
        let seen = self.seen_outside(route, &names, &wanted, *epoch).await;
        let now = now();
        match (seen, now >= waiting.until, now >= waiting.deadline) {
            (true, true, _) => Ok(Progress::Done(output(*epoch, &wanted))),
            (false, _, true) => Err(unknown("the change cannot be seen from outside".to_owned())),
            _ => Ok(waiting.running()),
        }
    }
}

impl Route {
    fn of(declared: &Declared, ttl: Option<Span>) -> Option<Self> {
        let mut options = DnsOptions::of(declared).ok()?;
        options.ttl = ttl.unwrap_or(options.ttl);
        let targets = declared
            .at
            .iter()
            .map(|(site, at)| {
                let DnsTarget(addresses) = serde_json::from_value(at.clone()).ok()?;
                Some((site.clone(), addresses.into_iter().collect()))
            })
            .collect::<Option<_>>()?;
        Some(Self { options, targets })
    }

    fn names(&self) -> Result<Names, Cause> {
        let options = &self.options;
        Names::new(options.zone_name(), &options.name, options.ttl_seconds())
            .map_err(|error| lasting("options-invalid", error))
    }

    fn outside(&self) -> Vec<String> {
        if self.options.resolvers.is_empty() {
            vec![self.options.server.clone()]
        } else {
            self.options.resolvers.clone()
        }
    }
}

impl Waiting {
    fn running(&self) -> Progress {
        let left = self.until.since(now());
        let note = (left > Span::ZERO)
            .then(|| format!("old answers leave caches in {:.1} s", left.as_secs_f64()));
        Progress::Running {
            // Serialising two numbers cannot fail.
            handle: Handle(serde_json::to_string(self).unwrap_or_default()),
            again_in: left.clamp(Span::from_millis(100), Span::from_secs(10)),
            note,
        }
    }
}

fn output(epoch: Epoch, addresses: &BTreeSet<IpAddr>) -> Output {
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Output {
        position: None,
        values: BTreeMap::from([
            ("addresses".to_owned(), list.join(" ")),
            ("epoch".to_owned(), epoch.to_string()),
        ]),
    }
}

fn signer(key: &Tsig, value: &str) -> Result<TSigner, Cause> {
    let bad = |what: String| lasting("dns-key-invalid", what);
    // The error must not quote the secret: base64's own errors name single bytes of it.
    let bytes = STANDARD
        .decode(value.trim())
        .map_err(|_| bad(format!("the secret of key {} is not base64", key.name)))?;
    let algorithm = match key.algorithm {
        TsigHash::HmacSha256 => TsigAlgorithm::HmacSha256,
        TsigHash::HmacSha384 => TsigAlgorithm::HmacSha384,
        TsigHash::HmacSha512 => TsigAlgorithm::HmacSha512,
    };
    let name = Name::from_ascii(&key.name).map_err(|error| bad(error.to_string()))?;
    TSigner::new(bytes, algorithm, name, FUDGE_SECONDS).map_err(|error| bad(error.to_string()))
}

fn not_asked(error: &AskError) -> ActError {
    ActError::NotDone(passing("dns-server-unreachable", error.to_string()))
}

/// The epoch record, if there is one. A TXT record that Mainstay did not write is never replaced.
fn recorded(data: Option<&RData>) -> Result<Option<EpochRecord>, Cause> {
    let Some(data) = data else { return Ok(None) };
    EpochRecord::from_strings(&strings(data))
        .map(Some)
        .ok_or_else(|| {
            lasting(
                "mark-foreign",
                format!("the epoch record is not one that Mainstay wrote: {data}"),
            )
        })
}

/// What one server says of a route.
async fn look(server: SocketAddr, names: &Names) -> Result<Seen, AskError> {
    let (v4, v6, text) = futures::try_join!(
        ask(server, &names.name, RecordType::A),
        ask(server, &names.name, RecordType::AAAA),
        ask(server, &names.epoch, RecordType::TXT),
    )?;
    let mut text = text.into_iter().map(|record| record.data);
    let records = || v4.iter().chain(&v6);
    Ok(Seen {
        addresses: records()
            .filter_map(|record| record.data.ip_addr())
            .collect(),
        ttl: records().map(|record| record.ttl).max().unwrap_or(0),
        epoch: text.next(),
    })
}

/// What a failed update means. A prerequisite that failed means that somebody else was here.
async fn settle(error: UpdateError, server: SocketAddr, names: &Names, epoch: Epoch) -> ActError {
    match error {
        UpdateError::NotSent(what) => ActError::NotDone(passing("dns-server-unreachable", what)),
        UpdateError::Lost(what) => ActError::Unknown(passing("dns-update-unconfirmed", what)),
        UpdateError::Refused(
            ResponseCode::NXRRSet
            | ResponseCode::YXRRSet
            | ResponseCode::NXDomain
            | ResponseCode::YXDomain,
        ) => {
            let seen = look(server, names).await.ok();
            let record = seen.and_then(|seen| recorded(seen.epoch.as_ref()).ok().flatten());
            match record {
                Some(record) if record.epoch >= epoch => ActError::StaleEpoch(record.epoch),
                _ => ActError::NotDone(passing(
                    "route-changed-meanwhile",
                    "somebody else changed the route at the same time",
                )),
            }
        }
        UpdateError::Refused(code) => ActError::NotDone(lasting(
            "dns-update-refused",
            format!(
                "the name server answers {code}: check its update policy, the zone and the key"
            ),
        )),
    }
}
