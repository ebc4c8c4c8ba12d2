//! `mainstay status`: who is active where, protected or not, lag against RPO, what is wrong, and what to type next.

use clap::Args;
use mainstay_control::{observe::Gathered, state::RunRow};
use mainstay_engine::RunPhase;
use mainstay_model::{Access, ComponentId, SiteId, Span, StoreFacts, Timestamp, Weights};
use mainstay_planner::Protection;
use serde::Serialize;

use super::status_backups::{self, BackupRow};
use crate::{
    args::{Format, Global},
    context,
    error::{Exit, Failure},
    output::{Output, Tone},
    progress,
    session::Session,
    show::rounded,
};

/// Options of `mainstay status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    system: String,
    ok: bool,
    sites: Vec<SiteRow>,
    stores: Vec<StoreRow>,
    backups: Vec<BackupRow>,
    workloads: Vec<WorkloadRow>,
    routes: Vec<RouteRow>,
    wrong: Vec<String>,
    next: Option<String>,
}

#[derive(Serialize)]
struct SiteRow {
    site: SiteId,
    agent: String,
    standing: &'static str,
}

#[derive(Serialize)]
struct StoreRow {
    store: ComponentId,
    active: Vec<SiteId>,
    epoch: u64,
    protected: bool,
    lag: Option<Span>,
    rpo: Span,
    at: Vec<(SiteId, String)>,
}

#[derive(Serialize)]
struct WorkloadRow {
    workload: ComponentId,
    active: Vec<SiteId>,
    at: Vec<(SiteId, String)>,
}

#[derive(Serialize)]
struct RouteRow {
    route: ComponentId,
    weights: Weights,
    epoch: u64,
}

pub(crate) async fn run(args: &StatusArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let _ = args;
    let session = Session::open(global, out)?;
    let gathered = session.observe().await?;
    let mut report = Report {
        version: 1,
        system: session.plan_file().system.clone(),
        ok: true,
        sites: sites(&gathered),
        stores: stores(&session, &gathered),
        backups: status_backups::rows(session.plan_file(), &gathered),
        workloads: workloads(&session, &gathered),
        routes: routes(&gathered),
        wrong: Vec::new(),
        next: None,
    };
    judge(&session, &gathered, &mut report)?;
    draw(&report, out);
    out.value(&report);
    Ok(Exit::Done)
}

fn sites(gathered: &Gathered) -> Vec<SiteRow> {
    let rows = gathered.agents.iter().map(|(site, agent)| SiteRow {
        site: site.clone(),
        agent: agent.as_ref().map_or_else(
            |_| "does not answer".to_owned(),
            |status| format!("answers (pid {})", status.pid),
        ),
        standing: if gathered.observed.quarantined(site) {
            "quarantined"
        } else {
            "in service"
        },
    });
    rows.collect()
}

/// Where a component is active: as remembered, else as declared.
fn active(session: &Session, gathered: &Gathered, name: &ComponentId) -> Vec<SiteId> {
    let placed = gathered
        .observed
        .placement
        .get(name)
        .or_else(|| session.plan_file().placement.get(name));
    let sites = placed
        .into_iter()
        .flatten()
        .filter(|(_, weight)| **weight > 0);
    sites.map(|(site, _)| site.clone()).collect()
}

fn stores(session: &Session, gathered: &Gathered) -> Vec<StoreRow> {
    let now = gathered.observed.now;
    let rows = session.plan_file().stores.iter().map(|(name, store)| {
        let active = active(session, gathered, name);
        let seen = gathered.observed.stores.get(name);
        let facts: Vec<(&SiteId, &StoreFacts)> = seen
            .into_iter()
            .flat_map(|seen| &seen.at)
            .filter_map(|(site, sample)| Some((site, sample.facts()?.store.as_ref()?)))
            .collect();
        let lag = lag(&facts, &active, now);
        // What was proven once protects only while the copy is still seen.
        let copied = lag.is_some() || store.copy.is_none();
        let proven = seen.is_some_and(|seen| seen.protection == Protection::Protected);
        StoreRow {
            store: name.clone(),
            epoch: seen.map_or(0, |seen| seen.epoch.0),
            protected: proven && copied,
            lag,
            rpo: store.objectives.rpo,
            at: facts
                .iter()
                .map(|(site, facts)| ((*site).clone(), access_word(facts.access).to_owned()))
                .collect(),
            active,
        }
    });
    rows.collect()
}

