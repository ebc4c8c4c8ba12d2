//! The demo's background worker: it calls its site's order service a few times a second, can be
//! held and released, and always starts held. Its list of ticks is for an audit that proves that
//! two sites' schedulers never overlapped; nothing here knows the other site.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

use crate::clock::now_us;
use crate::error::PartError;
use crate::{stop, web};

/// Longest duration of one tick; a hold waits at most this long.
const TICK_TIMEOUT: Duration = Duration::from_secs(1);

/// How to run a scheduler.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The site it works for.
    pub site: String,
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base URLs of its site's order service, tried in turn.
    pub services: Vec<String>,
    /// The file that every tick is appended to.
    pub list: PathBuf,
    /// Ticks per second while released.
    pub rate: u32,
}

/// One tick, as appended to the list: a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The site whose scheduler did it.
    pub site: String,
    /// When it began, in microseconds since the epoch.
    pub began_us: u64,
    /// When it was over; absent in the line that announces the tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<u64>,
    /// What the order service answered: an HTTP status, or 0 when it could not be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Held,
    Released,
}

/// Held by whoever ticks, for the whole tick: that is what makes a hold wait for it.
#[derive(Debug)]
struct Desk {
    work: Work,
    ticks: u64,
    last_us: Option<u64>,
}

type Shared = Arc<Mutex<Desk>>;

/// A scheduler that has its address and does not work yet.
#[derive(Debug)]
pub struct Scheduler {
    options: Options,
    listener: TcpListener,
}

/// Runs a scheduler until the process is asked to stop.
pub async fn run(options: Options) -> Result<(), PartError> {
    let stop = stop::asked()?;
    Scheduler::bind(options).await?.serve(stop).await
}

impl Scheduler {
    /// Takes the listening address.
    pub async fn bind(options: Options) -> Result<Self, PartError> {
        if options.rate == 0 || options.services.is_empty() {
            let why = "a scheduler needs a service and at least one tick per second".to_owned();
            return Err(PartError::Option {
                option: "rate",
                why,
            });
        }
        let listener = web::bind(options.listen).await?;
        Ok(Self { options, listener })
    }

    /// The address that it can be held and released at.
    pub fn addr(&self) -> Result<SocketAddr, PartError> {
        self.listener.local_addr().map_err(PartError::Serve)
    }

    /// Works until `stop` ends, held at first.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), PartError> {
        let desk: Shared = Arc::new(Mutex::new(Desk {
            work: Work::Held,
            ticks: 0,
            last_us: None,
        }));
        let work = work(self.options, desk.clone());
        let router = Router::new()
            .route("/hold", post(hold))
            .route("/release", post(release))
            .route("/state", get(state))
            .route("/healthz", get(async || Json(json!({ "up": true }))))
            .with_state(desk);
        tokio::select! {
            served = web::serve(self.listener, router, stop) => served,
            failed = work => failed,
        }
    }
}

async fn hold(State(desk): State<Shared>) -> Json<serde_json::Value> {
    set(&desk, Work::Held).await
}

async fn release(State(desk): State<Shared>) -> Json<serde_json::Value> {
    set(&desk, Work::Released).await
}

async fn set(desk: &Shared, work: Work) -> Json<serde_json::Value> {
    let mut desk = desk.lock().await;
    desk.work = work;
    shown(&desk)
}

async fn state(State(desk): State<Shared>) -> Json<serde_json::Value> {
    shown(&*desk.lock().await)
}

fn shown(desk: &Desk) -> Json<serde_json::Value> {
    Json(json!({
        "paused": desk.work == Work::Held, "ticks": desk.ticks, "last_tick_us": desk.last_us,
    }))
}

