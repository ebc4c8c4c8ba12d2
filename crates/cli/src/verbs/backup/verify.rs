//! `mainstay backup verify`: proves restore points, up to a level.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::{Args, ValueEnum};
use mainstay_backup::{Id, Progress, ScrubBudget, Scrubbed, retention::Whole};
use mainstay_control::backups::{Point, Proof, Vault, cure, heal, prove_stored, prove_tested};
use mainstay_model::{ComponentId, RepositoryId};
use mainstay_proof::Level;
use serde::Serialize;

use super::shared::{Shown, bytes, failed, find_point, repositories, short, stores, vault};
use crate::{
    args::Yes,
    confirm,
    error::{Exit, Failure},
    output::{Output, Tone},
    session::Session,
};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Only restore points of these stores.
    #[arg(value_name = "STORE", conflicts_with = "point")]
    stores: Vec<String>,
    /// Only this restore point, by the beginning of its name.
    #[arg(long, value_name = "POINT")]
    point: Option<String>,
    /// Only in this repository.
    #[arg(long, value_name = "REPOSITORY")]
    from: Option<String>,
    /// How far. *restored* and *checked* try out the newest restore point of each store.
    #[arg(long, value_enum, default_value_t = Wanted::Checked)]
    level: Wanted,
    /// Read everything in the repository again, not only what nobody has read since it was written.
    #[arg(long)]
    read_data: bool,
    /// Mend what is damaged: from a copy of the repository (`mirrors`) that has it, else as far as it can be read.
    #[arg(long)]
    mend: bool,
    #[command(flatten)]
    yes: Yes,
}

/// How far restore points are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// Listed where they should be, with the right lengths.
    Stored,
    /// Also read back: every hash matches.
    ReadBack,
    /// Also restored into a scratch place.
    Restored,
    /// Also checked there by the store's own checks.
    Checked,
}

#[derive(Serialize)]
struct Report {
    proofs: Vec<Proof>,
    damaged: Vec<Damage>,
    failed: Vec<String>,
}

#[derive(Serialize)]
struct Damage {
    repository: RepositoryId,
    pack: String,
    how: String,
    affected: Vec<String>,
}

pub(super) async fn run(
    args: &VerifyArgs,
    session: &Session,
    out: &Output,
) -> Result<Exit, Failure> {
    let mut report = Report {
        proofs: Vec::new(),
        damaged: Vec::new(),
        failed: Vec::new(),
    };
    for (vault, points) in chosen(args, session).await? {
        stored(args, session, &vault, points.clone(), &mut report, out).await?;
        if args.level == Wanted::Restored || args.level == Wanted::Checked {
            for point in newest(&points, args.point.is_some()) {
                tested(session, &vault, point, &mut report, out).await;
            }
        }
    }
    let faults = report.proofs.iter().any(|proof| !proof.faults.is_empty());
    let good = report.damaged.is_empty() && report.failed.is_empty() && !faults;
    if report.proofs.is_empty() && good {
        out.line("there is no restore point to prove: `mainstay backup run` makes one");
    }
    out.value(&report);
    Ok(if good { Exit::Done } else { Exit::Failed })
}

/// The restore points that are meant, by repository.
async fn chosen(args: &VerifyArgs, session: &Session) -> Result<Vec<(Vault, Vec<Point>)>, Failure> {
    if let Some(wanted) = &args.point {
        let (vault, point) = find_point(session, wanted, args.from.as_deref()).await?;
        return Ok(vec![(vault, vec![point])]);
    }
    let stores = match &args.stores[..] {
        [] => None,
        named => Some(stores(session, named)?),
    };
    let mut chosen = Vec::new();
    for name in repositories(session, args.from.as_deref())? {
        let vault = vault(session, &name).await?;
        let mut points = vault.points(&session.desk).await.map_err(failed)?;
        points.retain(|point| {
            let wanted = |stores: &Vec<ComponentId>| stores.contains(&point.store);
            point.whole == Whole::Complete && stores.as_ref().is_none_or(wanted)
        });
        chosen.push((vault, points));
    }
    Ok(chosen)
}

/// Counts what is read, and shows it.
struct Reading {
    found: AtomicU64,
    read: AtomicU64,
}

impl Progress for Reading {
    fn found(&self, entries: u64, _: u64) {
        self.found.fetch_add(entries, Ordering::Relaxed);
    }

    fn done(&self, entries: u64, _: u64) {
        self.read.fetch_add(entries, Ordering::Relaxed);
    }
}

