//! Measures backups and restores side by side with the programs of the field that are installed, and prints JSON.
//! Run it by `cargo xtask bench backup --json`. `--runs N` takes the best of N, `--cases big-first,small-first`
//! leaves the others out, `--scale 0.1` makes everything smaller, `--dir D` is where the data lies.
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

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use mainstay_backup::{
    BackupOptions, Files, Format, Quiet, Repository, RestoreOptions, backup, restore,
};
use mainstay_storage::Local;
use serde_json::{Value, json};

const CASES: [&str; 6] = [
    "big-first",
    "big-unchanged",
    "big-restore",
    "small-first",
    "small-unchanged",
    "small-restore",
];

/// A program that makes backups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Tool {
    Ours,
    Restic,
    Rustic,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Init,
    First,
    Unchanged,
    Restore,
}

/// One run of a program.
#[derive(Clone, Copy, Debug)]
struct Run {
    seconds: f64,
    peak_mib: f64,
}

struct Settings {
    runs: usize,
    cases: Vec<String>,
    scale: f64,
    dir: PathBuf,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "mainstay",
            Self::Restic => "restic",
            Self::Rustic => "rustic",
        }
    }

    fn is_there(self) -> bool {
        let found = |name| Command::new(name).arg("--version").output().is_ok();
        self == Self::Ours || found(self.name())
    }

    fn command(self, step: Step, repository: &Path, source: &Path, into: &Path) -> Command {
        let mut command = match self {
            Self::Ours => Command::new(std::env::current_exe().unwrap()),
            Self::Restic | Self::Rustic => Command::new(self.name()),
        };
        let verb = match (self, step) {
            (_, Step::Init) => "init",
            (_, Step::First | Step::Unchanged) => "backup",
            (_, Step::Restore) => "restore",
        };
        match self {
            Self::Ours => command.arg("--do").arg(verb).arg(repository),
            Self::Restic => command.arg("-q").arg("-r").arg(repository).arg(verb),
            Self::Rustic => command
                .arg("--no-progress")
                .arg("-r")
                .arg(repository)
                .arg(verb),
        };
        match (self, step) {
            (_, Step::Init) => &mut command,
            (_, Step::First | Step::Unchanged) => command.arg(source),
            (Self::Ours, Step::Restore) => command.arg(into),
            (Self::Restic, Step::Restore) => command.args(["latest", "--target"]).arg(into),
            (Self::Rustic, Step::Restore) => command.arg("latest").arg(into),
        };
        command
            .env("RESTIC_PASSWORD", "bench")
            .env("RUSTIC_PASSWORD", "bench");
        command
    }
}

/// Runs a command and watches its memory.
fn measure(mut command: Command, cache: &Path) -> Run {
    // What the run before wrote is not this one's work.
    let _ = Command::new("sync").status();
    command.env("XDG_CACHE_HOME", cache).env("HOME", cache);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    let ended = loop {
        // The high-water mark only grows, so the last look before the end counts.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(ended.success(), "{command:?} failed: {ended}");
    Run {
        seconds,
        peak_mib: peak,
    }
}

/// Random numbers, the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Lines as a service logs them: words of a dictionary of two thousand, common ones more often, and numbers.
    fn text(&mut self, words: &[String], length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 64);
        let mut line = 0;
        while bytes.len() < length {
            let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
            let word = &words[((words.len() as f64).powf(unit) as usize).min(words.len()) - 1];
            bytes.extend(word.bytes());
            line += 1;
            if line % 12 == 0 {
                bytes
                    .extend(format!(" {}\n2026-11-26T{:06} ", self.next() % 100_000, line).bytes());
            } else {
                bytes.push(b' ');
            }
        }
        bytes.truncate(length);
        bytes
    }

    fn words(&mut self) -> Vec<String> {
        let mut word = || {
            let length = 2 + self.next() % 9;
            (0..length)
                .map(|_| char::from(b'a' + (self.next() % 26) as u8))
                .collect()
        };
        (0..2000).map(|_| word()).collect()
    }
}

/// 1.8 GB, half of it random and half of it text, in files of 1 to 64 MB.
fn make_big(root: &Path, scale: f64) {
    let mut dice = Dice(88_172_645_463_325_252);
    let words = dice.words();
    let mut left = (1.8e9 * scale) as usize;
    let mut number = 0;
    fs::create_dir_all(root).unwrap();
    while left > 0 {
        let size = (1_000_000 << (number % 7)).min(left);
        let bytes = if number / 7 % 2 == 0 {
            dice.noise(size)
        } else {
            dice.text(&words, size)
        };
        fs::write(root.join(format!("file-{number}")), bytes).unwrap();
        left -= size;
        number += 1;
    }
}

/// 50,000 files of 2 KiB in 500 folders, half of them random and half of them text.
fn make_small(root: &Path, scale: f64) {
    let mut dice = Dice(1_234_567_890_123);
    let words = dice.words();
    for number in 0..(50_000.0 * scale) as usize {
        let folder = root.join(format!("folder-{}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        let bytes = if number % 2 == 0 {
            dice.noise(2048)
        } else {
            dice.text(&words, 2048)
        };
        fs::write(folder.join(format!("file-{number}")), bytes).unwrap();
    }
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
                "{case} {}: {:.2} s, {:.0} MiB",
                tool.name(),
                run.seconds,
                run.peak_mib
            );
            let best = measured.best.entry((case, *tool)).or_insert(run);
            best.seconds = best.seconds.min(run.seconds);
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
                Some(json!({ "tool": tool.name(), "seconds": seconds, "peak_rss_mib": peak }))
            }).collect::<Vec<_>>(),
        }));
    }
    let sizes = measured
        .sizes
        .iter()
        .map(|((data, tool), bytes)| json!({ "data": data, "tool": tool.name(), "bytes": bytes }));
    json!({ "version": 1, "cases": cases, "sizes": sizes.collect::<Vec<_>>() })
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
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--do") {
        return step(&arguments[1..]);
    }
    let settings = settings(&arguments);
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
        for _ in 0..settings.runs.max(1) {
            round(&settings, &there, data, &mut measured);
        }
        let _ = fs::remove_dir_all(&root);
    }
    let _ = fs::remove_dir(&settings.dir);
    println!("{}", report(&settings, &there, &measured));
}
