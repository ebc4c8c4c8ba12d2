//! One restore: the plan, then folders, files in the order of their packs, links, and the folders' own times.
//! Must not know the format.

use std::{
    path::Path,
    sync::{
        PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{
    RestoreOptions, Restored,
    fetch::{Fetcher, Hands},
    plan::{Fetch, Plan, Stretch, plan, stretches},
    target::Target,
};
use crate::{BackupError, Index, Lock, Progress, Repository, Sharing, Snapshot};

/// How many files one thread prepares at a time.
const RUN: usize = 256;
/// Fewer packs than this for each thread, and one could be left with the last of them.
const FEW: usize = 4;

/// Restores a snapshot, or a part of it, into a folder. Goes on past every error below the first folder, and answers
/// the exact list of what is not there as it should be.
pub fn restore(
    repository: &Repository,
    snapshot: &Snapshot,
    into: &Path,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<Restored, BackupError> {
    let lock = Lock::take(repository, Sharing::Shared)?;
    let index = repository.index()?;
    let mut plan = plan(repository, &index, snapshot, options.path.as_deref())?;
    let bytes = plan.files.iter().map(|file| file.size).sum();
    let entries = plan.folders.len() + plan.files.len() + plan.others.len() + plan.links.len();
    progress.found(entries as u64, bytes);
    let target = Target::open(into, options.owners).map_err(|source| BackupError::Target {
        path: into.to_path_buf(),
        source,
    })?;
    // Files of a folder one after the other, as their blobs are.
    let files = std::mem::take(&mut plan.files);
    let fetcher = Fetcher::new(
        repository,
        &index,
        &target,
        progress,
        options.existing,
        &files,
    );
    for problem in &plan.problems {
        progress.trouble(&problem.path, &problem.why);
    }
    fetcher.make_folders(&plan);
    let threads = options
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let done = fetch_all(&fetcher, &index, files.len(), threads.max(1));
    if done {
        fetcher.make_others(&plan);
        fetcher.make_links(&plan);
        fetcher.settle_folders(&plan);
    }
    drop(lock);
    if !done {
        return Err(BackupError::Cancelled);
    }
    Ok(finish(plan, fetcher))
}

fn finish(plan: Plan, fetcher: Fetcher<'_>) -> Restored {
    let mut missing = plan.problems;
    let problems = fetcher.problems.into_inner();
    missing.extend(problems.unwrap_or_else(PoisonError::into_inner));
    missing.sort_by(|a, b| (&a.path, &a.why).cmp(&(&b.path, &b.why)));
    Restored {
        entries: fetcher.entries.into_inner(),
        bytes: fetcher.bytes.into_inner(),
        kept: fetcher.kept.into_inner(),
        missing,
    }
}

/// Prepares all files, then fetches what they need. Answers whether it was not cancelled.
fn fetch_all(fetcher: &Fetcher<'_>, index: &Index, files: usize, threads: usize) -> bool {
    let stopped = AtomicBool::new(false);
    let go_on = || {
        let go_on = fetcher.progress.go_on();
        stopped.fetch_or(!go_on, Ordering::Relaxed);
        go_on && !stopped.load(Ordering::Relaxed)
    };
    let next = AtomicUsize::new(0);
    let prepare = || {
        let mut parts: Vec<Fetch> = Vec::new();
        while go_on() {
            let from = next.fetch_add(RUN, Ordering::Relaxed);
            if from >= files {
                break;
            }
            for file in from..files.min(from + RUN) {
                let Ok(number) = u32::try_from(file) else {
                    break;
                };
                parts.extend(fetcher.prepare(number));
            }
        }
        parts
    };
    let append = |mut all: Vec<Fetch>, mut more: Vec<Fetch>| {
        all.append(&mut more);
        all
    };
    let prepared = run(threads, &prepare).into_iter();
    let mut parts = prepared.reduce(append).unwrap_or_default();
    let stretches = stretches(index, &mut parts);
    let shares = shares(&stretches, threads);
    let next = AtomicUsize::new(0);
    let fetch = || {
        let mut hands = Hands::default();
        while let Some(share) = shares.get(next.fetch_add(1, Ordering::Relaxed)) {
            for stretch in *share {
                if !go_on() {
                    return;
                }
                fetcher.stretch(&mut hands, stretch, &parts[stretch.parts.clone()]);
            }
        }
    };
    run(threads, &fetch);
    !stopped.load(Ordering::Relaxed)
}

/// Shares the work out: whole packs, for what follows each other in a pack mostly belongs to one file, and of two
/// threads that write to one file one always waits. Where there are few packs, every stretch is for itself.
fn shares(stretches: &[Stretch], threads: usize) -> Vec<&[Stretch]> {
    let packs: Vec<&[Stretch]> = stretches.chunk_by(|a, b| a.pack == b.pack).collect();
    if packs.len() >= threads * FEW {
        packs
    } else {
        stretches.chunks(1).collect()
    }
}

/// Runs the same on so many threads.
fn run<T: Send>(threads: usize, work: &(impl Fn() -> T + Sync)) -> Vec<T> {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done = all.into_iter().map(std::thread::ScopedJoinHandle::join);
        // A thread that panicked left something out: that must not look like a restore.
        done.map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
