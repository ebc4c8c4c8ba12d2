//! The state keeps what it is given, notices what it was not, and syncs once for many.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use mainstay_control::{
    db::{Db, DbError, Schema, SlowSync},
    state::{NewRun, State, StateError},
};
use mainstay_engine::{Approval, Created, Entry, Limits, Run};
use mainstay_model::*;

const SCHEMA: Schema = Schema {
    application: 7,
    migrations: &["CREATE TABLE t (n INTEGER UNIQUE)"],
};

#[tokio::test]
async fn many_writes_share_one_sync_and_a_failed_one_harms_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let slow = SlowSync::By(std::time::Duration::from_millis(20));
    let db = Arc::new(Db::open(&folder.path().join("t.db"), SCHEMA, slow).unwrap());
    let insert = |n: i64| db.write(move |c| c.execute("INSERT INTO t VALUES (?1)", [n]));
    let all = futures::future::join_all((0..200).chain([0]).map(insert)).await;
    assert_eq!(all.iter().filter(|done| done.is_err()).count(), 1);
    let count = db.read(|c| c.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)));
    assert_eq!(count.unwrap(), 200);
    let syncs = db.stats().syncs.load(Ordering::Relaxed);
    assert!(syncs < 50, "{syncs} syncs for 201 writes");
}

#[test]
fn a_newer_schema_and_a_foreign_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    drop(Db::open(&path, SCHEMA, SlowSync::No).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 2).unwrap();
    let newer = Db::open(&path, SCHEMA, SlowSync::No).unwrap_err();
    assert!(
        matches!(
            newer,
            DbError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{newer}"
    );
    raw.pragma_update(None, "application_id", 8).unwrap();
    let foreign = Db::open(&path, SCHEMA, SlowSync::No).unwrap_err();
    assert!(matches!(foreign, DbError::Foreign { .. }), "{foreign}");
}

fn small_run(state: &State) -> (NewRun, Vec<Entry>) {
    let runbook = Arc::new(Runbook {
        version: RUNBOOK_VERSION,
        system: "orders".to_owned(),
        plan_hash: String::new(),
        mode: MoveMode::Switchover,
        before: BTreeMap::new(),
        target: BTreeMap::new(),
        leaves: Vec::new(),
        epochs: BTreeMap::new(),
        loss: None,
        acceptance: None,
        discards: None,
        on_failure: OnFailure::Retreat,
        estimate: Span::ZERO,
        steps: Vec::new(),
    });
    let (run, by) = (state.new_run_id().unwrap(), PersonId::new("ann").unwrap());
    let hash = runbook.hash().unwrap();
    let created = Created {
        run: run.clone(),
        parent: None,
        runbook: hash.clone(),
        by: by.clone(),
        executor: ExecutorEpoch(1),
        approval: Approval::Needed,
        limits: Limits::default(),
        once: Vec::new(),
    };
    let mut machine = Run::create(Arc::clone(&runbook), created, Timestamp(1)).unwrap();
    let new = NewRun {
        run,
        parent: None,
        by,
        runbook,
        hash,
    };
    (new, machine.take_entries())
}

#[tokio::test]
async fn i18_a_journal_that_was_changed_or_cut_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = State::open(&path).unwrap();
    let (new, entries) = small_run(&state);
    let run = new.run.clone();
    state.create_run(new, entries).await.unwrap();
    assert!(state.replay(&run).is_ok());

    let raw = rusqlite::Connection::open(&path).unwrap();
    let flip =
        "UPDATE journal SET bytes = CAST(replace(CAST(bytes AS TEXT), 'ann', 'bob') AS BLOB)";
    assert_eq!(raw.execute(flip, []).unwrap(), 1);
    let damaged = state.replay(&run).unwrap_err();
    assert!(matches!(damaged, StateError::Damaged { .. }), "{damaged}");
    raw.execute("DELETE FROM journal", []).unwrap();
    let cut = state.replay(&run).unwrap_err();
    assert!(
        matches!(
            cut,
            StateError::Cut {
                found: 0,
                head: 1,
                ..
            }
        ),
        "{cut}"
    );
}

#[tokio::test]
async fn an_entry_that_does_not_continue_the_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(&folder.path().join("state.db")).unwrap();
    let (new, entries) = small_run(&state);
    let run = new.run.clone();
    let mut fork = entries.clone();
    state.create_run(new, entries).await.unwrap();
    fork[0].seq = mainstay_engine::Seq(3);
    let (tell, told) = tokio::sync::oneshot::channel();
    let phase = mainstay_engine::RunPhase::Running;
    state.append(&run, fork, phase, Vec::new(), |done| drop(tell.send(done)));
    assert!(told.await.unwrap().is_err());
    assert_eq!(state.run(&run).unwrap().head, 1);
}

#[test]
fn i18_a_torn_database_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(State::open(&path).unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4096).take(4096) {
        *byte = 0xff;
    }
    std::fs::write(&path, bytes).unwrap();
    let torn = State::open(&path).unwrap_err();
    assert_eq!(torn.code(), "state-damaged", "{torn}");
}
