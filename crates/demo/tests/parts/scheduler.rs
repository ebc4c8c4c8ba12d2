//! The scheduler: held at first, and a hold that is answered means that nothing runs any more.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post as route_post;
use mainstay_demo::scheduler::{Options, Scheduler, overlaps, read_ticks};
use serde_json::{Value, json};

use crate::support::{Running, eventually, get, loopback, post};

/// A service whose ticks take a while; counts those that are being worked on.
async fn slow_service() -> (Arc<AtomicU64>, Running) {
    let busy = Arc::new(AtomicU64::new(0));
    let shared = busy.clone();
    let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let router = Router::new().route(
        "/jobs/tick",
        route_post(move || async move {
            shared.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(150)).await;
            shared.fetch_sub(1, Ordering::SeqCst);
        }),
    );
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
    (busy, running)
}

async fn start(site: &str, list: &Path, service: &Running) -> Running {
    let scheduler = Scheduler::bind(Options {
        site: site.to_owned(),
        listen: loopback(),
        services: vec![service.url("")],
        list: list.to_path_buf(),
        rate: 20,
    })
    .await
    .unwrap();
    Running::spawn(scheduler.addr().unwrap(), |stop| {
        scheduler.serve(async move {
            let _ = stop.await;
        })
    })
}

#[tokio::test]
async fn it_boots_held_and_a_hold_returns_after_the_tick_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("ticks.jsonl");
    let (busy, service) = slow_service().await;
    let scheduler = start("prod", &list, &service).await;
    assert_eq!(get(scheduler.url("/state")).await.1["paused"], true);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(read_ticks(&list).unwrap(), []);

    for _ in 0..3 {
        let (_, released) = post(scheduler.url("/release"), &Value::Null).await;
        assert_eq!(released["paused"], false);
        eventually("a tick is in flight", || async {
            busy.load(Ordering::SeqCst) == 1
        })
        .await;
        let (_, held) = post(scheduler.url("/hold"), &Value::Null).await;
        assert_eq!(held["paused"], true);
        assert_eq!(busy.load(Ordering::SeqCst), 0, "the hold waited");
    }
    let ticks = read_ticks(&list).unwrap();
    assert!(ticks.iter().filter(|tick| tick.ended_us.is_some()).count() >= 3);
    scheduler.stop().await;

    let again = start("prod", &list, &service).await;
    assert_eq!(get(again.url("/state")).await.1["paused"], json!(true));
}

#[tokio::test]
async fn handing_over_leaves_no_overlap_and_running_both_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("ticks.jsonl");
    let (_, service) = slow_service().await;
    let (prod, dr) = (
        start("prod", &list, &service).await,
        start("dr", &list, &service).await,
    );
    let ticked_by = |site: &'static str| {
        let list = list.clone();
        move || {
            let ticks = read_ticks(&list).unwrap();
            async move { ticks.iter().any(|tick| tick.site == site) }
        }
    };
    post(prod.url("/release"), &Value::Null).await;
    eventually("prod ticks", ticked_by("prod")).await;
    post(prod.url("/hold"), &Value::Null).await;
    post(dr.url("/release"), &Value::Null).await;
    eventually("dr ticks", ticked_by("dr")).await;
    assert_eq!(overlaps(&read_ticks(&list).unwrap()), []);

    post(prod.url("/release"), &Value::Null).await;
    eventually("the overlap shows", || async {
        !overlaps(&read_ticks(&list).unwrap()).is_empty()
    })
    .await;
}
