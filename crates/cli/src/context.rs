//! What most verbs need: the plan file, read and checked, and the folder it lies in.
//! Must not know what a verb does with it.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_model::{ComponentId, Kinds, Origin, PlanFile, SiteId};

use crate::{
    args::Global,
    error::{Exit, Failure},
    output::Output,
    show::counted,
};

/// A checked plan file with its surroundings.
pub(crate) struct Context {
    /// The plan.
    pub(crate) plan: Arc<PlanFile>,
    /// Every kind this binary knows.
    pub(crate) kinds: Arc<Kinds>,
    /// The folder that relative paths start from.
    pub(crate) base: PathBuf,
}

/// Reads at most as much as a plan file may have, so that a huge file costs nothing.
pub(crate) fn read_plan(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(
            "MS0002",
            format!("failed to read the plan file {}: {error}", path.display()),
        )
        .next("`mainstay init` writes one; `--plan FILE` names another")
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(mainstay_model::MAX_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl Context {
    /// Reads and checks the plan file; its problems are printed.
    pub(crate) fn load(global: &Global, out: &Output) -> Result<Self, Failure> {
        let bytes = read_plan(&global.plan)?;
        let file = std::path::absolute(&global.plan)
            .map_err(|error| Failure::bug("find the plan file's folder", error))?;
        let base = file
            .parent()
            .map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
        let kinds = kinds();
        let name = global.plan.display().to_string();
        let origin = Origin {
            file: &name,
            folder: &base.to_string_lossy(),
            now: now(),
        };
        match mainstay_model::parse(&bytes, &origin, &kinds) {
            Ok(parsed) => Ok(Self {
                plan: Arc::new(parsed.plan),
                kinds: Arc::new(kinds),
                base,
            }),
            Err(problems) => {
                if !out.is_json() {
                    out.note(problems.render(out.style()));
                }
                Err(Failure::usage(
                    "MS0003",
                    format!("{name} has {}", counted(problems.errors(), "error")),
                )
                .next("`mainstay check` shows all; `mainstay explain CODE` says more about one")
                .exit(Exit::Usage))
            }
        }
    }
}

impl Context {
    /// A site of the plan file by its name.
    pub(crate) fn site(&self, name: &str) -> Result<SiteId, Failure> {
        let known = self.plan.sites.keys().map(SiteId::as_str);
        let found = self
            .plan
            .sites
            .keys()
            .find(|site| site.as_str() == name)
            .cloned();
        found.ok_or_else(|| unknown("site", name, known))
    }

    /// A store or workload of the plan file by its name.
    pub(crate) fn component(&self, name: &str) -> Result<ComponentId, Failure> {
        let plan = &self.plan;
        let known = || plan.stores.keys().chain(plan.workloads.keys());
        let found = known()
            .find(|component| component.as_str() == name)
            .cloned();
        found.ok_or_else(|| unknown("component", name, known().map(ComponentId::as_str)))
    }
}

/// A name that the plan file does not have, with those it has.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<&str> = known.collect();
    Failure::usage("MS0006", format!("the plan file has no {what} {name:?}"))
        .next(format!("one of: {}", known.join(", ")))
}

/// Returns when the process is asked to stop, by Ctrl-C or SIGTERM.
pub(crate) async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Every kind this binary knows: those of the drivers, and the fences that agents bring along.
pub(crate) fn kinds() -> Kinds {
    mainstay_control::agent::with_builtin(mainstay_drivers::kinds())
}

/// The wall clock: the only place where the command line reads it.
pub(crate) fn now() -> mainstay_model::Timestamp {
    mainstay_model::Timestamp(jiff::Timestamp::now().as_microsecond())
}

/// Who is asking, for the record: the login name.
pub(crate) fn person() -> mainstay_model::PersonId {
    let name = ["MAINSTAY_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|key| std::env::var(key).ok());
    name.and_then(|name| mainstay_model::PersonId::new(name).ok())
        .or_else(|| mainstay_model::PersonId::new("operator").ok())
        .unwrap_or_else(|| unreachable!("a constant name is valid"))
}
