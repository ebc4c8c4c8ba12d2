//! The DNS server, asked and updated by the library's own client.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_net::client::{Client, ClientHandle};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::{DnsHandle, FirstAnswer};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode, UpdateMessage};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};
use mainstay_demo::dns::{DnsServer, Options};

use crate::support::{Running, loopback};

type DnsClient = Client<TokioRuntimeProvider>;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const APP: &str = "app.orders.test.";

async fn start(folder: &Path) -> Running {
    use base64::Engine as _;
    let key_file = folder.join("key");
    std::fs::write(
        &key_file,
        base64::engine::general_purpose::STANDARD.encode(SECRET),
    )
    .unwrap();
    let records = [
        "app 1 A 127.0.0.11",
        "app 1 A 127.0.0.21",
        "_mainstay.app 1 TXT 1",
    ];
    let server = DnsServer::bind(&Options {
        listen: loopback(),
        zone: "orders.test".to_owned(),
        state: folder.join("zone.json"),
        key_name: "mover".to_owned(),
        key_file,
        records: records.iter().map(|text| text.parse().unwrap()).collect(),
    })
    .await
    .unwrap();
    Running::spawn(server.addr().unwrap(), |stop| {
        server.serve(async move {
            let _ = stop.await;
        })
    })
}

fn signer(name: &str, secret: &[u8]) -> TSigner {
    let name = Name::from_ascii(name).unwrap();
    TSigner::new(secret.to_vec(), TsigAlgorithm::HmacSha256, name, 300).unwrap()
}

fn client(addr: SocketAddr, signer: Option<TSigner>) -> DnsClient {
    let stream = UdpClientStream::builder(addr, TokioRuntimeProvider::new())
        .with_timeout(Some(Duration::from_secs(10)))
        .with_max_retries(0)
        .with_signer(signer)
        .build();
    let (client, background) = Client::from_sender(stream);
    tokio::spawn(background);
    client
}

fn mover(addr: SocketAddr) -> DnsClient {
    client(addr, Some(signer("mover.", SECRET)))
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn text(value: &str) -> RData {
    RData::TXT(TXT::new(vec![value.to_owned()]))
}

fn bare(at: &str, class: DNSClass, kind: RecordType) -> Record {
    let mut record = Record::update0(name(at), 0, kind);
    record.dns_class = class;
    record
}

/// "If the epoch is still `from`, it becomes `to`, and the application's address is `last`."
fn movement(zone: &str, from: u32, to: u32, last: u8) -> Message {
    let mut message = Message::new(rand_id(), MessageType::Query, OpCode::Update);
    let mut asked = Query::new();
    asked
        .set_name(name(zone))
        .set_query_class(DNSClass::IN)
        .set_query_type(RecordType::SOA);
    message.add_zone(asked);
    let epoch = "_mainstay.app.orders.test.";
    message.add_pre_requisite(Record::from_rdata(name(epoch), 0, text(&from.to_string())));
    message.add_update(bare(epoch, DNSClass::ANY, RecordType::TXT));
    message.add_update(Record::from_rdata(name(epoch), 1, text(&to.to_string())));
    message.add_update(bare(APP, DNSClass::ANY, RecordType::A));
    let ip = RData::A(A(Ipv4Addr::new(127, 0, 0, last)));
    message.add_update(Record::from_rdata(name(APP), 1, ip));
    message
}

fn rand_id() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn update(client: &DnsClient, message: Message) -> Result<ResponseCode, String> {
    let answer = client.send(message.into()).first_answer().await;
    answer
        .map(|answer| answer.response_code)
        .map_err(|error| error.to_string())
}

async fn addresses(client: &mut DnsClient) -> Vec<Ipv4Addr> {
    let answer = client
        .query(name(APP), DNSClass::IN, RecordType::A)
        .await
        .unwrap();
    assert_eq!(answer.response_code, ResponseCode::NoError);
    let addresses = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(ip) => Some(ip.0),
            _ => None,
        });
    addresses.collect()
}

