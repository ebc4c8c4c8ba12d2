//! The order service on SQLite: what it acknowledges, and when it refuses.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Running, Site, eventually, get, loopback, order, post, readiness};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post as route_post;
use axum::{Json, Router};
use mainstay_demo::order_service::{
    LeaseOptions, ReconcileOptions, Skew, init, reconcile, stored_orders,
};
use serde_json::{Value, json};

async fn owner(root: &std::path::Path) -> (Site, Running) {
    let site = Site::sqlite("prod", root);
    init(&site.database, 50).await.unwrap();
    site.mark(1, "prod", "open");
    let running = site.start("prod-1", None).await;
    readiness(&running, None).await;
    (site, running)
}

#[tokio::test]
async fn an_order_is_acknowledged_once_it_is_durable_and_repeating_it_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (site, running) = owner(root.path()).await;
    let url = running.url("/orders");

    let (status, body) = post(url.clone(), &order("t01", "o1", "two chairs")).await;
    assert_eq!((status, &body["site"]), (201, &json!("prod")));
    assert_eq!(
        post(url.clone(), &order("t01", "o1", "two chairs")).await.0,
        200
    );
    let (status, body) = post(url.clone(), &order("t01", "o1", "another text")).await;
    assert_eq!((status, &body["error"]), (409, &json!("id-taken")));
    assert_eq!(
        post(url.clone(), &order("t02", "o1", "two chairs")).await.0,
        201
    );

    let (_, listed) = get(running.url("/orders?tenant=t01")).await;
    assert_eq!(listed["orders"].as_array().unwrap().len(), 1);
    let (_, shown) = get(running.url("/orders/t01/o1")).await;
    assert_eq!(
        (&shown["body"], &shown["epoch"]),
        (&json!("two chairs"), &json!(1))
    );
    let stored = stored_orders(&site.database).await.unwrap();
    assert_eq!(stored.len(), 2);
    assert_eq!(
        fs::read(site.files().join(&stored[0].attachment)).unwrap(),
        b"hello"
    );

    let (_, found) = get(running.url("/verify")).await;
    assert_eq!(
        (&found["ok"], &found["orders"], &found["tenants"]),
        (&json!(true), &json!(2), &json!(50))
    );
    fs::remove_file(site.files().join(&stored[0].attachment)).unwrap();
    let (_, found) = get(running.url("/verify")).await;
    assert_eq!(
        (&found["ok"], &found["dangling"]),
        (&json!(false), &json!(1))
    );
    running.stop().await;
}

#[tokio::test]
async fn hostile_and_incomplete_requests_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let (site, running) = owner(root.path()).await;
    let url = running.url("/orders");
    for (tenant, id, expected) in [
        ("t01", "../../etc/passwd", "bad-id"),
        ("..", "o1", "bad-tenant"),
        ("t51", "o1", "unknown-tenant"),
        ("", "o1", "bad-tenant"),
    ] {
        let (status, body) = post(url.clone(), &order(tenant, id, "x")).await;
        assert!((400..500).contains(&status), "{tenant} {id}");
        assert_eq!(body["error"], expected, "{tenant} {id}");
    }
    assert_eq!(get(url).await.1["error"], "tenant-required");
    assert_eq!(stored_orders(&site.database).await.unwrap(), []);
}

#[tokio::test]
async fn writes_need_a_mark_that_names_this_site_as_owner_of_an_open_store() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::sqlite("prod", root.path());
    init(&site.database, 50).await.unwrap();
    let running = site.start("prod-1", None).await;
    let refusals = [
        (None, "no-mark"),
        (Some((1, "dr", "open")), "not-owner"),
        (Some((2, "prod", "replica")), "replica"),
        (Some((2, "prod", "sealed")), "sealed"),
    ];
    for (mark, reason) in refusals {
        if let Some((epoch, owner, state)) = mark {
            site.mark(epoch, owner, state);
        }
        readiness(&running, Some(reason)).await;
        let (status, body) = post(running.url("/orders"), &order("t01", "o1", "x")).await;
        assert_eq!((status, &body["error"]), (503, &json!(reason)));
    }
    site.mark(3, "prod", "open");
    readiness(&running, None).await;
    assert_eq!(
        post(running.url("/orders"), &order("t01", "o1", "x"))
            .await
            .0,
        201
    );
    assert_eq!(
        post(running.url("/jobs/tick"), &json!({ "by": "jobs" }))
            .await
            .0,
        201
    );
}