/// Ticks while released. Ends only when the list can no longer be written.
async fn work(options: Options, desk: Shared) -> Result<(), PartError> {
    let client = web::client(TICK_TIMEOUT)?;
    let mut every = tokio::time::interval(Duration::from_secs(1) / options.rate);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for service in options.services.iter().cycle() {
        every.tick().await;
        let mut desk = desk.lock().await;
        if desk.work == Work::Held {
            continue;
        }
        let mut tick = Tick {
            site: options.site.clone(),
            began_us: now_us(),
            ended_us: None,
            status: None,
        };
        // Announced first: a scheduler that is killed within a tick has still said that it ran.
        append(&options.list, &tick)?;
        let url = format!("{}/jobs/tick", service.trim_end_matches('/'));
        let body = json!({ "by": format!("scheduler-{}", options.site) });
        let answer = client.post(url).json(&body).send().await;
        tick.status = Some(answer.map_or(0, |response| response.status().as_u16()));
        tick.ended_us = Some(now_us());
        append(&options.list, &tick)?;
        desk.ticks += 1;
        desk.last_us = tick.ended_us;
    }
    Ok(())
}

fn append(list: &Path, tick: &Tick) -> Result<(), PartError> {
    let mut line = serde_json::to_vec(tick)
        .map_err(|error| PartError::file("append to", list)(error.into()))?;
    line.push(b'\n');
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(list)
        .and_then(|mut file| file.write_all(&line))
        .map_err(PartError::file("append to", list))
}

/// Reads a list of ticks. A last line that was cut off by a kill is left out.
pub fn read_ticks(list: &Path) -> Result<Vec<Tick>, PartError> {
    let text = match std::fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(PartError::File {
                doing: "read",
                path: list.to_path_buf(),
                source,
            });
        }
    };
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .map(|line| {
            serde_json::from_str(line).map_err(|error| PartError::Content {
                path: list.to_path_buf(),
                why: error.to_string(),
            })
        })
        .collect()
}

/// Pairs of ticks of different sites that ran at the same time. Empty is the proof that at most
/// one scheduler was active at any moment.
///
/// A tick that was announced and never ended (its scheduler was killed) counts as a moment.
#[must_use]
pub fn overlaps(ticks: &[Tick]) -> Vec<(Tick, Tick)> {
    let mut spans: Vec<&Tick> = Vec::new();
    for tick in ticks {
        let announced = spans.iter().rposition(|other| {
            other.site == tick.site && other.began_us == tick.began_us && other.ended_us.is_none()
        });
        match announced {
            Some(at) if tick.ended_us.is_some() => spans[at] = tick,
            _ => spans.push(tick),
        }
    }
    spans.sort_by_key(|tick| tick.began_us);
    let end = |tick: &Tick| tick.ended_us.unwrap_or(tick.began_us);
    let mut found = Vec::new();
    // Per site, the tick that ended last of those that began so far.
    let mut latest: BTreeMap<&str, &Tick> = BTreeMap::new();
    for tick in spans {
        for (_, before) in latest.iter().filter(|(site, _)| **site != tick.site) {
            if tick.began_us <= end(before) {
                found.push(((*before).clone(), tick.clone()));
            }
        }
        let known = latest.entry(&tick.site).or_insert(tick);
        if end(known) < end(tick) {
            *known = tick;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(site: &str, began_us: u64, ended_us: Option<u64>) -> Tick {
        Tick {
            site: site.to_owned(),
            began_us,
            ended_us,
            status: None,
        }
    }

    #[test]
    fn overlapping_ticks_of_two_sites_are_found_and_those_of_one_are_not() {
        let apart = [
            tick("a", 1, None),
            tick("a", 1, Some(5)),
            tick("a", 6, Some(9)),
            tick("b", 10, Some(12)),
            tick("a", 13, None),
            tick("b", 20, Some(21)),
        ];
        assert_eq!(overlaps(&apart), []);
        let same_site = [tick("a", 1, Some(9)), tick("a", 2, Some(4))];
        assert_eq!(overlaps(&same_site), []);
        let clash = [
            tick("a", 1, Some(9)),
            tick("a", 2, Some(3)),
            tick("b", 8, Some(12)),
        ];
        assert_eq!(overlaps(&clash).len(), 1);
        let within = [
            tick("b", 1, Some(20)),
            tick("a", 2, Some(3)),
            tick("a", 5, Some(6)),
        ];
        assert_eq!(overlaps(&within).len(), 2);
    }
}
