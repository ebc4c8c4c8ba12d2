//! Load, its list and its audit, against a real service found through a real DNS server.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mainstay_demo::dns::{self, DnsServer};
use mainstay_demo::load::{Audit, List, Missing, Options, Window, audit, run_until};
use mainstay_demo::order_service::{init, stored_orders};

use crate::support::{Running, Site, eventually, loopback, readiness};

async fn resolving_to(folder: &Path, address: SocketAddr) -> Running {
    let key_file = folder.join("key");
    fs::write(&key_file, "MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
    let server = DnsServer::bind(&dns::Options {
        listen: loopback(),
        zone: "orders.test".to_owned(),
        state: folder.join("zone.json"),
        key_name: "mover".to_owned(),
        key_file,
        records: vec![format!("app 1 A {}", address.ip()).parse().unwrap()],
    })
    .await
    .unwrap();
    Running::spawn(server.addr().unwrap(), |stop| {
        server.serve(async move {
            let _ = stop.await;
        })
    })
}

fn load(dns: &Running, port: u16, list: PathBuf) -> Running {
    let options = Options {
        dns: dns.addr,
        name: "app.orders.test".to_owned(),
        port,
        list,
        clients: 8,
        rate: 200,
        duration_ms: None,
        tenants: 50,
        attachment_bytes: 2000,
        timeout_ms: 1000,
    };
    Running::spawn(dns.addr, |stop| {
        run_until(options, async move {
            let _ = stop.await;
        })
    })
}

fn acknowledged(list: &Path) -> usize {
    List::read(list).map_or(0, |list| list.acks().count())
}

/// A site that owns its store, with its DNS server and load running until it has written a bit.
async fn under_load(root: &Path) -> (Site, Running, Running, Running, PathBuf) {
    let site = Site::sqlite("prod", root);
    init(&site.database, 50).await.unwrap();
    site.mark(1, "prod", "open");
    let service = site.start("prod-1", None).await;
    readiness(&service, None).await;
    let dns = resolving_to(root, service.addr).await;
    let list = root.join("acks.jsonl");
    let running = load(&dns, service.addr.port(), list.clone());
    eventually("writes are acknowledged", || async {
        acknowledged(&list) >= 40
    })
    .await;
    (site, service, dns, running, list)
}

#[tokio::test]
async fn load_goes_on_through_a_seal_and_nothing_acknowledged_is_missed() {
    let root = tempfile::tempdir().unwrap();
    let (site, service, _dns, running, list) = under_load(root.path()).await;
    // The audit may run while the load goes on.
    let now = audit(&list, Window::ALWAYS, &site.database, &site.files())
        .await
        .unwrap();
    assert!(now.acknowledged >= 40);
    assert_eq!(now.lost, []);

    // A sealed store acknowledges nothing; the clients carry on with the same orders afterwards.
    site.mark(1, "prod", "sealed");
    readiness(&service, Some("sealed")).await;
    eventually("refusals are noted", || async {
        let list = List::read(&list).unwrap();
        list.failures().any(|failure| failure.why == "503 sealed")
    })
    .await;
    site.mark(2, "prod", "open");
    let before = acknowledged(&list);
    eventually("service is back", || async {
        acknowledged(&list) > before + 20
    })
    .await;
    running.stop().await;

    let read = List::read(&list).unwrap();
    assert!(read.acks().any(|ack| ack.attempts > 1));
    assert!(
        read.acks()
            .all(|ack| ack.site == "prod" && ack.replica == "prod-1")
    );
    let orders = stored_orders(&site.database).await.unwrap();
    assert!(orders.iter().any(|order| order.epoch == 2));
    let end = audit(&list, Window::ALWAYS, &site.database, &site.files())
        .await
        .unwrap();
    assert_eq!(end.lost, []);
}

#[tokio::test]
async fn what_is_taken_away_by_hand_is_missed_and_said_to_be_what_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (site, _service, _dns, running, list) = under_load(root.path()).await;
    running.stop().await;
    let orders = stored_orders(&site.database).await.unwrap();
    let connection = rusqlite::Connection::open(site.database_file()).unwrap();
    let (row, file, bytes) = (&orders[0], &orders[1], &orders[2]);
    connection
        .execute(
            "DELETE FROM orders WHERE tenant=?1 AND id=?2",
            [&row.tenant, &row.id],
        )
        .unwrap();
    drop(connection);
    fs::remove_file(site.files().join(&file.attachment)).unwrap();
    fs::write(site.files().join(&bytes.attachment), b"other bytes").unwrap();

    let look = async |files: PathBuf| {
        audit(&list, Window::ALWAYS, &site.database, &files)
            .await
            .unwrap()
    };
    let found: Audit = look(site.files()).await;
    let mut missing: Vec<_> = found
        .lost
        .iter()
        .map(|lost| (lost.id.clone(), lost.missing))
        .collect();
    missing.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected = vec![
        (row.id.clone(), Missing::Row),
        (file.id.clone(), Missing::Attachment),
        (bytes.id.clone(), Missing::OtherAttachment),
    ];
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(missing, expected);
    let oldest = found.oldest_lost_us().unwrap();
    assert!(found.lost.iter().all(|lost| lost.acked_us >= oldest));
    assert!((found.true_loss_s(oldest + 1_500_000) - 1.5).abs() < 1e-9);
    // In the wrong folder, every attachment is missing.
    assert_eq!(
        look(site.folder.clone()).await.lost.len() as u64,
        found.acknowledged
    );
}