#[tokio::test]
async fn a_seal_by_trigger_is_a_refusal_even_before_the_mark_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let (site, running) = owner(root.path()).await;
    rusqlite::Connection::open(site.database_file())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER seal BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'sealed'); END;",
        )
        .unwrap();
    let (status, body) = post(running.url("/orders"), &order("t01", "o1", "x")).await;
    assert_eq!((status, &body["error"]), (503, &json!("sealed")));
    assert_eq!(stored_orders(&site.database).await.unwrap(), []);
}

fn open_files_at(path: &std::path::Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let text = path.to_string_lossy().into_owned();
    links
        .filter_map(|link| fs::read_link(link.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with(&text))
        .count()
}

#[tokio::test]
async fn a_replica_can_be_replaced_under_the_service_and_then_promoted() {
    let root = tempfile::tempdir().unwrap();
    let (prod, running) = owner(root.path()).await;
    assert_eq!(
        post(running.url("/orders"), &order("t01", "o1", "x"))
            .await
            .0,
        201
    );
    let dr = Site::sqlite("dr", root.path());
    let copy = |number: u64| {
        let next = dr.folder.join(format!("next-{number}"));
        let source = rusqlite::Connection::open(prod.database_file()).unwrap();
        source
            .backup("main", &next, None::<fn(rusqlite::backup::Progress)>)
            .unwrap();
        drop(source);
        let target = rusqlite::Connection::open(&next).unwrap();
        target
            .execute("UPDATE mainstay_mark SET state = 'replica'", [])
            .unwrap();
        drop(target);
        fs::rename(next, dr.database_file()).unwrap();
    };
    copy(0);
    let standby = dr.start("dr-1", None).await;
    readiness(&standby, Some("replica")).await;
    for number in 1..6 {
        copy(number);
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    eventually("nothing is held open", || async {
        open_files_at(&dr.database_file()) == 0
    })
    .await;
    let beside: Vec<_> = fs::read_dir(&dr.folder)
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(beside, ["orders.db"], "looking leaves no trace");

    prod.mark(1, "prod", "sealed");
    copy(6);
    dr.mark(2, "dr", "open");
    readiness(&standby, None).await;
    assert_eq!(
        post(standby.url("/orders"), &order("t01", "o2", "x"))
            .await
            .0,
        201
    );
    let ids: Vec<_> = stored_orders(&dr.database)
        .await
        .unwrap()
        .into_iter()
        .map(|o| (o.id, o.epoch))
        .collect();
    assert_eq!(ids, [("o1".to_owned(), 1), ("o2".to_owned(), 2)]);
    readiness(&running, Some("sealed")).await;
    eventually("the former owner let go", || async {
        open_files_at(&prod.database_file()) == 0
    })
    .await;
}

#[tokio::test]
async fn replicas_of_a_site_share_its_database() {
    let root = tempfile::tempdir().unwrap();
    let (site, first) = owner(root.path()).await;
    let second = site.start("prod-2", None).await;
    readiness(&second, None).await;
    let write = |url: String, number: usize| async move {
        let id = format!("o{number}");
        post(url, &order("t03", &id, "x")).await.0
    };
    let writes = (0..40).map(|number| {
        let at = if number % 2 == 0 { &first } else { &second };
        write(at.url("/orders"), number)
    });
    let statuses = futures::future::join_all(writes).await;
    assert_eq!(statuses, vec![201; 40]);
    assert_eq!(stored_orders(&site.database).await.unwrap().len(), 40);
}

/// A grantor that can be told to be silent, to refuse, and how long it grants.
struct Grantor {
    silent: AtomicBool,
    epoch: AtomicU64,
    asked: AtomicU64,
}

async fn grantor(granted_ms: u64, drift_ms: u64) -> (Arc<Grantor>, Running) {
    let state = Arc::new(Grantor {
        silent: AtomicBool::new(false),
        epoch: AtomicU64::new(1),
        asked: AtomicU64::new(0),
    });
    let shared = state.clone();
    let grant = move |Path(store): Path<String>, Json(ask): Json<Value>| async move {
        assert_eq!(store, "ledger");
        shared.asked.fetch_add(1, Ordering::SeqCst);
        if shared.silent.load(Ordering::SeqCst) {
            return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({})));
        }
        let epoch = shared.epoch.load(Ordering::SeqCst);
        if ask["epoch"] == epoch {
            (
                StatusCode::OK,
                Json(json!({ "granted_ms": granted_ms, "drift_ms": drift_ms })),
            )
        } else {
            (
                StatusCode::CONFLICT,
                Json(json!({ "refused": "older epoch", "epoch": epoch })),
            )
        }
    };
    let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let router = Router::new().route("/v1/lease/{store}", route_post(grant));
    let addr = listener.local_addr().unwrap();
    let running = Running::spawn(addr, |stop| async move {
        let stop = async move {
            let _ = stop.await;
        };
        axum::serve(listener, router)
            .with_graceful_shutdown(stop)
            .await
            .unwrap();
        Ok(())
    });
    (state, running)
}

