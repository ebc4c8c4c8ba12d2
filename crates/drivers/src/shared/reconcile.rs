//! A group's own check, carried out by a team's program right after the promote: what it said is kept, so that it is
//! seen later that it was done, and for which epoch.
//! Must not know what is compared.

use std::{fs, io, path::PathBuf};

use mainstay_driver::{ActError, Cause, Order};
use mainstay_model::{ComponentId, Epoch, Output, Skew};
use serde::{Deserialize, Serialize};

use super::{
    Home,
    cause::refused,
    durable::write_durably,
    program::{Program, Said, run},
};
use crate::shared::{lasting, passing};

/// The most of what the program printed that goes into the run's record, in characters.
const EXCERPT: usize = 16 * 1024;
const VERSION: u32 = 1;

/// What was done last, in `reconciled.json` below the state folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reconciled {
    version: u32,
    epoch: Epoch,
    effect: String,
    said: String,
}

fn file(home: &Home, component: &ComponentId) -> PathBuf {
    home.state_of("reconcile", component)
        .join("reconciled.json")
}

/// Runs the program and keeps what it said.
pub(crate) async fn reconcile(
    home: &Home,
    program: &Program,
    order: &Order,
    skew: Skew,
) -> Result<Output, ActError> {
    let component = order.action.subject.component();
    let (Some(component), Some(fence)) = (component, &order.fence) else {
        let what = "a comparison of stores is ordered with the epoch that was promoted";
        return Err(ActError::NotDone(lasting("epoch-missing", what)));
    };
    let variables = [
        ("MAINSTAY_OP", "reconcile".to_owned()),
        ("MAINSTAY_SKEW", skew.word().to_owned()),
        ("MAINSTAY_EPOCH", fence.epoch.to_string()),
        ("MAINSTAY_COMPONENT", component.to_string()),
        ("MAINSTAY_RUN", order.id.run.to_string()),
        ("MAINSTAY_EFFECT", order.id.to_string()),
    ];
    let said = match run(home, program, &variables).await? {
        Said::Yes(said) => said.chars().take(EXCERPT).collect::<String>(),
        Said::No(why) => return Err(refused("stores-differ", why)),
    };
    let done = Reconciled {
        version: VERSION,
        epoch: fence.epoch,
        effect: order.id.to_string(),
        said: said.clone(),
    };
    let kept = serde_json::to_vec(&done)
        .map_err(io::Error::from)
        .and_then(|bytes| write_durably(&file(home, component), &bytes));
    kept.map_err(|error| {
        ActError::Unknown(passing(
            "state-unwritable",
            format!("keep what it said: {error}"),
        ))
    })?;
    Ok(Output {
        position: None,
        values: [
            ("reconcile".to_owned(), said),
            ("skew".to_owned(), skew.word().to_owned()),
        ]
        .into(),
    })
}

/// The epoch for which it was done last; epoch 0 if never.
pub(crate) fn reconciled(home: &Home, component: &ComponentId) -> Result<Epoch, Cause> {
    let unreadable = |error: io::Error| {
        passing(
            "record-unreadable",
            format!("read what the group's check said: {error}"),
        )
    };
    let bytes = match fs::read(file(home, component)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Epoch(0)),
        Err(error) => return Err(unreadable(error)),
    };
    let done: Reconciled =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.into()))?;
    Ok(done.epoch)
}
