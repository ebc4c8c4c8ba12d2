//! What the verbs about backups share: which stores and repositories are meant, times as people write them, progress.

use std::sync::{Mutex, PoisonError};

use mainstay_backup::retention::Whole;
use mainstay_control::backups::{BackupsError, Point, Vault};
use mainstay_model::{ComponentId, RepositoryId, Span, Timestamp};

use crate::{
    context,
    error::{Exit, Failure},
    live::Live,
    output::{Output, Tone},
    session::Session,
};

/// A failure about backups, with what to type next where that is known.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn failed(error: BackupsError) -> Failure {
    let failure = Failure::new(error.code(), &error);
    let next = match &error {
        BackupsError::NoRepository(_) => {
            return failure
                .exit(Exit::Usage)
                .next("see `repositories:` in the plan file");
        }
        BackupsError::NoAgent { .. } => "start the site's agent: `mainstay agent --site SITE`",
        BackupsError::Repository(mainstay_backup::BackupError::NoRepository) => {
            "nothing was saved there yet: `mainstay backup run`"
        }
        _ => return failure,
    };
    failure.next(next)
}

/// The stores that were named, or all that the plan file saves.
pub(crate) fn stores(session: &Session, named: &[String]) -> Result<Vec<ComponentId>, Failure> {
    let plan = &session.context().plan;
    if named.is_empty() {
        let saved = plan
            .stores
            .iter()
            .filter(|(_, store)| !store.backup.is_empty());
        let saved: Vec<ComponentId> = saved.map(|(name, _)| name.clone()).collect();
        if saved.is_empty() {
            return Err(Failure::usage(
                "nothing-saved",
                "no store of the plan file has a `backup:`",
            )
            .next("write `backup: [ { every: 1h, to: REPOSITORY } ]` at a store"));
        }
        return Ok(saved);
    }
    named
        .iter()
        .map(|name| {
            let store = session.context().component(name)?;
            match plan.stores.get(&store) {
                Some(declared) if !declared.backup.is_empty() => Ok(store),
                _ => Err(Failure::usage(
                    "nothing-saved",
                    format!("{store} has no `backup:` in the plan file"),
                )
                .next("write `backup: [ { every: 1h, to: REPOSITORY } ]` at the store")),
            }
        })
        .collect()
}

/// The repositories that some store is saved to, or the one that was named.
pub(crate) fn repositories(
    session: &Session,
    named: Option<&str>,
) -> Result<Vec<RepositoryId>, Failure> {
    let plan = &session.context().plan;
    if let Some(name) = named {
        let found = plan.repositories.keys().find(|id| id.as_str() == name);
        return found.map(|id| vec![id.clone()]).ok_or_else(|| {
            let known: Vec<&str> = plan.repositories.keys().map(RepositoryId::as_str).collect();
            Failure::usage(
                "repository-unknown",
                format!("the plan file has no repository {name:?}"),
            )
            .next(format!("one of: {}", known.join(", ")))
        });
    }
    let backups = plan.stores.values().flat_map(|store| &store.backup);
    let mut used: Vec<RepositoryId> = backups.map(|backup| backup.to.clone()).collect();
    used.sort();
    used.dedup();
    Ok(used)
}

/// Opens a repository.
pub(crate) async fn vault(session: &Session, name: &RepositoryId) -> Result<Vault, Failure> {
    Vault::open(&session.desk, name).await.map_err(failed)
}

/// Finds one restore point by the beginning of its name, in any repository.
pub(crate) async fn find_point(
    session: &Session,
    wanted: &str,
    repository: Option<&str>,
) -> Result<(Vault, Point), Failure> {
    let mut found = Vec::new();
    for name in repositories(session, repository)? {
        let vault = vault(session, &name).await?;
        let points = vault.points(&session.desk).await.map_err(failed)?;
        let fits = |point: &Point| !wanted.is_empty() && point.id.starts_with(wanted);
        found.extend(
            points
                .into_iter()
                .filter(fits)
                .map(|point| (vault.clone(), point)),
        );
    }
    if found.len() > 1 {
        let what = format!("{} restore points begin with {wanted:?}", found.len());
        return Err(Failure::usage("no-snapshot", what).next("write more of its name"));
    }
    found.pop().ok_or_else(|| {
        Failure::usage(
            "no-snapshot",
            format!("no restore point begins with {wanted:?}"),
        )
        .next("`mainstay backup list` shows them")
    })
}

