//! Compares what a store has with its newest restore point, period after period without a gap, and issues a receipt for
//! each good one (I12).
//! Must not know how that is compared.

use mainstay_model::{Action, ComponentId, Op, Position, Saved, Subject, Timestamp};
use mainstay_proof::{Claim, Evidence, Hash, Level, Matched, Range, Receipt};
use serde::Serialize;

use super::{
    BackupsError,
    vault::Vault,
    work::{Follow, follow, owner_of},
};
use crate::{clock, desk::Desk};

/// A period that was compared.
#[derive(Debug, Clone, Serialize)]
pub struct Period {
    /// The store.
    pub store: ComponentId,
    /// What was created before this was compared earlier; none if everything was compared.
    pub since: Option<Timestamp>,
    /// Everything created before this was compared.
    pub until: Timestamp,
    /// What was found.
    pub found: Saved,
    /// The number of the receipt, if all was well.
    pub receipt: Option<u64>,
}

/// Compares everything that was created since the last good comparison.
pub async fn validate(
    desk: &Desk,
    vault: &Vault,
    store: &ComponentId,
    told: Follow<'_>,
) -> Result<Period, BackupsError> {
    let ledger = desk.receipts()?;
    let last = ledger
        .list()?
        .into_iter()
        .rfind(|receipt| is_of(receipt, vault, store));
    let known = desk.state.chore(&chore(vault, store))?;
    // What the chain says and what is remembered belong together; otherwise it begins anew with everything.
    let fits = |last: &Receipt| known.is_some_and(|known| known.to_string() == last.range.to);
    let last = last.filter(fits);
    let since = known.filter(|_| last.is_some());
    let declared = desk.plan.declared(store);
    let kind = declared.map(|declared| declared.kind.clone());
    let kind = kind.ok_or_else(|| BackupsError::Answer(format!("{store} is no store")))?;
    let action = Action {
        driver: kind,
        subject: Subject::Component(store.clone()),
        site: owner_of(desk, store).await?,
        op: Op::Validate {
            from: vault.name.clone(),
            since,
        },
    };
    let output = follow(desk, action, told).await?;
    let found = Saved::of(&output)
        .ok_or_else(|| BackupsError::Answer("the agent does not say what it found".to_owned()))?;
    let mut period = Period {
        store: store.clone(),
        since,
        until: found.taken,
        receipt: None,
        found,
    };
    if period.found.missing == 0 {
        let claim = claim(desk, vault, &period, last.map(|last| last.range.to))?;
        let signed = ledger.issue(claim).await?;
        let receipt = Receipt::read(&signed.receipt).map_err(crate::receipts::LedgerError::from)?;
        period.receipt = Some(receipt.seq);
        let chore = chore(vault, store);
        desk.state.set_chore(&chore, period.until).await?;
    }
    Ok(period)
}

fn chore(vault: &Vault, store: &ComponentId) -> String {
    format!("validated {store} {}", vault.name)
}

/// A receipt for a period names no restore point: it joins the one before it.
fn is_of(receipt: &Receipt, vault: &Vault, store: &ComponentId) -> bool {
    receipt.point.is_none()
        && receipt.level == Level::ReadBack
        && receipt.store == store.as_str()
        && receipt.destination == vault.destination()
}

fn claim(
    desk: &Desk,
    vault: &Vault,
    period: &Period,
    after: Option<String>,
) -> Result<Claim, BackupsError> {
    let odd = |what: &str| BackupsError::Answer(format!("the agent's answer lacks {what}"));
    let Some(Position::Digest(here)) = &period.found.position else {
        return Err(odd("what the store has"));
    };
    let (here, there): (Hash, Hash) = (
        here.parse().map_err(|_| odd("a hash"))?,
        period.found.tree.parse().map_err(|_| odd("a hash"))?,
    );
    let matched = Matched::new(here, there);
    Ok(Claim {
        system: desk.plan.system.clone(),
        store: period.store.to_string(),
        epoch: period.found.epoch.0,
        point: None,
        range: Range {
            after,
            to: period.until.to_string(),
        },
        bytes: period.found.bytes,
        evidence: Evidence::ReadBack(
            matched.map_err(|error| BackupsError::Answer(error.to_string()))?,
        ),
        destination: vault.destination(),
        at: clock::now().0,
    })
}
