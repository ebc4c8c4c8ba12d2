//! The order service as a process of its own, killed without warning and asked to stop.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mainstay_demo::order_service::{Options, OrderService, init, run, stored_orders};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Site, client, eventually, get, loopback, order};

/// Names the folder of a service that this very test binary should run.
const FOLDER: &str = "MAINSTAY_TEST_SERVICE";

/// A child that does not outlive a failing test.
struct Service {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test by itself: what the child runs. Without the variable it does nothing.
#[tokio::test]
async fn serves_when_told_to() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let options = fs::read(Path::new(&folder).join("options.json")).unwrap();
    let options: Options = serde_json::from_slice(&options).unwrap();
    run(options).await.unwrap();
    fs::write(Path::new(&folder).join("stopped"), b"cleanly").unwrap();
}

async fn start(site: &Site) -> Service {
    let free = OrderService::bind(options(site, loopback()))
        .await
        .unwrap()
        .addr()
        .unwrap();
    let options = options(site, free);
    fs::write(
        site.folder.join("options.json"),
        serde_json::to_vec(&options).unwrap(),
    )
    .unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::serves_when_told_to", "--nocapture"])
        .env(FOLDER, &site.folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let service = Service { child, addr: free };
    eventually("the service is ready", || async {
        let asked = client().get(format!("http://{free}/ready")).send().await;
        asked.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    service
}

fn options(site: &Site, listen: SocketAddr) -> Options {
    Options {
        site: site.name.to_owned(),
        replica: "prod-1".to_owned(),
        listen,
        database: site.database.clone(),
        files: site.files(),
        lease: None,
        tenants: 50,
    }
}

/// Writes until the service is gone; returns what was acknowledged.
async fn write_until_gone(addr: SocketAddr, round: usize, writer: usize) -> Vec<String> {
    let http = client();
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let id = format!("r{round}-w{writer}-{number}");
        let sent = http
            .post(format!("http://{addr}/orders"))
            .json(&order("t01", &id, "x"));
        match sent.send().await {
            Ok(answer) if answer.status() == 201 => acknowledged.push(id),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test]
async fn what_was_acknowledged_survives_every_kill() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::sqlite("prod", root.path());
    init(&site.database, 50).await.unwrap();
    site.mark(1, "prod", "open");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let mut service = start(&site).await;
        let writers: Vec<_> = (0..4)
            .map(|writer| tokio::spawn(write_until_gone(service.addr, round, writer)))
            .collect();
        let files = site.files().join("t01");
        let written = acknowledged.len() + 10;
        eventually("orders are being written", || async {
            fs::read_dir(&files).is_ok_and(|files| files.count() > written)
        })
        .await;
        service.child.kill().unwrap();
        service.child.wait().unwrap();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
    }
    let service = start(&site).await;
    let stored = stored_orders(&site.database).await.unwrap();
    assert!(acknowledged.len() >= 15, "{}", acknowledged.len());
    for id in &acknowledged {
        let row = stored.iter().find(|order| order.id == *id).unwrap();
        assert_eq!(
            fs::read(site.files().join(&row.attachment)).unwrap(),
            b"hello",
            "{id}"
        );
    }
    let (_, found) = get(format!("http://{}/verify", service.addr)).await;
    assert_eq!(found["ok"], true);
    eventually("leftovers are cleared", || async {
        fs::read_dir(site.files().join(".incoming"))
            .unwrap()
            .count()
            == 0
    })
    .await;
}

#[tokio::test]
async fn asked_to_stop_it_ends_cleanly_and_leaves_one_whole_file() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::sqlite("prod", root.path());
    init(&site.database, 50).await.unwrap();
    site.mark(1, "prod", "open");
    let mut service = start(&site).await;
    let url = format!("http://{}/orders", service.addr);
    let answer = client()
        .post(url)
        .json(&order("t01", "o1", "x"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    let pid = Pid::from_child(&service.child);
    kill_process(pid, Signal::TERM).unwrap();
    assert!(service.child.wait().unwrap().success());
    assert_eq!(fs::read(site.folder.join("stopped")).unwrap(), b"cleanly");
    assert!(
        !site.folder.join("orders.db-wal").exists(),
        "the log was folded into the database"
    );
    assert_eq!(stored_orders(&site.database).await.unwrap().len(), 1);
}