/// The age of the newest recovery point at a site that is not active.
fn lag(facts: &[(&SiteId, &StoreFacts)], active: &[SiteId], now: Timestamp) -> Option<Span> {
    let copies = facts.iter().filter(|(site, _)| !active.contains(site));
    let points = copies.filter_map(|(_, facts)| facts.recovery.as_ref());
    points.map(|point| now.since(point.taken_at)).min()
}

fn access_word(access: Access) -> &'static str {
    match access {
        Access::Open => "open",
        Access::Sealed => "sealed",
        Access::Replica => "copy",
        Access::Stopped => "stopped",
        Access::Empty => "empty",
    }
}

fn workloads(session: &Session, gathered: &Gathered) -> Vec<WorkloadRow> {
    let rows = session.plan_file().workloads.keys().map(|name| {
        let seen = gathered.observed.workloads.get(name).into_iter().flatten();
        let at = seen.map(|(site, facts)| {
            let ready = facts
                .ready
                .map_or_else(|| "?".to_owned(), |count| count.to_string());
            let running = facts
                .running
                .map_or_else(|| "?".to_owned(), |count| count.to_string());
            let held = match facts.held {
                Some(true) => ", held",
                Some(false) => ", working",
                None => "",
            };
            (site.clone(), format!("{ready} of {running} ready{held}"))
        });
        WorkloadRow {
            workload: name.clone(),
            active: active(session, gathered, name),
            at: at.collect(),
        }
    });
    rows.collect()
}

fn routes(gathered: &Gathered) -> Vec<RouteRow> {
    let rows = gathered.observed.routes.iter();
    rows.map(|(name, facts)| RouteRow {
        route: name.clone(),
        weights: facts.weights.clone(),
        epoch: facts.epoch.0,
    })
    .collect()
}

/// What is wrong, most urgent first, and the one command that helps most.
fn judge(session: &Session, gathered: &Gathered, report: &mut Report) -> Result<(), Failure> {
    let mut found: Vec<(String, String)> = Vec::new();
    if let Some(left) = session.unfinished()? {
        found.push(unfinished(&left, session.desk.is_moving()));
    }
    if gathered.known.is_empty() {
        found.push((
            "nothing was adopted yet".to_owned(),
            "mainstay adopt".to_owned(),
        ));
    }
    for row in report
        .sites
        .iter()
        .filter(|row| row.agent == "does not answer")
    {
        found.push(silent(&row.site, report));
    }
    for row in report
        .sites
        .iter()
        .filter(|row| row.standing == "quarantined")
    {
        found.push(quarantined(&row.site, report));
    }
    for row in &report.stores {
        found.extend(troubles(session, row));
    }
    found.extend(status_backups::troubles(&report.backups));
    for proposal in session.open_proposals()? {
        found.push(proposal);
    }
    report.ok = found.is_empty();
    report.next = found.first().map(|(_, next)| next.clone());
    report.wrong = found.into_iter().map(|(what, _)| what).collect();
    Ok(())
}

/// A site whose agent does not answer. If something is active there, the next thing is to look at the way out of it.
fn silent(site: &SiteId, report: &Report) -> (String, String) {
    let next = match other_place(site, report) {
        Some((other, _)) => format!("mainstay plan failover --to {other}"),
        None => format!("mainstay agent --site {site}"),
    };
    (format!("the agent of {site} does not answer"), next)
}

/// A site that serves nothing until it is a proven copy again. If something is still active there, it is brought to
/// another site first: made a copy there, then switched over, so that nothing is lost.
fn quarantined(site: &SiteId, report: &Report) -> (String, String) {
    let next = match other_place(site, report) {
        Some((other, true)) => format!("mainstay switchover --to {other}"),
        Some((other, false)) => format!("mainstay reprotect {other}"),
        None => format!("mainstay reprotect {site}"),
    };
    (format!("{site} is quarantined and serves nothing"), next)
}

