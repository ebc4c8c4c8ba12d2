//! `mainstay-sim`: plays seeds, replays one, hunts planted bugs.
//! Must not decide what is right; the library does.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program's output is its purpose"
)]

use std::process::ExitCode;

use clap::Parser;
use mainstay_sim::{Summary, replay, replay_every_entry, simulate};

/// Plays seeded disasters against the real planner, engine and journal.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[command(name = "mainstay-sim", version)]
struct Args {
    /// How many seeds to play
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Play just this seed
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: print everything that happens
    #[arg(long)]
    trace: bool,
    /// With `--seed`: let the mover die at every entry of its journals
    #[arg(long)]
    every_entry: bool,
    /// So many of the seeds are also played with a death at every entry of their journals
    #[arg(long, default_value_t = mainstay_sim::EVERY_ENTRY)]
    entries: u64,
    /// Plant every known bug and show that it is caught
    #[arg(long)]
    mutants: bool,
    /// With `--mutants`: just this one; with `--seed`: plant it
    #[arg(long)]
    only: Option<String>,
    /// With `--mutants`: at most so many seeds for each
    #[arg(long, default_value_t = 3_000)]
    hunt: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Threads; as many as there are processors by default
    #[arg(long)]
    jobs: Option<usize>,
}

/// How much of a trace is shown with a violation.
const TAIL: usize = 60;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(seed) = args.seed {
        return one(seed, &args);
    }
    let jobs = args
        .jobs
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let jobs = jobs.unwrap_or(1);
    let summary = simulate(args.first, args.seeds, args.entries, jobs);
    let (mutants, caught) = if args.mutants {
        hunt(&args, jobs)
    } else {
        (0, 0)
    };
    if args.json {
        println!("{}", json(&summary, mutants, caught));
        for (seed, found) in &summary.violations {
            eprintln!("seed {seed}: {} {}", found.invariant, found.words);
        }
    } else {
        table(&summary);
        if args.mutants {
            println!("mutants          {caught} of {mutants} caught");
        }
    }
    if summary.violations.is_empty() && summary.unsafe_plans.is_empty() && caught == mutants {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let outcome = if args.every_entry {
        let Some(outcome) = replay_every_entry(seed) else {
            println!("seed {seed}: no violation at any entry");
            return ExitCode::SUCCESS;
        };
        outcome
    } else {
        let found = match args.only.as_deref() {
            None => Some(replay(seed)),
            Some(name) => planted(name, seed),
        };
        let Some(outcome) = found else {
            println!("there is no planted bug of that name in this build");
            return ExitCode::FAILURE;
        };
        outcome
    };
    let from = if args.trace {
        0
    } else {
        outcome.lines.len().saturating_sub(TAIL)
    };
    for line in &outcome.lines[from..] {
        println!("{line}");
    }
    println!(
        "seed {seed}: trace {:016x}, runs {:?}",
        outcome.hash, outcome.ends
    );
    if let Some(words) = &outcome.unsafe_plan {
        println!("the planner's proof refused a plan: {words}");
    }
    match &outcome.violation {
        None => {
            println!("no violation");
            ExitCode::SUCCESS
        }
        Some(found) => {
            println!(
                "{} is broken at {} us: {}",
                found.invariant, found.at, found.words
            );
            ExitCode::FAILURE
        }
    }
}

/// Microseconds in an hour.
const HOUR: u64 = 3_600_000_000;

fn json(summary: &Summary, mutants: usize, caught: usize) -> serde_json::Value {
    serde_json::json!({
        "seeds": summary.seeds,
        "faults": summary.faults,
        "simulated_hours": summary.time / HOUR,
        "violations": summary.violations.len(),
        "mutants": mutants,
        "mutants_caught": caught,
        "states": summary.states.len(),
    })
}

fn table(summary: &Summary) {
    println!("seeds            {}", summary.seeds);
    println!("faults           {}", summary.faults);
    println!("simulated hours  {}", summary.time / HOUR);
    println!("states           {}", summary.states.len());
    let [planned, forced, reprotects] = summary.moves;
    println!("moves            {planned} planned, {forced} forced, {reprotects} reprotects");
    for (end, count) in &summary.ends {
        println!("  {count:>8} {end}");
    }
    println!("crashes          in {} seeds", summary.crashes);
    let (seeds, deaths) = summary.every_entry;
    println!("every entry      {deaths} deaths in {seeds} seeds");
    println!("violations       {}", summary.violations.len());
    for (seed, words) in summary.unsafe_plans.iter().take(5) {
        println!("  the planner's proof refused a plan in seed {seed}: {words}");
    }
    for (seed, found) in summary.violations.iter().take(10) {
        println!(
            "\nseed {seed}: {} at {} us: {}",
            found.invariant, found.at, found.words
        );
        let lines = replay(*seed).lines;
        for line in &lines[lines.len().saturating_sub(TAIL / 3)..] {
            println!("  {line}");
        }
        println!("  replay: mainstay-sim --seed {seed} --trace");
    }
}

#[cfg(feature = "planted-bugs")]
fn hunt(args: &Args, jobs: usize) -> (usize, usize) {
    let mutants = mainstay_sim::mutants::hunt(args.hunt, jobs, args.only.as_deref());
    if !args.json {
        for mutant in &mutants {
            println!(
                "{:<4} {:<32} {}",
                mutant.invariant,
                mutant.name,
                mutant.verdict()
            );
        }
    }
    let caught = mutants.iter().filter(|it| it.is_caught()).count();
    let few = mainstay_sim::mutants::few();
    if !few.is_empty() && !args.json {
        println!("fewer than two planted bugs: {}", few.join(" "));
    }
    (mutants.len() + few.len(), caught)
}

#[cfg(feature = "planted-bugs")]
fn planted(name: &str, seed: u64) -> Option<mainstay_sim::Outcome> {
    mainstay_sim::mutants::replay(name, seed)
}

#[cfg(not(feature = "planted-bugs"))]
fn planted(_: &str, _: u64) -> Option<mainstay_sim::Outcome> {
    None
}

#[cfg(not(feature = "planted-bugs"))]
fn hunt(_: &Args, _: usize) -> (usize, usize) {
    println!("built without planted bugs: use `cargo xtask sim --mutants`");
    (0, 1)
}
