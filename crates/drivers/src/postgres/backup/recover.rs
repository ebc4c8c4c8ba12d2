//! Recovery of a restored data folder to a target: the server is started in a scratch place, fed with the log, and
//! asked what it reached. Source: PostgreSQL's manual, "Recovery Target".
//! Must not know how base and log were chosen.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use mainstay_backup::{Progress, Reader};
use mainstay_driver::Cause;
use mainstay_model::{Epoch, Timestamp};

use super::{
    super::{look::mark, mark::failed as sql_failed},
    choose::{Side, Until, Way, gap_refused},
    feed::{Feed, Menu},
    held::Held,
    scratch::{Place, Scratch},
    segment::partial_name,
    wait::wait,
};
use crate::shared::{lasting, passing};

const PAUSE: Duration = Duration::from_millis(30);
/// What the server says when the log ended before the target.
const TOO_SHORT: &str = "recovery ended before configured recovery target was reached";
/// Makes the server recover when it starts.
const SIGNAL: &str = "recovery.signal";
/// Makes it a standby; a base backup of a standby has it.
const STANDBY: &str = "standby.signal";

/// The point that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) lsn: u64,
    /// The source's time of the last commit that was replayed; none if there was none after the base began.
    pub(super) commit: Option<Timestamp>,
    pub(super) epoch: Epoch,
}

/// Whether the server got there.
enum Outcome {
    Reached(Reached),
    TooShort(String),
}

/// Recovers the folder to the way's target. Leaves no server running.
pub(super) fn recover(
    place: &Place,
    way: &Way,
    held: &Held,
    reader: Reader,
    progress: &dyn Progress,
) -> Result<Reached, Cause> {
    let folder = beside(&place.data, ".mainstay-log");
    let feed = Feed::start(&folder, reader, menu(way, held), place.programs.owner)?;
    let first = attempt(place, way, &feed, &way.until, progress)?;
    let words = match first {
        Outcome::Reached(reached) => return Ok(reached),
        Outcome::TooShort(words) => words,
    };
    if let Some(gap) = &way.gap {
        return Err(gap_refused(&way.until, gap, &way.base));
    }
    // The log is known to go there, but holds nothing that lies after the target and would have shown it.
    let covered = match &way.until {
        Until::Time(time, _) => *time <= way.reach.taken,
        Until::Lsn(lsn, _) => *lsn <= way.reach.lsn,
        _ => false,
    };
    if covered && let Outcome::Reached(reached) = attempt(place, way, &feed, &Until::End, progress)?
    {
        return Ok(reached);
    }
    let what = format!("{} was not reached: {words}", way.until);
    Err(lasting("target-after-end", what))
}

/// A name beside a folder.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What the server may ask for. The last segment may be there in part: it is handed over as what it will become.
fn menu(way: &Way, held: &Held) -> Menu {
    let size = way.base.size;
    let mut files = held.files.clone();
    if way.until == Until::Consistent {
        files.clear();
    }
    for segment in held.begun() {
        let name = size.name(segment);
        if let Some(node) = files.remove(&partial_name(&name)) {
            files.entry(name).or_insert(node);
        }
    }
    if let Some(gap) = way.gap {
        // Nothing after a gap can follow what is before it.
        let after = |name: &String| match size.parse(name) {
            Some(super::segment::LogFile::Whole(one)) => one.number >= gap.first.number,
            _ => false,
        };
        files.retain(|name, _| !after(name));
    }
    Menu {
        order: way
            .segments
            .iter()
            .map(|segment| size.name(*segment))
            .collect(),
        files,
    }
}

fn settings(way: &Way, feed: &Feed, until: &Until) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("restore_command", feed.command()),
        ("recovery_target_timeline", way.line.timeline().to_string()),
        ("recovery_target_action", "pause".to_owned()),
    ];
    for name in [
        "recovery_target",
        "recovery_target_time",
        "recovery_target_lsn",
        "recovery_target_name",
        "recovery_target_xid",
    ] {
        settings.push((name, String::new()));
    }
    let inclusive = |side: &Side| match side {
        Side::With => "on".to_owned(),
        Side::Before => "off".to_owned(),
    };
    match until {
        Until::Consistent => settings.push(("recovery_target", "immediate".to_owned())),
        Until::Time(time, side) => {
            settings.push(("recovery_target_time", exact(*time)));
            settings.push(("recovery_target_inclusive", inclusive(side)));
        }
        Until::Lsn(lsn, side) => {
            settings.push(("recovery_target_lsn", super::super::moves::lsn_text(*lsn)));
            settings.push(("recovery_target_inclusive", inclusive(side)));
        }
        Until::Name(name) => settings.push(("recovery_target_name", name.clone())),
        Until::End => {}
    }
    settings
}