/// Another site that has what is active here, and whether all of it is a proven copy there.
fn other_place<'a>(site: &SiteId, report: &'a Report) -> Option<(&'a SiteId, bool)> {
    let active = report.stores.iter().filter(|row| row.active.contains(site));
    let mut copies = active
        .clone()
        .flat_map(|row| row.at.iter().map(|(at, _)| at));
    let other = copies.find(|at| *at != site)?;
    Some((other, active.clone().all(|row| row.protected)))
}

/// A run that is not over, and the command for it: to watch it while somebody executes it, else to carry on with it.
fn unfinished(left: &RunRow, executed: bool) -> (String, String) {
    let run = &left.run;
    let what = format!("run {run} {}", progress::word(left.phase));
    match left.phase {
        _ if executed => (what, format!("mainstay run watch {run}")),
        RunPhase::Stuck => (what, format!("mainstay run show {run}")),
        RunPhase::AwaitingApproval => (what, format!("mainstay run approve {run}")),
        RunPhase::Paused => (what, format!("mainstay run resume {run}")),
        _ => (
            format!("run {run} was left unfinished: nobody executes it"),
            format!("mainstay run resume {run}"),
        ),
    }
}

/// What is wrong with a store, and the command that helps.
fn troubles(session: &Session, row: &StoreRow) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut elsewhere = row
        .at
        .iter()
        .map(|(site, _)| site)
        .filter(|site| !row.active.contains(site));
    let declared = session.plan_file().stores.get(&row.store);
    if !row.protected && declared.is_some_and(|store| store.copy.is_some()) {
        let next = elsewhere.next().map_or_else(
            || "mainstay check".to_owned(),
            |site| format!("mainstay reprotect {site}"),
        );
        found.push((format!("{} is not protected", row.store), next));
    }
    if let Some(lag) = row.lag.filter(|lag| *lag > row.rpo) {
        let what = format!(
            "{} is {} behind, its RPO is {}",
            row.store,
            rounded(lag),
            row.rpo
        );
        found.push((what, "mainstay status".to_owned()));
    }
    found
}

fn draw(report: &Report, out: &Output) {
    out.line(format!(
        "{}  {}",
        out.paint(Tone::Strong, &report.system),
        context::now()
    ));
    for row in &report.sites {
        let tone = if row.agent.starts_with("answers") && row.standing == "in service" {
            Tone::Good
        } else {
            Tone::Bad
        };
        out.line(format!(
            "  site      {:<14} {}",
            row.site,
            out.paint(tone, &format!("{}, agent {}", row.standing, row.agent))
        ));
    }
    for row in &report.stores {
        let protected = if row.protected {
            out.paint(Tone::Good, "protected")
        } else {
            out.paint(Tone::Bad, "not protected")
        };
        let lag = row.lag.map_or_else(
            || "no copy seen".to_owned(),
            |lag| format!("{} behind", rounded(lag)),
        );
        let active = join(&row.active);
        out.line(format!(
            "  store     {:<14} active at {active}, epoch {}, {protected}, {lag} (RPO {}); {}",
            row.store,
            row.epoch,
            row.rpo,
            places(&row.at)
        ));
    }
    status_backups::draw(&report.backups, out);
    for row in &report.workloads {
        out.line(format!(
            "  workload  {:<14} active at {}; {}",
            row.workload,
            join(&row.active),
            places(&row.at)
        ));
    }
    for row in &report.routes {
        let weights: Vec<String> = row
            .weights
            .iter()
            .map(|(site, weight)| format!("{site} {weight}"))
            .collect();
        out.line(format!(
            "  route     {:<14} to {} (epoch {})",
            row.route,
            weights.join(", "),
            row.epoch
        ));
    }
    for line in &report.wrong {
        out.line(format!("{} {line}", out.paint(Tone::Bad, "!")));
    }
    match &report.next {
        Some(next) => out.line(format!("{} `{next}`", out.paint(Tone::Strong, "next:"))),
        None => out.line(out.paint(Tone::Good, "all is well")),
    }
}

fn join(sites: &[SiteId]) -> String {
    if sites.is_empty() {
        return "nowhere".to_owned();
    }
    sites
        .iter()
        .map(SiteId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn places(at: &[(SiteId, String)]) -> String {
    at.iter()
        .map(|(site, what)| format!("{site}: {what}"))
        .collect::<Vec<_>>()
        .join(", ")
}
