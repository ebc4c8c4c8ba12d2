//! What a small file costs, by how many there are: first, unchanged, with some added, and brought back.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    data::make_files,
    rounded,
    tools::{Run, Step, Tool, measure},
};

/// So many files are added to the others.
const ADDED: usize = 1000;

/// Measures our own engine on so many files of 2 KiB, each number after the other.
pub(crate) fn measure_files(numbers: &[usize], dir: &Path) -> Vec<Value> {
    let mut all = Vec::new();
    for &files in numbers {
        let _ = fs::remove_dir_all(dir);
        let (source, repository, into) = (dir.join("source"), dir.join("r"), dir.join("into"));
        fs::create_dir_all(dir.join("cache")).unwrap();
        make_files(&source, 0..files);
        let mut run = |step, name: &str, count: usize| {
            // File times tell nothing while they are fresh.
            std::thread::sleep(Duration::from_secs(1));
            let command = Tool::Ours.command(step, &repository, &source, &into);
            let run = measure(command, &dir.join("cache"));
            if step == Step::Init {
                return;
            }
            let Run {
                seconds,
                peak_mib,
                cpu_seconds,
            } = run;
            let [each, cpu] = [seconds, cpu_seconds].map(|one| one * 1e6 / count as f64);
            eprintln!(
                "{files} files, {name}: {seconds:.2} s, {each:.1} us each, {cpu:.1} of processors, {peak_mib:.0} MiB"
            );
            all.push(json!({
                "files": files,
                "step": name,
                "seconds": rounded(seconds),
                "microseconds_per_file": rounded(each),
                "cpu_microseconds_per_file": rounded(cpu),
                "peak_rss_mib": rounded(peak_mib),
            }));
        };
        run(Step::Init, "init", 1);
        run(Step::First, "first", files);
        run(Step::Unchanged, "unchanged", files);
        make_files(&source.join("more"), 0..ADDED);
        // Looking at all the others is part of it.
        run(Step::Unchanged, "added", files + ADDED);
        // They are not needed any more, and a million of them twice is much.
        fs::remove_dir_all(&source).unwrap();
        run(Step::Restore, "restore", files + ADDED);
    }
    let _ = fs::remove_dir_all(dir);
    all
}
