//! `mainstay demo`: two real sites on this machine, and the acts that are played on them.
//! Must not know how a world or an act works.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mainstay_demo::{
    PartError,
    world::{Database, Options, Presence, Site, Watch, World},
};

use super::demo_clusters::Clusters;
use crate::{
    args::Global,
    error::{Exit, Failure},
    output::{Output, Tone},
};

/// Options of `mainstay demo`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    play: super::demo_play::PlayArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Bring a world up and leave it, to type the real verbs at it.
    Up(UpArgs),
    /// Say what lives of it.
    Status(In),
    /// Kill every process of a site at once.
    Break(At),
    /// Start the agent of a site again, and nothing else.
    Heal(At),
    /// Stop everything of it.
    Down(In),
}

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    place: In,
    /// What the order service runs on.
    #[arg(long, default_value = "sqlite", value_name = "sqlite|postgres")]
    database: Database,
    /// Leave out `mainstay serve`: nobody watches, and nothing moves by itself.
    #[arg(long)]
    no_watch: bool,
}

#[derive(Debug, Args)]
struct In {
    /// The world's folder.
    #[arg(long, default_value = "mainstay-demo", value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct At {
    /// prod, dr or witness.
    site: Site,
    #[command(flatten)]
    place: In,
}

/// A failure in the demo's own words.
#[expect(clippy::needless_pass_by_value, reason = "handed to `map_err`")]
pub(crate) fn failed(error: PartError) -> Failure {
    let failure = Failure::new(error.code(), format!("failed to {error}"));
    match error {
        PartError::Missing(_) => failure.next(
            "install PostgreSQL (Debian: `apt-get install postgresql`), or play on SQLite: leave `--database` out",
        ),
        _ => failure,
    }
}

pub(crate) async fn run(args: DemoArgs, _: &Global, out: &Output) -> Result<Exit, Failure> {
    let Some(what) = args.what else {
        return super::demo_play::run(args.play, out).await;
    };
    match what {
        What::Up(args) => up(args, out).await,
        What::Status(place) => Ok(status(&open(&place)?, out)),
        What::Break(at) => {
            let count = open(&at.place)?.break_site(at.site).map_err(failed)?;
            let site = at.site;
            out.line(format!("{site} is gone: {count} processes were killed"));
            Ok(Exit::Done)
        }
        What::Heal(at) => {
            let site = at.site;
            open(&at.place)?.heal(site).await.map_err(failed)?;
            out.line(match site {
                Site::Witness => "the agent and the name server of witness run again".to_owned(),
                Site::Prod | Site::Dr => {
                    format!("the agent of {site} runs again; nothing else was started")
                }
            });
            Ok(Exit::Done)
        }
        What::Down(place) => {
            let world = open(&place)?;
            world.down().map_err(failed)?;
            out.line(format!("all stopped; {} stays", world.dir.display()));
            Ok(Exit::Done)
        }
    }
}

fn open(place: &In) -> Result<World, Failure> {
    World::open(&place.dir)
        .map_err(|error| failed(error).next("`mainstay demo up --dir DIR` makes a world"))
}

/// This program's own file: the world's processes are the same program.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::bug("find this program's file", error))
}

async fn up(args: UpArgs, out: &Output) -> Result<Exit, Failure> {
    let options = Options {
        dir: args.place.dir.clone(),
        program: program()?,
        database: args.database,
        watch: if args.no_watch { Watch::Off } else { Watch::On },
    };
    let say = |line: &str| out.progress(line);
    let world = World::up(options, &Clusters, &say).await.map_err(failed)?;
    let dir = args.place.dir.display();
    out.line(out.paint(Tone::Good, "two sites are up, and orders are coming in"));
    out.line(format!("  the plan file    {}", world.plan().display()));
    out.line(format!("  logs             {}", world.logs().display()));
    out.line(format!("  name server      {}", world.addresses.dns()));
    for line in [
        format!("cd {dir} && mainstay status"),
        "mainstay switchover --to dr".to_owned(),
        format!("mainstay demo break prod --dir {dir}"),
        format!("mainstay demo down --dir {dir}"),
    ] {
        out.line(format!("try: {line}"));
    }
    Ok(Exit::Done)
}

fn status(world: &World, out: &Output) -> Exit {
    let mut dead = false;
    for Presence {
        site,
        parts,
        processes,
    } in world.presence()
    {
        let name = site.map_or("beside", Site::name);
        let told: Vec<String> = parts
            .iter()
            .map(|part| {
                dead |= !part.lives;
                let state = if part.lives { "runs" } else { "is dead" };
                format!("{} {state} (pid {})", part.part, part.pid)
            })
            .collect();
        out.line(format!(
            "{name:<8} {processes} processes; {}",
            told.join(", ")
        ));
    }
    out.line(format!(
        "next: cd {} && mainstay status",
        world.dir.display()
    ));
    if dead { Exit::Exceptions } else { Exit::Done }
}