async fn stored(
    args: &VerifyArgs,
    session: &Session,
    vault: &Vault,
    points: Vec<Point>,
    report: &mut Report,
    out: &Output,
) -> Result<(), Failure> {
    let level = match args.level {
        Wanted::Stored => Level::Stored,
        _ => Level::ReadBack,
    };
    // Without --read-data only what was never read.
    let pace = (!args.read_data).then_some(mainstay_backup::Pace {
        within: std::time::Duration::MAX,
        next_in: std::time::Duration::ZERO,
    });
    let budget = ScrubBudget { most: None, pace };
    let reading = Arc::new(Reading {
        found: AtomicU64::new(0),
        read: AtomicU64::new(0),
    });
    let shown = Shown::new(out, format!("reading {} back", vault.name));
    let told = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let (found, read) = (&reading.found, &reading.read);
            let (found, read) = (found.load(Ordering::Relaxed), read.load(Ordering::Relaxed));
            shown.tell(&format!("{read} of {found} packs"));
        }
    };
    let count = points.len();
    let work = prove_stored(&session.desk, vault, points, level, budget, reading.clone());
    let proven = tokio::select! {
        proven = work => proven,
        () = told => return Ok(()),
    };
    shown.end();
    let proven = proven.map_err(failed)?;
    if let Some(scrubbed) = &proven.scrubbed {
        out.line(format!(
            "{}: {} of {} packs read back, {}; {count} restore points looked at",
            vault.name,
            scrubbed.packs_read,
            scrubbed.packs,
            bytes(scrubbed.bytes_read)
        ));
        damage(&vault.name, scrubbed, report, out);
        let suspects: BTreeSet<Id> = scrubbed.damaged.keys().copied().collect();
        if args.mend && !scrubbed.is_sound() {
            mended(args, session, vault, suspects, out).await?;
        }
    }
    for proof in proven.proofs {
        for level in &proof.issued {
            line(&proof.point, *level, &[], out);
        }
        for fault in &proof.faults {
            let damaged = out.paint(Tone::Bad, "damaged");
            out.line(format!("  {damaged} {}: {fault}", short(&proof.point.id)));
        }
        report.proofs.push(proof);
    }
    Ok(())
}

/// Shows what would be done, asks, and does it. Nothing that is damaged is thrown away.
async fn mended(
    args: &VerifyArgs,
    session: &Session,
    vault: &Vault,
    suspects: BTreeSet<Id>,
    out: &Output,
) -> Result<(), Failure> {
    let found = cure(&session.desk, vault, suspects).await.map_err(failed)?;
    let plan = &found.plan;
    let from = found
        .from
        .as_ref()
        .map_or("what is left here", |from| from.as_str());
    out.line(format!(
        "  to mend from {from}: {} files are replaced, {} packs written anew, {} parts fetched",
        plan.replace.len(),
        plan.salvage.len(),
        plan.fetch.len()
    ));
    for lost in plan.lost.iter().take(20) {
        let snapshot = lost.snapshot.to_string();
        let word = out.paint(Tone::Bad, "lost");
        out.line(format!(
            "    {word} {} {}",
            short(&snapshot),
            lost.path.display()
        ));
    }
    if plan.is_empty() {
        out.line("  nothing can be mended");
        return Ok(());
    }
    confirm::ask(&format!("Mend {} so?", vault.name), args.yes)?;
    let done = heal(&session.desk, vault, found).await.map_err(failed)?;
    out.line(format!(
        "  mended; {} damaged files are kept below damaged/; verify again",
        done.kept.len()
    ));
    Ok(())
}

fn line(point: &Point, level: Level, checks: &[String], out: &Output) {
    let checks = match checks.len() {
        0 => String::new(),
        _ => format!(" ({})", checks.join(", ")),
    };
    out.line(format!(
        "  {} {} of {}: {}{checks}",
        out.paint(Tone::Good, "proven"),
        short(&point.id),
        point.store,
        level
    ));
}

fn damage(name: &RepositoryId, scrubbed: &Scrubbed, report: &mut Report, out: &Output) {
    for (pack, how) in scrubbed.damaged.iter().chain(&scrubbed.unreadable) {
        let affected = scrubbed.affected.iter();
        let affected: Vec<String> = affected
            .map(|one| {
                format!(
                    "{} {}",
                    short(&one.snapshot.to_string()),
                    one.path.display()
                )
            })
            .collect();
        out.line(format!(
            "  {} pack {pack}: {how}",
            out.paint(Tone::Bad, "damaged")
        ));
        report.damaged.push(Damage {
            repository: name.clone(),
            pack: pack.to_string(),
            how: how.clone(),
            affected,
        });
    }
    for one in scrubbed.affected.iter().take(20) {
        let snapshot = one.snapshot.to_string();
        out.line(format!(
            "    affects {} {}",
            short(&snapshot),
            one.path.display()
        ));
    }
}

/// The newest whole restore point of each store, or exactly what was named.
fn newest(points: &[Point], all: bool) -> Vec<Point> {
    let mut newest: Vec<Point> = Vec::new();
    for point in points.iter().rev().filter(|point| !point.log) {
        if all || !newest.iter().any(|other| other.store == point.store) {
            newest.push(point.clone());
        }
    }
    newest
}

async fn tested(session: &Session, vault: &Vault, point: Point, report: &mut Report, out: &Output) {
    let what = format!("{} of {}", short(&point.id), point.store);
    let shown = Shown::new(out, format!("trying out {what}"));
    let tested = prove_tested(&session.desk, vault, point, &|note| shown.tell(note)).await;
    shown.end();
    match tested {
        Ok(proof) => {
            for level in &proof.issued {
                line(&proof.point, *level, &proof.checks, out);
            }
            report.proofs.push(proof);
        }
        Err(error) => {
            let why = failed(error);
            out.line(format!(
                "  {} {what}: {}",
                out.paint(Tone::Bad, "failed"),
                why.what
            ));
            report.failed.push(format!("{what}: {}", why.what));
        }
    }
}
