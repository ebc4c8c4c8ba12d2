//! Proves restore points, one level after the other, and issues a receipt for each (I11): what is stored and read back is
//! looked at here, by somebody else than who wrote it; what is restored and checked is tried out by an agent.
//! Must not know when that is due.

use std::sync::Arc;

use mainstay_backup::{
    Finding, Progress, ScrubBudget, ScrubMemory, Scrubbed, Verified, Verifier, retention::Whole,
    scrub,
};
use mainstay_model::{Action, Op, RecoveryTarget, Saved, Subject};
use mainstay_proof::{Claim, Evidence, Hash, Level, Matched, Mismatch, Range};
use serde::Serialize;

use super::{
    BackupsError,
    vault::{Point, Vault, blocking, position_text},
    work::{Follow, follow, tester_of},
};
use crate::{clock, desk::Desk};

/// One restore point that was proven, or not.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// The restore point.
    pub point: Point,
    /// The receipts that were issued, by level.
    pub issued: Vec<Level>,
    /// What is not as it should be.
    pub faults: Vec<String>,
    /// The checks that passed, if it was tried out.
    pub checks: Vec<String>,
}

/// What was proven, and how the repository is.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The restore points that were looked at.
    pub proofs: Vec<Proof>,
    /// What the scrub saw, if packs were read.
    pub scrubbed: Option<Scrubbed>,
}

/// Proves that these restore points are stored and, up to that level, read back. Packs are read that nobody has read
/// since they were written, and as many others as the budget says.
pub async fn prove_stored(
    desk: &Desk,
    vault: &Vault,
    points: Vec<Point>,
    level: Level,
    budget: ScrubBudget,
    progress: Arc<dyn Progress + Send>,
) -> Result<Proven, BackupsError> {
    let path = desk.places.scrubbed(&vault.name);
    let repository = vault.repository.clone();
    let wanted: Vec<Point> = points
        .into_iter()
        .filter(|point| point.whole == Whole::Complete)
        .collect();
    let snapshots: Vec<_> = wanted
        .iter()
        .map(|point| Arc::clone(&point.found))
        .collect();
    let (seen, scrubbed) = blocking(move || {
        let mut memory = ScrubMemory::read(&path);
        let mut scrubbed = None;
        if level >= Level::ReadBack {
            let done = scrub(&repository, &mut memory, budget, &*progress);
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder).map_err(BackupsError::Memory)?;
            memory.write(&path).map_err(BackupsError::Memory)?;
            scrubbed = Some(done?);
        }
        let verifier = Verifier::open(&repository)?;
        let seen: Vec<Verified> = snapshots
            .iter()
            .map(|point| verifier.verify(&point.snapshot, &memory))
            .collect();
        Ok::<_, BackupsError>((seen, scrubbed))
    })
    .await??;
    let mut proofs = Vec::new();
    for (point, seen) in wanted.into_iter().zip(seen) {
        proofs.push(issue(desk, vault, point, &seen, level).await?);
    }
    Ok(Proven { proofs, scrubbed })
}

async fn issue(
    desk: &Desk,
    vault: &Vault,
    mut point: Point,
    seen: &Verified,
    level: Level,
) -> Result<Proof, BackupsError> {
    let mut evidence = Vec::new();
    let read_back = level >= Level::ReadBack && seen.is_read_back();
    // A piece of a log is soon replaced by a longer one: one receipt is enough for it.
    let twice = point.log && read_back;
    if seen.is_stored() && point.proven < Some(Level::Stored) && !twice {
        evidence.push(Evidence::Stored);
    }
    if read_back && point.proven < Some(Level::ReadBack) {
        let matched = Matched::new(Hash(point.found.snapshot.tree.0), Hash(seen.tree.0));
        evidence.push(Evidence::ReadBack(matched.map_err(mismatch)?));
    }
    let mut issued = Vec::new();
    let ledger = desk.receipts()?;
    for evidence in evidence {
        let level = evidence.level();
        ledger
            .issue(claim(desk, vault, &point, seen.bytes, evidence))
            .await?;
        point.proven = point.proven.max(Some(level));
        issued.push(level);
    }
    let fault = |finding: &Finding| format!("{}: {}", finding.subject, finding.how);
    Ok(Proof {
        point,
        issued,
        faults: seen.faults.iter().map(fault).collect(),
        checks: Vec::new(),
    })
}

fn mismatch(error: Mismatch) -> BackupsError {
    BackupsError::Answer(error.to_string())
}

fn claim(desk: &Desk, vault: &Vault, point: &Point, bytes: u64, evidence: Evidence) -> Claim {
    let position = point.position.as_ref().map(position_text);
    Claim {
        system: desk.plan.system.clone(),
        store: point.store.to_string(),
        epoch: point.epoch.0,
        point: Some(point.id.clone()),
        range: Range {
            after: None,
            to: position.unwrap_or_else(|| point.taken.to_string()),
        },
        bytes,
        evidence,
        destination: vault.destination(),
        at: clock::now().0,
    }
}

/// Lets an agent restore the point into a scratch place and check it there.
pub async fn prove_tested(
    desk: &Desk,
    vault: &Vault,
    mut point: Point,
    told: Follow<'_>,
) -> Result<Proof, BackupsError> {
    let site = tester_of(desk, &point.store, &point.site).await?;
    let action = Action {
        driver: point.kind.clone(),
        subject: Subject::Component(point.store.clone()),
        site,
        op: Op::Prove {
            from: vault.name.clone(),
            target: RecoveryTarget::Point(point.id.clone()),
        },
    };
    let output = follow(desk, action, told).await?;
    let saved = Saved::of(&output)
        .filter(|saved| saved.point == point.id)
        .ok_or_else(|| BackupsError::Answer("the agent proved something else".to_owned()))?;
    let brought: mainstay_backup::Id = saved
        .tree
        .parse()
        .map_err(|_| BackupsError::Answer(format!("{:?} is no hash", saved.tree)))?;
    let matched = Matched::new(Hash(point.found.snapshot.tree.0), Hash(brought.0));
    let matched = matched.map_err(mismatch)?;
    let evidence = if saved.checks.is_empty() {
        Evidence::Restored(matched)
    } else {
        Evidence::Checked {
            matched,
            checks: saved.checks.clone(),
        }
    };
    let level = evidence.level();
    desk.receipts()?
        .issue(claim(desk, vault, &point, saved.bytes, evidence))
        .await?;
    point.proven = point.proven.max(Some(level));
    Ok(Proof {
        point,
        issued: vec![level],
        faults: Vec::new(),
        checks: saved.checks,
    })
}
