//! A resolver of its own, as an application's would be: one question over UDP, the answer kept for
//! exactly its TTL.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::PartError;

/// How long to wait for the server before asking again.
const ASK_TIMEOUT: Duration = Duration::from_millis(300);
/// How often to ask before giving up.
const ASKS: u32 = 3;

/// Why a name did not resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// No usable answer came in time.
    NoAnswer,
    /// The server's answer holds no address.
    NoAddress,
}

/// Addresses and until when they may be used.
#[derive(Debug, Clone)]
struct Known {
    addresses: Vec<IpAddr>,
    until: Instant,
}

/// Resolves one name.
#[derive(Debug)]
pub(crate) struct Resolver {
    server: SocketAddr,
    name: Name,
    known: Mutex<Option<Known>>,
}

impl Resolver {
    pub(crate) fn new(server: SocketAddr, name: &str) -> Result<Self, PartError> {
        let name = Name::parse(name, Some(&Name::root())).map_err(|error| PartError::Option {
            option: "name",
            why: error.to_string(),
        })?;
        Ok(Self {
            server,
            name,
            known: Mutex::new(None),
        })
    }

    /// The name's addresses. Concurrent callers share one question.
    pub(crate) async fn addresses(&self) -> Result<Vec<IpAddr>, ResolveError> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Instant::now() < known.until) {
            return Ok(known.addresses.clone());
        }
        *known = None;
        let (addresses, ttl) = self.ask().await?;
        let until = Instant::now() + ttl;
        *known = Some(Known {
            addresses: addresses.clone(),
            until,
        });
        Ok(addresses)
    }

    async fn ask(&self) -> Result<(Vec<IpAddr>, Duration), ResolveError> {
        for _ in 0..ASKS {
            let answered = tokio::time::timeout(ASK_TIMEOUT, self.ask_once()).await;
            if let Ok(Ok(message)) = answered {
                return usable(&message, &self.name);
            }
        }
        Err(ResolveError::NoAnswer)
    }

    async fn ask_once(&self) -> std::io::Result<Message> {
        let local = match self.server {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((local, 0)).await?;
        // A connected socket takes datagrams from the server only.
        socket.connect(self.server).await?;
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(self.name.clone(), RecordType::A));
        let bytes = question.to_vec().map_err(std::io::Error::other)?;
        socket.send(&bytes).await?;
        let mut buffer = [0; 1500];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let answer = buffer
                .get(..length)
                .and_then(|bytes| Message::from_vec(bytes).ok());
            if let Some(answer) = answer
                && answer.id == question.id
                && answer.queries == question.queries
            {
                return Ok(answer);
            }
        }
    }
}

/// The addresses in an answer, and the time that all of them may be kept.
fn usable(message: &Message, name: &Name) -> Result<(Vec<IpAddr>, Duration), ResolveError> {
    if message.response_code != ResponseCode::NoError {
        return Err(ResolveError::NoAddress);
    }
    let mut addresses = Vec::new();
    let mut ttl = u32::MAX;
    for record in message.answers.iter().filter(|record| record.name == *name) {
        if let RData::A(ip) = record.data {
            addresses.push(IpAddr::V4(ip.0));
            ttl = ttl.min(record.ttl);
        }
    }
    if addresses.is_empty() {
        return Err(ResolveError::NoAddress);
    }
    Ok((addresses, Duration::from_secs(u64::from(ttl))))
}
