//! Looking after a repository: scrubbing, mending, copying it to another container.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test harness that fails loudly and says what it leaves out"
)]

mod fixture;
mod mend;
mod mirror;
#[path = "../restic/program.rs"]
mod program;
mod scrub;
#[path = "../common/tree.rs"]
mod tree;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use fixture::{Fixture, bytes, names};
use mainstay_storage::{Failure, Faulty, FaultyOp, Local, Memory, ObjectName, Storage};
use program::Restic;

/// Runs some work with the N-th call failing, for every N until no call fails any more. What is left is handed on as
/// if the process had ended: its locks are nobody's any more.
fn with_every_fault(
    held: &Memory,
    (op, failure): (FaultyOp, Failure),
    mut work: impl FnMut(u64, Arc<dyn Storage>, Left),
) {
    for number in 0.. {
        assert!(number < 1000, "the work never ends");
        let faulty = Faulty::new(Memory::clone(held), op, number, failure);
        let faulty = Arc::new(faulty);
        work(
            number,
            Arc::<Faulty<Memory>>::clone(&faulty),
            Left(Arc::clone(&faulty)),
        );
        if faulty.calls() <= number {
            break;
        }
    }
}

/// Ways to fail that differ: a read that fails afterwards is one that failed.
const FAULTS: [(FaultyOp, Failure); 5] = [
    (FaultyOp::Any, Failure::Before),
    (FaultyOp::Any, Failure::Gone),
    (FaultyOp::Write, Failure::After),
    (FaultyOp::Write, Failure::Torn),
    (FaultyOp::Delete, Failure::Torn),
];

/// What a process that ended left.
struct Left(Arc<Faulty<Memory>>);

impl Left {
    fn container(&self) -> Arc<Memory> {
        let left = self.0.inner().clone();
        left.delete(&names(&left, "locks")).unwrap();
        Arc::new(left)
    }
}

/// A container in a folder that restic can look at.
struct OnDisk(PathBuf);

impl OnDisk {
    fn open(&self) -> Local {
        Local::create(&self.0).unwrap()
    }

    /// Makes it hold exactly what another one does.
    fn restore(&self, held: &Memory) {
        let _ = std::fs::remove_dir_all(&self.0);
        let local = self.open();
        let mut all = vec![ObjectName::new("config").unwrap()];
        for folder in ["keys", "data", "index", "snapshots"] {
            all.extend(names(held, folder));
        }
        for name in all {
            local.write(&name, &bytes(held, &name)).unwrap();
        }
        local.flush().unwrap();
    }
}

/// A repository, restic to judge it, and the folder where restic looks; nothing if restic is not installed.
fn on_disk() -> Option<(Fixture, Restic, OnDisk)> {
    let fixture = Fixture::new();
    let path: &Path = fixture.folder.path();
    let path = path.join("repository");
    let restic = Restic::on(&path)?;
    Some((fixture, restic, OnDisk(path)))
}
