//! Measures backups and restores side by side with the programs of the field that are installed, and prints JSON.
//! Run it by `cargo xtask bench backup --json`. `--runs N` takes the best of N, `--cases big-first,small-first`
//! leaves the others out, `--scale 0.1` makes everything smaller, `--dir D` is where the data lies,
//! `--files 10000,1000000` measures what a small file costs by how many there are, and nothing else,
//! `--install-rustic` builds rustic from the crates registry first, if it is not there.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement prints what it found, stops at any fault, and rounds"
)]

mod data;
mod many;
mod tools;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use data::{make_big, make_small};

use mainstay_backup::{
    BackupOptions, Files, Format, Quiet, Repository, RestoreOptions, backup, limits, restore,
};
use mainstay_storage::Local;
use serde_json::{Value, json};
use tools::{Run, Step, Tool, install_rustic, measure};

const CASES: [&str; 6] = [
    "big-first",
    "big-unchanged",
    "big-restore",
    "small-first",
    "small-unchanged",
    "small-restore",
];

struct Settings {
    runs: usize,
    cases: Vec<String>,
    scale: f64,
    dir: PathBuf,
    files: Vec<usize>,
}

fn size_of(path: &Path) -> u64 {
    let meta = fs::symlink_metadata(path).unwrap();
    if !meta.is_dir() {
        return meta.len();
    }
    let entries = fs::read_dir(path).unwrap();
    entries.map(|entry| size_of(&entry.unwrap().path())).sum()
}

/// What was measured: the best run of each case and tool, and how large each repository became.
#[derive(Default)]
struct Measured {
    best: BTreeMap<(String, Tool), Run>,
    sizes: BTreeMap<(String, Tool), u64>,
    limits: Vec<Value>,
}

/// So much of the data every stage is measured with.
const SAMPLE: u64 = 512 << 20;

/// What each stage can do by itself, on one thread: as a table for people, and for the JSON.
fn stages(source: &Path, scratch: &Path) -> Vec<Value> {
    let _ = fs::remove_dir_all(scratch);
    let measured = limits(source, scratch, SAMPLE).unwrap();
    let _ = fs::remove_dir_all(scratch);
    let one = |limit: &mainstay_backup::Limit| {
        let (stage, rate) = (format!("{:?}", limit.stage), limit.mib_per_second());
        eprintln!("{stage:>12} {rate:>8.0} MiB/s");
        json!({ "stage": stage, "mib_per_second": rate.round() })
    };
    measured.iter().map(one).collect()
}

