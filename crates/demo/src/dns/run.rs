//! Starts the DNS server: key, zone from disk or from options, one port for UDP and TCP.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{LowerName, Name, TSigner};
use hickory_server::Server;
use tokio::net::{TcpListener, UdpSocket};

use super::options::Options;
use super::persist;
use super::server::ZoneServer;
use super::zone::Zone;
use crate::error::PartError;
use crate::stop;

/// How far the clocks of client and server may be apart, in seconds.
const FUDGE: u16 = 300;
/// TTL of the zone's own records, in seconds.
const OWN_TTL: u32 = 60;
/// How long a denial may be cached, in seconds. Short: a name may come back any moment.
const DENIAL_TTL: u32 = 1;
/// How long an idle TCP connection is kept.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Replies that may wait in one TCP connection.
const TCP_REPLIES: usize = 32;
/// How long open connections may take to end after the server was asked to stop.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// A DNS server that has its address and does not answer yet.
pub struct DnsServer {
    handler: ZoneServer,
    udp: UdpSocket,
    tcp: TcpListener,
}

/// Runs the server until the process is asked to stop.
pub async fn run(options: Options) -> Result<(), PartError> {
    let stop = stop::asked()?;
    DnsServer::bind(&options).await?.serve(stop).await
}

impl DnsServer {
    /// Reads key and zone, and takes the listening address.
    pub async fn bind(options: &Options) -> Result<Self, PartError> {
        let key = key(options)?;
        let zone = zone(options)?;
        let (udp, tcp) = sockets(options.listen).await?;
        let handler = ZoneServer::new(zone, key, options.state.clone());
        Ok(Self { handler, udp, tcp })
    }

    /// The address that it answers at.
    pub fn addr(&self) -> Result<SocketAddr, PartError> {
        self.udp.local_addr().map_err(PartError::Serve)
    }

    /// Answers until `stop` ends.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), PartError> {
        let failed = |error: hickory_server::net::NetError| {
            PartError::Serve(std::io::Error::other(error.to_string()))
        };
        let mut server = Server::new(self.handler);
        server.register_socket(self.udp);
        server.register_listener(self.tcp, TCP_IDLE, TCP_REPLIES);
        tokio::select! {
            ended = server.block_until_done() => return ended.map_err(failed),
            () = stop => {}
        }
        // Whoever is still connected after the grace is left: every answered update is on disk.
        match tokio::time::timeout(STOP_GRACE, server.shutdown_gracefully()).await {
            Ok(ended) => ended.map_err(failed),
            Err(_) => Ok(()),
        }
    }
}

fn key(options: &Options) -> Result<TSigner, PartError> {
    let path: &Path = &options.key_file;
    let text = fs::read_to_string(path).map_err(PartError::file("read", path))?;
    let wrong = |why: &str| PartError::Content {
        path: path.to_path_buf(),
        why: why.to_owned(),
    };
    let secret = BASE64
        .decode(text.trim())
        .map_err(|_| wrong("the secret is not base64"))?;
    if secret.len() < 16 {
        return Err(wrong("the secret is shorter than 16 bytes"));
    }
    let name = absolute("key_name", &options.key_name)?;
    TSigner::new(secret, TsigAlgorithm::HmacSha256, name, FUDGE)
        .map_err(|error| wrong(&error.to_string()))
}

fn zone(options: &Options) -> Result<Zone, PartError> {
    let origin = absolute("zone", &options.zone)?;
    if let Some(zone) = persist::load(&options.state, &origin)? {
        return Ok(zone);
    }
    let within = |label: &str| {
        Name::parse(label, Some(&origin)).map_err(|error| PartError::Option {
            option: "zone",
            why: error.to_string(),
        })
    };
    let soa = SOA::new(
        within("ns")?,
        within("hostmaster")?,
        1,
        60,
        60,
        3600,
        DENIAL_TTL,
    );
    let mut zone = Zone::new(LowerName::new(&origin), soa, &[within("ns")?], OWN_TTL);
    for record in &options.records {
        let wrong = |why| PartError::Option {
            option: "record",
            why,
        };
        let record = persist::to_record(record, &origin).map_err(wrong)?;
        let name = LowerName::new(&record.name);
        if !zone.contains(&name) {
            return Err(wrong(format!("{name} is not within the zone")));
        }
        zone.add(name, record.ttl, record.data);
    }
    persist::save(&options.state, &zone).map_err(PartError::file("write", &options.state))?;
    Ok(zone)
}

fn absolute(option: &'static str, text: &str) -> Result<Name, PartError> {
    Name::parse(text, Some(&Name::root())).map_err(|error| PartError::Option {
        option,
        why: error.to_string(),
    })
}

/// Takes the same port for UDP and TCP. With port 0 the first choice may be taken on the other
/// protocol; then another one is tried.
async fn sockets(addr: SocketAddr) -> Result<(UdpSocket, TcpListener), PartError> {
    let failed = |source| PartError::Listen { addr, source };
    let mut tries = if addr.port() == 0 { 10 } else { 1 };
    loop {
        let udp = UdpSocket::bind(addr).await.map_err(failed)?;
        match TcpListener::bind(udp.local_addr().map_err(failed)?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(source) => {
                tries -= 1;
                if tries == 0 {
                    return Err(failed(source));
                }
            }
        }
    }
}
