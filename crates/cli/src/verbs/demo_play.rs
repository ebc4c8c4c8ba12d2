//! `mainstay demo` without a subcommand: plays the acts and shows what was measured.
//! Must not know how an act is played.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use mainstay_demo::{
    PartError,
    acts::{self, Say},
    report::{Report, table},
    world::{Database, Options, Watch, World},
};

use super::{
    demo::{failed, program},
    demo_clusters::Clusters,
};
use crate::{
    context,
    error::{Exit, Failure},
    output::{Output, Tone},
};

/// Options of the demo itself.
#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the report goes [default: `mainstay-demo.html` in the world's folder].
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// What the order service runs on.
    #[arg(long, default_value = "sqlite", value_name = "sqlite|postgres")]
    database: Database,
    /// The world's folder [default: a new one in the folder for temporary files].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave the world running at the end.
    #[arg(long)]
    keep: bool,
}

/// How the play ended.
enum End {
    Played(Box<Report>),
    Interrupted,
}

pub(crate) async fn run(args: PlayArgs, out: &Output) -> Result<Exit, Failure> {
    let (dir, made) = folder(&args)?;
    let options = Options {
        dir: dir.clone(),
        program: program()?,
        database: args.database,
        watch: Watch::On,
    };
    let began = Instant::now();
    let say = Teller(out);
    say.heading(&format!("two sites and a witness, on {}", args.database));
    out.progress(format!("  the world is in {}", dir.display()));
    let played = tokio::select! {
        played = play(options, &say) => played.map(|report| End::Played(Box::new(report))),
        () = context::stopped() => Ok(End::Interrupted),
    };
    if !args.keep
        && let Ok(world) = World::open(&dir)
    {
        world.down().map_err(failed)?;
    }
    match played {
        Err(error) => Err(broken(error, &dir, made)),
        Ok(End::Interrupted) if args.keep => {
            out.line(format!(
                "interrupted; the world in {} goes on",
                dir.display()
            ));
            Ok(Exit::Interrupted)
        }
        Ok(End::Interrupted) => {
            made.forget(&dir);
            out.line("interrupted; all stopped");
            Ok(Exit::Interrupted)
        }
        Ok(End::Played(report)) => {
            let exit = tell(&report, &args, &dir, out)?;
            out.line(format!(
                "the whole took {:.0} s",
                began.elapsed().as_secs_f64()
            ));
            if made == Made::Ours && !args.keep && exit == Exit::Done {
                out.progress("removing the stores; the report and the logs stay");
                tidy(&dir);
            }
            Ok(exit)
        }
    }
}

/// Whose folder the world is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// A new one, for this play.
    Ours,
    /// One that the user named.
    Theirs,
}

impl Made {
    /// Removes a folder of our own.
    fn forget(self, dir: &Path) {
        if self == Self::Ours {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

/// What went wrong, and where to read on if there is something to read.
fn broken(error: PartError, dir: &Path, made: Made) -> Failure {
    let (failure, logs) = (failed(error), dir.join("logs"));
    if logs.exists() {
        return failure.next(format!("read the logs in {}", logs.display()));
    }
    made.forget(dir);
    failure
}

fn folder(args: &PlayArgs) -> Result<(PathBuf, Made), Failure> {
    if let Some(dir) = &args.dir {
        return Ok((dir.clone(), Made::Theirs));
    }
    let made = tempfile::Builder::new().prefix("mainstay-demo-").tempdir();
    let made = made.map_err(|error| Failure::bug("make a folder for the demo", error))?;
    Ok((made.keep(), Made::Ours))
}

async fn play(options: Options, say: &Teller<'_>) -> Result<Report, PartError> {
    let mut world = World::up(options, &Clusters, &|line: &str| say.line(line)).await?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    acts::play(&mut world, say, context::now().to_string(), version).await
}

/// The table, the figures as JSON, the report as a page.
fn tell(report: &Report, args: &PlayArgs, dir: &Path, out: &Output) -> Result<Exit, Failure> {
    let result = &report.result;
    out.line("");
    out.line(table(result).trim_end());
    out.line("");
    if let Some(path) = &args.json {
        let text = serde_json::to_string(result);
        let text = text.map_err(|error| Failure::bug("write the figures as JSON", error))?;
        write(path, &text)?;
    }
    let page = args
        .report
        .clone()
        .unwrap_or_else(|| dir.join("mainstay-demo.html"));
    write(&page, &mainstay_demo::report::render(report))?;
    out.line(format!("report: {}", page.display()));
    if result.ok {
        out.line(out.paint(Tone::Good, "every promise was kept"));
        return Ok(Exit::Done);
    }
    Err(
        Failure::new("demo-promise", "the demo broke a promise: see the table")
            .next(format!("read the logs in {}", dir.join("logs").display())),
    )
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| {
        Failure::new(
            "demo-file",
            format!("failed to write {}: {error}", path.display()),
        )
    };
    std::fs::write(path, text).map_err(failed)
}

/// Leaves the report and the logs, which are small; stores and journals go.
fn tidy(dir: &Path) {
    let stores = ["prod", "dr", "witness", "offsite", "third", "keys"];
    for name in stores.into_iter().chain([".mainstay", "acks.jsonl"]) {
        let path = dir.join(name);
        let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
    }
}

/// Tells people at the terminal.
struct Teller<'a>(&'a Output);

impl Say for Teller<'_> {
    fn heading(&self, text: &str) {
        self.0.line("");
        self.0.line(self.0.paint(Tone::Strong, text));
    }

    fn line(&self, text: &str) {
        self.0.progress(format!("  {text}"));
    }
}
