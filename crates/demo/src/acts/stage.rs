//! What every act needs: the world, somebody to tell, the clock, and waiting for the world to be well.
//! Must not know any act.

use std::future::Future;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kept::Kept;
use crate::clock::now_us;
use crate::error::PartError;
use crate::load::List;
use crate::world::{Site, World};

/// Who is told what is going on.
pub trait Say: Sync {
    /// A new act begins.
    fn heading(&self, text: &str);
    /// Something happens, or was seen.
    fn line(&self, text: &str);
}

/// How long the world may take to be well.
const WELL: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// How long clients are served in peace before something happens to them, and afterwards.
const PEACE: Duration = Duration::from_millis(1500);

/// Where acts are played.
pub(super) struct Stage<'a> {
    pub(super) world: &'a mut World,
    pub(super) say: &'a dyn Say,
    pub(super) kept: Kept,
}

impl Stage<'_> {
    pub(super) fn heading(&self, text: &str) {
        self.say.heading(text);
    }

    pub(super) fn line(&self, text: impl AsRef<str>) {
        self.say.line(text.as_ref());
    }

    /// The clients' list as it is now.
    pub(super) fn list(&self) -> Result<List, PartError> {
        List::read(&self.world.acks())
    }

    /// Lets clients be served for a moment.
    pub(super) async fn peace(&self) {
        tokio::time::sleep(PEACE).await;
    }

    /// Waits until `mainstay status` finds nothing wrong.
    pub(super) async fn well(&self) -> Result<(), PartError> {
        let world = &*self.world;
        until(world, "for all to be well", WELL, async || {
            let status = world.verb(&["status"]).await?.value;
            let wrong = status.get("wrong").cloned().unwrap_or_default();
            Ok(match status.get("ok").and_then(Value::as_bool) {
                Some(true) => Seen::Yes(()),
                _ => Seen::NotYet(wrong.to_string()),
            })
        })
        .await
    }

    /// Waits until a write that was sent after a moment was served by a site; when that was.
    pub(super) async fn served(&self, site: Site, after_us: u64) -> Result<u64, PartError> {
        until(
            self.world,
            "for the first served request",
            WELL,
            async || {
                let first = self.list()?.first_served(after_us, Some(site.name()));
                Ok(first.map_or(Seen::NotYet("none yet".to_owned()), Seen::Yes))
            },
        )
        .await
    }

    /// Makes a site that was left a copy again, so that there is somewhere to go.
    pub(super) async fn reprotect(&self, site: Site) -> Result<Value, PartError> {
        let done = self
            .world
            .do_verb(&["reprotect", site.name(), "--yes"])
            .await?;
        self.well().await?;
        Ok(done)
    }
}

/// What a look found.
pub(super) enum Seen<T> {
    Yes(T),
    NotYet(String),
}

/// Looks again and again. What was seen last is in the error when it takes too long.
pub(super) async fn until<T, F>(
    world: &World,
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, PartError>
where
    F: Future<Output = Result<Seen<T>, PartError>>,
{
    let deadline = Instant::now() + limit;
    loop {
        match look().await? {
            Seen::Yes(found) => return Ok(found),
            Seen::NotYet(why) if Instant::now() > deadline => {
                return Err(PartError::Waited {
                    what: what.to_owned(),
                    seconds: limit.as_secs(),
                    why,
                    logs: world.logs(),
                });
            }
            Seen::NotYet(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Microseconds between two moments, as seconds.
pub(super) fn between(from_us: u64, to_us: u64) -> f64 {
    crate::load::seconds(to_us.saturating_sub(from_us))
}

pub(super) fn now() -> u64 {
    now_us()
}