#[tokio::test]
async fn writing_stops_when_the_lease_runs_out_and_resumes_with_it() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::sqlite("prod", root.path());
    init(&site.database, 50).await.unwrap();
    site.mark(1, "prod", "open");
    let (grantor, at) = grantor(600, 100).await;
    let lease = LeaseOptions {
        url: at.url(""),
        store: "ledger".to_owned(),
    };
    let running = site.start("prod-1", Some(lease)).await;
    readiness(&running, None).await;
    assert_eq!(
        post(running.url("/orders"), &order("t01", "o1", "x"))
            .await
            .0,
        201
    );

    grantor.silent.store(true, Ordering::SeqCst);
    readiness(&running, Some("no-lease")).await;
    let (status, body) = post(running.url("/orders"), &order("t01", "o2", "x")).await;
    assert_eq!((status, &body["error"]), (503, &json!("no-lease")));
    assert_eq!(stored_orders(&site.database).await.unwrap().len(), 1);

    grantor.silent.store(false, Ordering::SeqCst);
    readiness(&running, None).await;

    // A grantor that knows a newer epoch takes the lease away at once.
    grantor.epoch.store(2, Ordering::SeqCst);
    readiness(&running, Some("no-lease")).await;
    site.mark(2, "prod", "open");
    readiness(&running, None).await;
}

/// What is granted after a lease was given back would hold up the next owner: the last word is that it was given back.
#[tokio::test]
async fn a_replica_that_stops_gives_its_lease_back_last_of_all() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::sqlite("prod", root.path());
    init(&site.database, 50).await.unwrap();
    site.mark(1, "prod", "open");
    let words = Arc::new(Mutex::new(Vec::new()));
    let say = |word: &'static str| {
        let words = words.clone();
        move || words.lock().unwrap().push(word)
    };
    let (asked, granted, released) = (say("asked"), say("granted"), say("released"));
    let grant = move || {
        let (asked, granted) = (asked.clone(), granted.clone());
        // A grantor goes on with what it began, whoever hangs up.
        let work = tokio::spawn(async move {
            asked();
            tokio::time::sleep(Duration::from_millis(200)).await;
            granted();
        });
        async move {
            work.await.unwrap();
            Json(json!({ "granted_ms": 1500, "drift_ms": 100 }))
        }
    };
    let give_back = move || async move { released() };
    let router = Router::new().route("/v1/lease/{store}", route_post(grant).delete(give_back));
    let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let grantor = tokio::spawn(async move { axum::serve(listener, router).await });
    let store = "ledger".to_owned();
    let running = site
        .start("prod-1", Some(LeaseOptions { url, store }))
        .await;
    readiness(&running, None).await;
    let count = || words.lock().unwrap().len();
    let before = count() + 1;
    eventually("it asks again", async || {
        let words = words.lock().unwrap();
        words.len() > before && words.last() == Some(&"asked")
    })
    .await;
    running.stop().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(words.lock().unwrap().last(), Some(&"released"));
    grantor.abort();
}