/// A moment as people write it: `2026-11-26T10:04:30Z`, `2026-11-26 10:04:30` or `10:04:30` by this machine's clock and
/// time zone, or `5m ago`.
pub(crate) fn moment(text: &str) -> Result<Timestamp, Failure> {
    let text = text.trim();
    let zone = jiff::tz::TimeZone::system();
    let stamp = |time: jiff::Timestamp| Timestamp(time.as_microsecond());
    if let Some(span) = text.strip_suffix("ago").map(str::trim)
        && let Ok(span) = span.parse::<Span>()
    {
        return Ok(context::now() - span);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(stamp(time));
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok().or_else(|| {
        let time = text.parse::<jiff::civil::Time>().ok()?;
        let today = zone.to_datetime(jiff::Timestamp::now()).date();
        Some(today.to_datetime(time))
    });
    civil
        .and_then(|time| zone.to_timestamp(time).ok())
        .map(stamp)
        .ok_or_else(|| {
            Failure::usage("not-a-time", format!("{text:?} is no time"))
                .next("write 2026-11-26T10:04:30Z, \"2026-11-26 10:04:30\", 10:04:30 or \"5m ago\"")
        })
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// The beginning of a restore point's name, as lists show it.
pub(crate) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Whether and how far a restore point can be trusted, in a few words.
pub(crate) fn trust(point: &Point, out: &Output) -> String {
    match (point.whole, point.proven) {
        (Whole::Incomplete, _) => {
            out.paint(Tone::Bad, &format!("incomplete, {} missing", point.missing))
        }
        (Whole::Complete, None) => out.paint(Tone::Warn, "not proven yet"),
        (Whole::Complete, Some(level)) => out.paint(Tone::Good, &level.to_string()),
    }
}

/// Work that is shown while it goes on: one line that moves on a terminal, now and then a line elsewhere.
pub(crate) struct Shown<'a> {
    out: &'a Output,
    what: String,
    state: Mutex<(Option<Live>, std::time::Instant)>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(out: &'a Output, what: impl Into<String>) -> Self {
        Self {
            out,
            what: what.into(),
            state: Mutex::new((out.live(), std::time::Instant::now())),
        }
    }

    /// How far it is.
    pub(crate) fn tell(&self, note: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (live, last) = &mut *state;
        let text = format!("{}: {note}", self.what);
        match live {
            Some(live) => live.draw(&[text]),
            None if last.elapsed().as_secs() >= 5 => {
                *last = std::time::Instant::now();
                self.out.progress(text);
            }
            None => {}
        }
    }

    /// It is over.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = &mut state.0 {
            live.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let wanted = Timestamp(1_764_151_470_000_000);
        assert_eq!(moment("2025-11-26T10:04:30Z").unwrap(), wanted);
        assert_eq!(moment("2025-11-26T11:04:30+01:00").unwrap(), wanted);
        let ago = moment("5m ago").unwrap();
        let now = context::now();
        assert!(now.since(ago) >= Span::from_secs(300) && now.since(ago) < Span::from_secs(330));
        assert!(moment("10:04:30").is_ok() && moment("2025-11-26 10:04:30").is_ok());
        for wrong in ["", "yesterday", "25:00:00", "ago"] {
            assert_eq!(moment(wrong).unwrap_err().code, "not-a-time", "{wrong}");
        }
    }

    #[test]
    fn bytes_are_rounded_down() {
        for (count, wanted) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_500_000, "1.4 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), wanted);
        }
    }
}