fn round(settings: &Settings, tools: &[Tool], data: &str, measured: &mut Measured) {
    let source = settings.dir.join(data);
    for tool in tools {
        let work = settings.dir.join("work");
        let _ = fs::remove_dir_all(&work);
        let (repository, into, cache) = (work.join("r"), work.join("into"), work.join("cache"));
        fs::create_dir_all(&cache).unwrap();
        measure(
            tool.command(Step::Init, &repository, &source, &into),
            &cache,
        );
        for (step, name) in [
            (Step::First, "first"),
            (Step::Unchanged, "unchanged"),
            (Step::Restore, "restore"),
        ] {
            let case = format!("{data}-{name}");
            // The first backup is needed for the others, measured or not.
            if step != Step::First && !settings.cases.contains(&case) {
                continue;
            }
            let run = measure(tool.command(step, &repository, &source, &into), &cache);
            eprintln!(
                "{case} {}: {:.2} s, {:.2} s of processors, {:.0} MiB",
                tool.name(),
                run.seconds,
                run.cpu_seconds,
                run.peak_mib
            );
            let best = measured.best.entry((case, *tool)).or_insert(run);
            best.seconds = best.seconds.min(run.seconds);
            best.cpu_seconds = best.cpu_seconds.min(run.cpu_seconds);
            best.peak_mib = best.peak_mib.max(run.peak_mib);
            if step == Step::First {
                measured
                    .sizes
                    .insert((data.to_owned(), *tool), size_of(&repository));
            }
        }
        let _ = fs::remove_dir_all(&work);
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn report(settings: &Settings, tools: &[Tool], measured: &Measured) -> Value {
    let peers = || tools.iter().filter(|tool| **tool != Tool::Ours);
    let mut cases = Vec::new();
    for case in &settings.cases {
        let of = |tool: Tool| measured.best.get(&(case.clone(), tool));
        let Some(ours) = of(Tool::Ours) else { continue };
        let runs = peers().filter_map(|tool| Some((*tool, *of(*tool)?)));
        let best = runs.min_by(|(_, a), (_, b)| a.seconds.total_cmp(&b.seconds));
        cases.push(json!({
            "case": case,
            "seconds": rounded(ours.seconds),
            "peer": best.map(|(tool, _)| tool.name()),
            "peer_seconds": best.map(|(_, run)| rounded(run.seconds)),
            "ratio": best.map(|(_, run)| rounded(run.seconds / ours.seconds)),
            "peak_rss_mib": rounded(ours.peak_mib),
            "peer_peak_rss_mib": best.map(|(_, run)| rounded(run.peak_mib)),
            "all": tools.iter().filter_map(|tool| {
                let run = of(*tool)?;
                let (seconds, peak) = (rounded(run.seconds), rounded(run.peak_mib));
                let cpu = rounded(run.cpu_seconds);
                Some(json!({
                    "tool": tool.name(),
                    "seconds": seconds,
                    "cpu_seconds": cpu,
                    "peak_rss_mib": peak,
                }))
            }).collect::<Vec<_>>(),
        }));
    }
    let sizes = measured
        .sizes
        .iter()
        .map(|((data, tool), bytes)| json!({ "data": data, "tool": tool.name(), "bytes": bytes }));
    json!({
        "version": 1,
        "cases": cases,
        "sizes": sizes.collect::<Vec<_>>(),
        "limits": measured.limits,
    })
}

/// What a measured process does: one step of our own.
fn step(arguments: &[String]) {
    let repository = Path::new(&arguments[1]);
    if arguments[0] == "init" {
        let storage = Arc::new(Local::create(repository).unwrap());
        Repository::init(storage, b"bench", Format::V2).unwrap();
        return;
    }
    let storage = Arc::new(Local::open(repository).unwrap());
    let repository = Repository::open(storage, b"bench").unwrap();
    let path = Path::new(&arguments[2]);
    if arguments[0] == "backup" {
        let files = Files::new(path).unwrap();
        let done = backup(&repository, &files, &BackupOptions::default(), &Quiet).unwrap();
        assert_eq!(done.problems, []);
    } else {
        let (_, snapshot) = repository.find_snapshot("latest").unwrap();
        let options = RestoreOptions::default();
        let done = restore(&repository, &snapshot, path, &options, &Quiet).unwrap();
        assert_eq!(done.missing, []);
    }
}

fn settings(arguments: &[String]) -> Settings {
    let value = |name: &str| {
        let at = arguments.iter().position(|one| one == name)?;
        arguments.get(at + 1).cloned()
    };
    let cases = value("--cases").map(|text| text.split(',').map(str::to_owned).collect());
    let own = std::env::temp_dir().join(format!("mainstay-bench-{}", std::process::id()));
    Settings {
        runs: value("--runs").map_or(1, |text| text.parse().expect("--runs takes a number")),
        cases: cases.unwrap_or_else(|| CASES.map(str::to_owned).to_vec()),
        scale: value("--scale").map_or(1.0, |text| text.parse().expect("--scale takes a number")),
        dir: value("--dir").map_or(own, PathBuf::from),
        files: value("--files").map_or_else(Vec::new, |text| {
            let numbers = text.split(',').map(str::parse);
            numbers
                .collect::<Result<_, _>>()
                .expect("--files takes numbers")
        }),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--do") {
        return step(&arguments[1..]);
    }
    let settings = settings(&arguments);
    if !settings.files.is_empty() {
        let measured = many::measure_files(&settings.files, &settings.dir);
        return println!("{}", json!({ "version": 1, "files": measured }));
    }
    if arguments.iter().any(|one| one == "--install-rustic") && !Tool::Rustic.is_there() {
        install_rustic();
    }
    let (there, missing): (Vec<_>, Vec<_>) = [Tool::Ours, Tool::Restic, Tool::Rustic]
        .into_iter()
        .partition(|tool| tool.is_there());
    for tool in missing {
        eprintln!("not there, so not compared with: {}", tool.name());
    }
    let mut measured = Measured::default();
    for data in ["big", "small"] {
        if !settings.cases.iter().any(|case| case.starts_with(data)) {
            continue;
        }
        let root = settings.dir.join(data);
        if !root.exists() {
            match data {
                "big" => make_big(&root, settings.scale),
                _ => make_small(&root, settings.scale),
            }
            // File times tell nothing while they are fresh.
            std::thread::sleep(Duration::from_secs(1));
        }
        if data == "big" {
            measured.limits = stages(&root, &settings.dir.join("scratch"));
        }
        for _ in 0..settings.runs.max(1) {
            round(&settings, &there, data, &mut measured);
        }
        let _ = fs::remove_dir_all(&root);
    }
    let _ = fs::remove_dir(&settings.dir);
    println!("{}", report(&settings, &there, &measured));
}