async fn serial(client: &mut DnsClient) -> u32 {
    let answer = client
        .query(name("orders.test."), DNSClass::IN, RecordType::SOA)
        .await
        .unwrap();
    match &answer.answers[0].data {
        RData::SOA(soa) => soa.serial,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn questions_get_authoritative_answers_and_denials() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut udp = client(server.addr, None);
    let (stream, handle) =
        TcpClientStream::new(server.addr, None, None, TokioRuntimeProvider::new());
    let (mut tcp, background) = Client::new(stream.await.unwrap(), handle);
    tokio::spawn(background);
    let both = [Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 21)];
    for client in [&mut udp, &mut tcp] {
        assert_eq!(addresses(client).await, both);
        for (at, kind, code, denied) in [
            (APP, RecordType::A, ResponseCode::NoError, 0),
            (APP, RecordType::TXT, ResponseCode::NoError, 1),
            (
                "none.orders.test.",
                RecordType::A,
                ResponseCode::NXDomain,
                1,
            ),
            ("app.other.test.", RecordType::A, ResponseCode::Refused, 0),
            ("orders.test.", RecordType::AXFR, ResponseCode::Refused, 0),
        ] {
            let answer = client.query(name(at), DNSClass::IN, kind).await.unwrap();
            assert_eq!(answer.response_code, code, "{at} {kind}");
            assert_eq!(answer.authorities.len(), denied, "{at} {kind}");
            assert_eq!(
                answer.authoritative,
                code != ResponseCode::Refused,
                "{at} {kind}"
            );
        }
    }
    // In mixed case, the same name.
    let answer = udp
        .query(name("APP.Orders.test."), DNSClass::IN, RecordType::A)
        .await
        .unwrap();
    assert_eq!(answer.answers.len(), 2);
}

#[tokio::test]
async fn a_move_is_answered_visible_and_survives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut mover_client = mover(server.addr);
    let before = serial(&mut mover_client).await;
    let moved = update(&mover_client, movement("orders.test.", 1, 2, 12)).await;
    assert_eq!(moved, Ok(ResponseCode::NoError));
    assert_eq!(
        addresses(&mut mover_client).await,
        [Ipv4Addr::new(127, 0, 0, 12)]
    );
    assert_eq!(serial(&mut mover_client).await, before + 1);

    let stale = update(&mover_client, movement("orders.test.", 1, 3, 13)).await;
    assert_eq!(
        stale,
        Ok(ResponseCode::NXRRSet),
        "a stale plan is refused by the server"
    );
    let elsewhere = update(&mover_client, movement("other.test.", 2, 3, 13)).await;
    assert_eq!(elsewhere, Ok(ResponseCode::NotAuth));

    drop(server);
    let again = start(folder.path()).await;
    let mut asking = client(again.addr, None);
    assert_eq!(addresses(&mut asking).await, [Ipv4Addr::new(127, 0, 0, 12)]);
    assert_eq!(serial(&mut asking).await, before + 1);
    again.stop().await;
}

#[tokio::test]
async fn only_the_right_key_may_update() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let attempt = || movement("orders.test.", 1, 2, 66);
    let unsigned = update(&client(server.addr, None), attempt()).await;
    assert_eq!(unsigned, Ok(ResponseCode::Refused));
    for (key, secret) in [("mover.", &[7; 32][..]), ("other.", SECRET)] {
        // The refusal cannot be signed, so the client says that it cannot trust it.
        let refused = update(&client(server.addr, Some(signer(key, secret))), attempt()).await;
        assert!(refused.is_err(), "{key}: {refused:?}");
    }
    let mut asking = client(server.addr, None);
    assert!(
        !addresses(&mut asking)
            .await
            .contains(&Ipv4Addr::new(127, 0, 0, 66))
    );
    assert_eq!(serial(&mut asking).await, 1);
}

#[tokio::test]
async fn a_forged_signature_and_an_old_one_are_refused_with_notauth() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    for (secret, at) in [(&[7; 32][..], now), (SECRET, now - 3600)] {
        let mut message = movement("orders.test.", 1, 2, 66);
        message.finalize(&signer("mover.", secret), at).unwrap();
        let socket = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
        socket
            .send_to(&message.to_vec().unwrap(), server.addr)
            .await
            .unwrap();
        let mut bytes = [0; 1500];
        let length = socket.recv(&mut bytes).await.unwrap();
        let answer = Message::from_vec(&bytes[..length]).unwrap();
        assert_eq!(answer.response_code, ResponseCode::NotAuth);
        assert!(answer.signature().is_some());
    }
}

#[tokio::test]
async fn of_concurrent_moves_from_one_epoch_exactly_one_wins_and_readers_see_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let addr = server.addr;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let reader = tokio::spawn(async move {
        let mut asking = client(addr, None);
        let mut looks = 0;
        while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            assert!(
                !addresses(&mut asking).await.is_empty(),
                "an empty set was seen"
            );
            looks += 1;
        }
        looks
    });
    for epoch in 1..=10 {
        let rivals = (0..4).map(|rival| async move {
            update(
                &mover(addr),
                movement("orders.test.", epoch, epoch + 1, 100 + rival),
            )
            .await
        });
        let results = futures::future::join_all(rivals).await;
        let won = results
            .iter()
            .filter(|code| **code == Ok(ResponseCode::NoError))
            .count();
        let lost = results
            .iter()
            .filter(|code| **code == Ok(ResponseCode::NXRRSet))
            .count();
        assert_eq!((won, lost), (1, 3), "{results:?}");
    }
    stop.send(()).unwrap();
    assert!(reader.await.unwrap() > 0);
    assert_eq!(serial(&mut client(addr, None)).await, 11);
}
