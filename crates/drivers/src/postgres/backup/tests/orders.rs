//! The whole way through the agent's drivers: a plan file, the log kept in the background, orders that back up, prove,
//! extract.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use mainstay_driver::{ActError, Driver, Order, Progress};
use mainstay_model::{
    ComponentId, Op, Output, RecoveryTarget, Repository, RepositoryId, Saved, Scope, Secret, Span,
    Subject, Timestamp,
};

use tokio::runtime::Runtime;

use super::fixture::{Bed, site};
use crate::{
    NeverQuarantined, Place, drivers,
    shared::testing::{order, plan},
};

fn postgres(bed: &Bed, repository: &RepositoryId) -> Arc<dyn Driver> {
    let folder = bed.place("repository");
    let password = bed.place("repository.key");
    fs::write(&password, "secret\n").unwrap();
    let mut plan = plan(&bed.declared());
    "orders".clone_into(&mut plan.system);
    let declared = Repository {
        url: format!("file:{}", folder.display()),
        domain: None,
        password: Some(Secret::File(password.display().to_string())),
        scrub: Span::from_secs(3600),
        mirrors: Vec::new(),
        options: serde_json::json!({}),
    };
    plan.repositories = BTreeMap::from([(repository.clone(), declared)]);
    let backup = serde_json::json!([{ "every": "1h", "to": repository, "pitr": "1d" }]);
    for store in plan.stores.values_mut() {
        store.backup = serde_json::from_value(backup.clone()).unwrap();
    }
    let home = &bed.store.instance.home;
    let place = Place {
        state: home.state.clone(),
        base: home.base.clone(),
        quarantine: Arc::new(NeverQuarantined),
    };
    let drivers = drivers(Arc::new(plan), site("prod"), place);
    Arc::clone(drivers.get("postgres").unwrap())
}

fn ordered(attempt: u32, op: Op) -> Order {
    let mut order = order("postgres", "prod", op);
    order.id.attempt = attempt;
    order.action.subject = Subject::Component(ComponentId::new("ledger").unwrap());
    order
}

async fn done(driver: &Arc<dyn Driver>, attempt: u32, op: Op) -> Result<Output, ActError> {
    let order = ordered(attempt, op);
    let mut progress = driver.act(&order).await?;
    loop {
        match progress {
            Progress::Done(output) => return Ok(output),
            Progress::Running { handle, .. } => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                progress = driver.poll(&order, &handle).await?;
            }
        }
    }
}

#[test]
fn orders_back_up_prove_and_extract_while_the_log_is_kept() {
    let Some(bed) = Bed::start() else { return };
    let name = RepositoryId::new("offsite").unwrap();
    let runtime = Runtime::new().unwrap();
    let driver = runtime.block_on(async { postgres(&bed, &name) });
    bed.run("INSERT INTO marks VALUES (1, now())");
    let to = name.clone();
    let saved = runtime
        .block_on(done(&driver, 1, Op::Backup { to }))
        .unwrap();
    let saved = Saved::of(&saved).unwrap();
    assert!(saved.missing == 0 && saved.position.is_some());
    bed.run("INSERT INTO marks VALUES (2, now())");
    let before = bed.clock();
    std::thread::sleep(Duration::from_millis(20));
    bed.run("DELETE FROM marks");
    // What was written a moment ago is stored before it is looked for.
    let prove = Op::Prove {
        from: name.clone(),
        target: RecoveryTarget::Time(before),
    };
    let proven = runtime.block_on(done(&driver, 2, prove)).unwrap();
    let proven = Saved::of(&proven).unwrap();
    assert_eq!((&proven.point, proven.taken), (&saved.point, before));
    let expected = [
        "pg_verifybackup",
        "boots",
        "pg_amcheck",
        "SELECT count(*) > 0 FROM marks",
    ];
    assert_eq!(proven.checks, expected);
    // The newest state has no rows: its check says so.
    let newest = Op::Prove {
        from: name.clone(),
        target: RecoveryTarget::Newest,
    };
    let refused = runtime.block_on(done(&driver, 3, newest)).unwrap_err();
    assert!(
        format!("{refused:?}").contains("check-failed"),
        "{refused:?}"
    );
    let into = bed.place("here").display().to_string();
    let extract = |target| Op::Extract {
        from: name.clone(),
        target,
        path: None,
        into: into.clone(),
    };
    let late = RecoveryTarget::Time(Timestamp(bed.clock().0 + 3_600_000_000));
    let refused = runtime
        .block_on(done(&driver, 4, extract(late)))
        .unwrap_err();
    assert!(
        format!("{refused:?}").contains("target-after-end"),
        "{refused:?}"
    );
    runtime
        .block_on(done(&driver, 5, extract(RecoveryTarget::Time(before))))
        .unwrap();
    assert_eq!(bed.marks_in("here"), [1, 2]);
    let extra = extra(&runtime, &driver);
    assert!(extra.contains_key("log-stored-until"), "{extra:?}");
    assert!(!extra.contains_key("log-trouble"), "{extra:?}");
}

fn extra(runtime: &Runtime, driver: &Arc<dyn Driver>) -> BTreeMap<String, String> {
    let scope = Scope {
        subject: Subject::Component(ComponentId::new("ledger").unwrap()),
        ..crate::shared::testing::scope("postgres", "prod")
    };
    let sample = runtime.block_on(driver.observe(&scope));
    sample.facts().unwrap().extra.clone()
}
