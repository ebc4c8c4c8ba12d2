//! What a file costs does not grow with how many there are: counted, not timed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a test harness that fails loudly and prints what it counted"
)]

mod counting;
mod forest;

use std::{fs, path::Path, process::Command, sync::Arc};

use counting::Counting;
use forest::Forest;
use mainstay_backup::{BackupOptions, Format, Quiet, Repository, backup};
use mainstay_storage::Local;

/// So many bytes of memory each further file may take: its place in the index (48), its id among those that were just
/// saved (34 and room to grow), its part of an index that is being written, of the last 50,000 files alone.
const MEMORY: u64 = 500;

/// What one backup cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    files: u64,
    pack_bytes: u64,
    index_bytes: u64,
    calls: u64,
    peak: u64,
}

impl Cost {
    fn per_file(&self, count: u64) -> f64 {
        count as f64 / self.files as f64
    }
}

/// The password of every repository here.
const PASSWORD: &[u8] = b"correct horse";

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}

/// Where the work of one process is told what to do.
const TASK: &str = "MAINSTAY_MANY_FILES";
/// The test that starts them, and that they are.
const NAME: &str = "a_hundred_thousand_files_cost_each_what_ten_thousand_do";

/// Backs up so many files into a folder. It is a process of its own, so that only its own memory is counted.
fn one_backup(task: &str) {
    let (files, folder) = task.split_once(' ').unwrap();
    let files = files.parse().unwrap();
    let storage = Arc::new(Counting::new(Local::open(Path::new(folder)).unwrap()));
    let held: Arc<Counting> = Arc::clone(&storage);
    let repository = Repository::open(held, PASSWORD).unwrap();
    let before = storage.counted();
    let options = BackupOptions {
        threads: Some(2),
        ..BackupOptions::default()
    };
    // What finding out the password's key took is given back.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let done = backup(&repository, &Forest::new(files), &options, &Quiet).unwrap();
    let peak = peak();
    assert_eq!(done.problems, []);
    assert_eq!(done.bytes, files * forest::LENGTH as u64);
    let now = storage.counted();
    println!(
        "cost {} {} {} {peak}",
        now.pack_bytes - before.pack_bytes,
        now.index_bytes - before.index_bytes,
        now.calls - before.calls
    );
}

fn run(files: u64, folder: &Path) -> Cost {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(TASK, format!("{files} {}", folder.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let line = text.lines().find_map(|line| line.split_once("cost "));
    let numbers = line.unwrap().1.split_whitespace();
    let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
    let cost = Cost {
        files,
        pack_bytes: numbers[0],
        index_bytes: numbers[1],
        calls: numbers[2],
        peak: numbers[3],
    };
    println!("{cost:?}");
    cost
}

/// Backs up so many files for the first time, then again.
fn cost(files: u64) -> [Cost; 2] {
    let folder = tempfile::tempdir().unwrap();
    let local = Arc::new(Local::create(folder.path()).unwrap());
    Repository::init(local, PASSWORD, Format::V2).unwrap();
    [(); 2].map(|()| run(files, folder.path()))
}

#[test]
fn a_hundred_thousand_files_cost_each_what_ten_thousand_do() {
    if let Ok(task) = std::env::var(TASK) {
        return one_backup(&task);
    }
    let few = cost(10_000);
    let many = cost(100_000);
    for (few, many) in few.into_iter().zip(many) {
        let same = |what: &str, few: f64, many: f64| {
            assert!(many <= few * 1.05, "{what}: {few} and {many} for each file");
        };
        let [a, b] = [few, many].map(|cost| cost.per_file(cost.pack_bytes));
        same("bytes of packs", a, b);
        let [a, b] = [few, many].map(|cost| cost.per_file(cost.index_bytes));
        same("bytes of indexes", a, b);
        let [a, b] = [few, many].map(|cost| cost.per_file(cost.calls));
        same("calls to the container", a, b);
        let added = many.peak.saturating_sub(few.peak) / (many.files - few.files);
        println!("{added} bytes of memory for each further file");
        assert!(added < MEMORY, "{added} bytes for each further file");
    }
}
