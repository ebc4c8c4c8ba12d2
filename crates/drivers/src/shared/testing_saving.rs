//! A store with a repository to be saved to, for the tests of kinds that save.
//! Must not be used outside tests.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use mainstay_backup::{IfMissing, RestorePoint, open_declared};
use mainstay_driver::{ActError, Driver, Progress};
use mainstay_model::{
    ComponentId, Declared, Op, Output, PlanFile, RecoveryTarget, Repository, RepositoryId, Secret,
    Span,
};
use serde_json::Value;

use super::testing::{NAME, order, plan, site};

/// The repository's name.
pub(crate) fn offsite() -> RepositoryId {
    RepositoryId::new("offsite").unwrap()
}

/// The newest restore point, into its own place.
pub(crate) fn restore() -> Op {
    Op::Restore {
        from: offsite(),
        target: RecoveryTarget::Newest,
    }
}

/// The newest restore point, proven.
pub(crate) fn prove() -> Op {
    Op::Prove {
        from: offsite(),
        target: RecoveryTarget::Newest,
    }
}

/// A plan file with one store, placed at `a`, and a repository below the folder; its password is `sesame`.
pub(crate) fn saved_plan(folder: &Path, declared: &Declared) -> PlanFile {
    let mut plan = plan(declared);
    let weights = [(site("a"), 100)].into();
    plan.placement
        .insert(ComponentId::new(NAME).unwrap(), weights);
    let key: PathBuf = folder.join("key");
    std::fs::write(&key, "sesame").unwrap();
    let repository = Repository {
        url: format!("file:{}/offsite", folder.display()),
        domain: None,
        password: Some(Secret::File(key.display().to_string())),
        scrub: Span::ZERO,
        mirrors: Vec::new(),
        options: Value::Null,
    };
    plan.repositories.insert(offsite(), repository);
    plan
}

/// How many restore points the store has.
pub(crate) fn points(plan: &PlanFile) -> usize {
    let repository = open_declared(&plan.repositories[&offsite()], IfMissing::Create).unwrap();
    let name = ComponentId::new(NAME).unwrap();
    RestorePoint::of(&repository, &plan.system, &name)
        .unwrap()
        .len()
}

/// Carries out an order to its end.
pub(crate) async fn to_its_end(
    driver: &dyn Driver,
    kind: &str,
    at: &str,
    op: Op,
) -> Result<Output, ActError> {
    let order = order(kind, at, op);
    let mut progress = driver.act(&order).await?;
    loop {
        match progress {
            Progress::Done(output) => return Ok(output),
            Progress::Running { handle, .. } => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                progress = driver.poll(&order, &handle).await?;
            }
        }
    }
}