/// What a planned move must not find is recorded after a forced one, and from then on known: no more and no less.
#[tokio::test]
async fn what_a_lost_site_took_with_it_is_recorded_once() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::sqlite("dr", root.path());
    init(&site.database, 50).await.unwrap();
    site.mark(3, "dr", "open");
    let (grantor, at) = grantor(600, 100).await;
    grantor.epoch.store(3, Ordering::SeqCst);
    let lease = LeaseOptions {
        url: at.url(""),
        store: "ledger".to_owned(),
    };
    let running = site.start("dr-1", None).await;
    readiness(&running, None).await;
    for id in ["o1", "o2", "o3"] {
        let (status, _) = post(running.url("/orders"), &order("t01", id, "x")).await;
        assert_eq!(status, 201);
    }
    let options = ReconcileOptions {
        site: "dr".to_owned(),
        database: site.database.clone(),
        files: site.files(),
        lease: Some(lease),
    };
    let compare = async |skew| reconcile(options.clone(), skew).await;
    let remove = |id: &str| {
        let orders = std::fs::read_dir(site.files().join("t01")).unwrap();
        let mut files = orders.map(|entry| entry.unwrap().path());
        let of = |path: &std::path::PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&format!("{id}."))
        };
        std::fs::remove_file(files.find(of).unwrap()).unwrap();
    };
    let verified = async || get(running.url("/verify")).await.1;

    assert_eq!(compare(Skew::Refused).await.unwrap().dangling, 0);
    remove("o2");
    let refused = compare(Skew::Refused).await.unwrap_err().to_string();
    assert!(refused.contains("t01/o2"), "{refused}");
    assert_eq!(verified().await["ok"], false);
    assert_eq!(
        grantor.asked.load(Ordering::SeqCst),
        0,
        "nothing was written"
    );

    let found = compare(Skew::Reported).await.unwrap();
    assert_eq!(
        (found.dangling, &found.lost[..]),
        (1, &["t01/o2".to_owned()][..])
    );
    let verification = verified().await;
    assert_eq!(
        (&verification["ok"], &verification["known_lost"]),
        (&json!(true), &json!(1))
    );
    let again = compare(Skew::Reported).await.unwrap();
    assert_eq!((again.dangling, again.known_before), (0, 1));
    assert_eq!(compare(Skew::Refused).await.unwrap().dangling, 0);

    remove("o3");
    assert_eq!(verified().await["ok"], false);
    // Another site owns the store by now: nothing may be recorded here.
    site.mark(4, "prod", "open");
    assert!(compare(Skew::Reported).await.is_err());
    assert_eq!(verified().await["known_lost"], 1);
}

#[tokio::test]
async fn a_site_that_does_not_own_the_store_asks_for_no_lease() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::sqlite("dr", root.path());
    init(&site.database, 50).await.unwrap();
    site.mark(1, "prod", "open");
    let (grantor, at) = grantor(600, 100).await;
    let lease = LeaseOptions {
        url: at.url(""),
        store: "ledger".to_owned(),
    };
    let running = site.start("dr-1", Some(lease)).await;
    readiness(&running, Some("not-owner")).await;
    assert_eq!(grantor.asked.load(Ordering::SeqCst), 0);
}
