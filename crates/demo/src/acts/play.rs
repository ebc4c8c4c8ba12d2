//! The whole play: the acts in their order, and what came of them.
//! Must not know how an act is played.

use super::kept::Kept;
use super::stage::{Say, Stage};
use super::{crash, home, mistake, site_loss, switchover};
use crate::error::PartError;
use crate::report::Report;
use crate::result::{Act, DemoResult};
use crate::world::World;

/// Plays all acts. `played_at` and `version` are for the report.
pub async fn play(
    world: &mut World,
    say: &dyn Say,
    played_at: String,
    version: String,
) -> Result<Report, PartError> {
    let database = world.database.to_string();
    let mut stage = Stage {
        world,
        say,
        kept: Kept::default(),
    };
    let mut acts = Vec::new();
    for act in [
        Act::Switchover,
        Act::CrashResume,
        Act::SiteLoss,
        Act::Failback,
        Act::Restore,
    ] {
        acts.push(match act {
            Act::Switchover => switchover::play(&mut stage).await?,
            Act::SiteLoss => site_loss::play(&mut stage).await?,
            Act::Failback => home::play(&mut stage).await?,
            Act::CrashResume => crash::play(&mut stage).await?,
            Act::Restore => mistake::play(&mut stage).await?,
        });
    }
    let (results, mut stories): (Vec<_>, Vec<_>) = acts.into_iter().unzip();
    for story in &mut stories {
        summary(story.act).clone_into(&mut story.summary);
    }
    Ok(Report {
        result: DemoResult::new(&database, results),
        played_at,
        version,
        stories,
    })
}

fn summary(act: Act) -> &'static str {
    match act {
        Act::Switchover => {
            "A planned move. Writes stop, the copy catches up and is compared, the other site takes over, traffic follows."
        }
        Act::SiteLoss => {
            "Every process of prod was killed with SIGKILL. Observers at other sites noticed it over the network; the \
             leases of prod had run out before dr was promoted."
        }
        Act::Failback => {
            "Prod came back quarantined. What only prod had was saved, prod was rebuilt as a copy of dr, and a planned \
             move brought everything home."
        }
        Act::CrashResume => {
            "The process that carried out the move was killed with SIGKILL at a random step. `mainstay run resume` \
             replayed its journal and carried on."
        }
        Act::Restore => {
            "An application error deleted every order. `mainstay backup restore --in-place` stopped the service, saved what \
             there was, put the database back to just before, and started the service again."
        }
    }
}