/// To the microsecond, as the server reads it: at this point it knows no names of time zones.
fn exact(time: Timestamp) -> String {
    let nanos = time.0.rem_euclid(1_000_000) * 1000;
    let time = mainstay_backup::Time::from_parts(time.0.div_euclid(1_000_000), nanos);
    time.to_string().replace('Z', "+00")
}

fn attempt(
    place: &Place,
    way: &Way,
    feed: &Feed,
    until: &Until,
    progress: &dyn Progress,
) -> Result<Outcome, Cause> {
    let broken = |error: io::Error| {
        passing(
            "scratch",
            format!("prepare {}: {error}", place.data.display()),
        )
    };
    let signal = place.data.join(SIGNAL);
    fs::remove_file(place.data.join(STANDBY))
        .or_else(super::super::rebuild::gone)
        .map_err(broken)?;
    fs::write(&signal, "").map_err(broken)?;
    place.give_all(&signal).map_err(broken)?;
    wait(async {
        let mut server = place.start(&settings(way, feed, until)).await?;
        let outcome = watch(&mut server, feed, until, progress).await?;
        let Outcome::Reached(reached) = outcome else {
            return Ok(outcome);
        };
        promote(&mut server, feed).await?;
        server.stop()?;
        Ok(Outcome::Reached(reached))
    })
}

/// Waits until the server is where it should be.
async fn watch(
    server: &mut Scratch,
    feed: &Feed,
    until: &Until,
    progress: &dyn Progress,
) -> Result<Outcome, Cause> {
    loop {
        if !progress.go_on() {
            return Err(passing("backup-cancelled", "the recovery was stopped"));
        }
        if let Some(ended) = gone(server, feed) {
            return ended;
        }
        if let Ok(client) = server.connect(server.database()).await {
            let sql =
                "SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::int8,
                (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8,
                CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE true END";
            // A server that ends in between is noticed above.
            if let Ok(row) = client.query_one(sql, &[]).await
                && row.get::<_, bool>(3)
                && (*until != Until::End || !row.get::<_, bool>(0))
            {
                let lsn: Option<i64> = row.get(1);
                let commit: Option<i64> = row.get(2);
                let stored = mark(&client).await.map_err(|e| sql_failed(&e))?;
                return Ok(Outcome::Reached(Reached {
                    lsn: lsn.and_then(|lsn| u64::try_from(lsn).ok()).unwrap_or(0),
                    commit: commit.map(Timestamp),
                    epoch: stored.map(|stored| stored.mark.epoch).unwrap_or_default(),
                }));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What it means that the server ended by itself.
fn gone(server: &mut Scratch, feed: &Feed) -> Option<Result<Outcome, Cause>> {
    match server.ended() {
        Ok(None) => return None,
        Ok(Some(_)) => {}
        Err(error) => return Some(Err(passing("scratch", error.to_string()))),
    }
    if let Some(trouble) = feed.trouble() {
        return Some(Err(trouble));
    }
    let words = server.last_words();
    if server.said().contains(TOO_SHORT) {
        return Some(Ok(Outcome::TooShort(words)));
    }
    let what = format!("the restored server ended: {words}");
    Some(Err(lasting("postgres-recovery-failed", what)))
}

/// Ends recovery, and waits until the server takes writes.
async fn promote(server: &mut Scratch, feed: &Feed) -> Result<(), Cause> {
    loop {
        if let Some(ended) = gone(server, feed) {
            return ended.and_then(|_| {
                let what = format!("the restored server ended: {}", server.last_words());
                Err(lasting("postgres-recovery-failed", what))
            });
        }
        if let Ok(client) = server.connect(server.database()).await {
            let sql = "SELECT pg_is_in_recovery()";
            if let Ok(row) = client.query_one(sql, &[]).await {
                if !row.get::<_, bool>(0) {
                    return Ok(());
                }
                let _ = client.query_one("SELECT pg_wal_replay_resume()", &[]).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
