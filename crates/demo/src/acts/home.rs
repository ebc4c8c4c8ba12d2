//! Act c: the lost site returns, serves nothing, is saved and rebuilt, and everything goes home.

use std::time::Duration;

use serde_json::Value;

use super::stage::{Seen, Stage, now, until};
use super::switchover::moved;
use crate::error::PartError;
use crate::report::ActStory;
use crate::result::{Act, ActResult};
use crate::world::{Site, World};

/// How long a returned site may take to be known as quarantined.
const HELD: Duration = Duration::from_secs(15);
/// How long it is watched not to serve.
const WATCHED: Duration = Duration::from_secs(2);

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<(ActResult, ActStory), PartError> {
    stage.heading(
        "failback: prod returns, is quarantined, saved, rebuilt; then everything goes home",
    );
    stage.kept.begin(now());
    stage.world.heal(Site::Prod).await?;
    stage.line("the agent of prod runs again; it finds that the world has moved on");
    quarantined(stage.world, Site::Prod).await?;
    serves_nothing(stage.world, Site::Prod).await?;
    stage.line("prod is quarantined: it serves nothing, and its stores stay closed");
    stage
        .line("mainstay reprotect prod: what only prod had is saved, then it becomes a copy of dr");
    stage.reprotect(Site::Prod).await?;
    moved(stage, Act::Failback, Site::Prod).await
}

async fn quarantined(world: &World, site: Site) -> Result<(), PartError> {
    until(world, "for the quarantine", HELD, async || {
        let status = world.verb(&["status"]).await?.value;
        let sites = status
            .get("sites")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let own = |row: &&Value| row.get("site").and_then(Value::as_str) == Some(site.name());
        let standing = sites
            .iter()
            .find(own)
            .and_then(|row| row.get("standing"))
            .cloned();
        Ok(match standing.as_ref().and_then(Value::as_str) {
            Some("quarantined") => Seen::Yes(()),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })
    .await
}

/// Nobody answers at any of the site's addresses for requests.
async fn serves_nothing(world: &World, site: Site) -> Result<(), PartError> {
    let end = tokio::time::Instant::now() + WATCHED;
    while tokio::time::Instant::now() < end {
        for replica in world.addresses.replicas(site) {
            if tokio::net::TcpStream::connect(replica).await.is_ok() {
                return Err(PartError::Promise(format!(
                    "{site} is quarantined, and yet something answers at {replica}"
                )));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
