//! `mainstay agent`: the agent of one site. It owns that site's processes and alone holds its credentials.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Args;
use mainstay_control::{Places, agent as control};
use mainstay_drivers::{Place, Quarantine};

use crate::{
    args::Global,
    context::{self, Context},
    error::{Exit, Failure},
    output::Output,
};

/// Options of `mainstay agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// The site it is the agent of.
    #[arg(long)]
    site: String,
    /// Where it answers the network about health and leases.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The folder of its journal and of what it supervises [default: `agents/<site>` in the state folder].
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(crate) async fn run(args: &AgentArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let context = Context::load(global, out)?;
    let site = context.site(&args.site)?;
    let places = Places::of(&context.plan, &context.base)
        .map_err(|error| Failure::usage(error.code(), error))?;
    let unusable = |error: mainstay_control::PlaceError| Failure::usage(error.code(), error);
    let folder = args
        .folder
        .clone()
        .unwrap_or_else(|| places.agent_folder(&site));
    let witness = context.plan.witness().filter(|witness| **witness != site);
    let hold = control::Hold::default();
    let options = control::Options {
        site: site.clone(),
        plan: (*context.plan).clone(),
        folder: folder.clone(),
        socket: places
            .agent_socket(&context.plan, &site)
            .map_err(unusable)?,
        listen: args.listen,
        hold: hold.clone(),
        witness: witness
            .map(|witness| places.agent_socket(&context.plan, witness))
            .transpose()
            .map_err(unusable)?,
    };
    let place = Place {
        state: folder.join("drivers"),
        base: context.base.clone(),
        quarantine: Arc::new(Held(hold)),
    };
    let drivers = mainstay_drivers::drivers(Arc::clone(&context.plan), site.clone(), place);
    out.line(format!(
        "agent of {site} listens at {}",
        options.socket.display()
    ));
    control::Agent::serve(options, drivers, context::stopped())
        .await
        .map_err(|error| Failure::new(error.code(), error))?;
    out.line(format!(
        "agent of {site} stopped; what it supervises runs on"
    ));
    Ok(Exit::Done)
}

/// The agent's word on quarantine, as its drivers ask for it.
struct Held(control::Hold);

impl Quarantine for Held {
    fn active(&self) -> bool {
        self.0.active()
    }
}
