//! What `mainstay serve` says about the backups that it keeps.

use mainstay_control::backups::KeeperNotice;
use serde_json::{Value, json};

use crate::{
    context,
    output::{Output, Tone},
};

/// Says what the keeper of the backups did, to a person or a program.
pub(super) fn say_kept(notice: &KeeperNotice, json: bool, out: &Output) {
    let at = context::now();
    if json {
        let mut value = value(notice);
        value["at"] = json!(at);
        out.raw(value.to_string());
    } else {
        out.line(format!("{at} {}", line(notice, out)));
    }
}

fn line(notice: &KeeperNotice, out: &Output) -> String {
    match notice {
        KeeperNotice::Proven(proof) => {
            let levels: Vec<String> = proof.issued.iter().map(ToString::to_string).collect();
            let point = &proof.point;
            format!(
                "restore point {} of {}: {}",
                point.id.get(..8).unwrap_or(&point.id),
                point.store,
                levels.join(", ")
            )
        }
        KeeperNotice::Validated(period) => format!(
            "{}: {} files created before {} compared with its newest restore point, {} missing",
            period.store, period.found.entries, period.until, period.found.missing
        ),
        KeeperNotice::Mirrored {
            repository,
            to,
            mirrored,
        } => format!(
            "{repository}: {} packs and {} restore points copied to {to}",
            mirrored.packs, mirrored.snapshots
        ),
        KeeperNotice::Mended { repository, from } => {
            format!("{repository}: what was damaged was mended from {from}")
        }
        KeeperNotice::Damaged { repository, faults } => out.paint(
            Tone::Bad,
            &format!("{repository} is damaged: {}", faults.join("; ")),
        ),
        KeeperNotice::Scrubbed {
            repository,
            scrubbed,
        } => format!(
            "{repository}: {} of {} packs read again",
            scrubbed.packs_read, scrubbed.packs
        ),
        KeeperNotice::Forgotten {
            repository,
            forgotten,
        } => format!(
            "{repository}: {} restore points taken away, {} bytes freed",
            forgotten.points, forgotten.freed
        ),
        KeeperNotice::Failed {
            repository,
            doing,
            why,
        } => out.paint(Tone::Bad, &format!("{doing} {repository}: {why}")),
    }
}

/// One object for each notice; `what` tells them apart.
fn value(notice: &KeeperNotice) -> Value {
    match notice {
        KeeperNotice::Proven(proof) => json!({ "what": "proven", "proof": proof }),
        KeeperNotice::Validated(period) => json!({ "what": "validated", "period": period }),
        KeeperNotice::Mirrored {
            repository,
            to,
            mirrored,
        } => json!({
            "what": "mirrored", "repository": repository, "to": to, "packs": mirrored.packs,
            "restore_points": mirrored.snapshots,
        }),
        KeeperNotice::Mended { repository, from } => {
            json!({ "what": "mended", "repository": repository, "from": from })
        }
        KeeperNotice::Damaged { repository, faults } => {
            json!({ "what": "damaged", "repository": repository, "faults": faults })
        }
        KeeperNotice::Scrubbed {
            repository,
            scrubbed,
        } => json!({
            "what": "scrubbed", "repository": repository, "packs": scrubbed.packs,
            "packs_read": scrubbed.packs_read, "never_read": scrubbed.never_read,
        }),
        KeeperNotice::Forgotten {
            repository,
            forgotten,
        } => json!({
            "what": "forgotten", "repository": repository, "points": forgotten.points,
            "freed": forgotten.freed,
        }),
        KeeperNotice::Failed {
            repository,
            doing,
            why,
        } => json!({ "what": "failed", "repository": repository, "doing": doing, "why": why }),
    }
}
