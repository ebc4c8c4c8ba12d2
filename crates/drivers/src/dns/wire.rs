//! One DNS question or update, and its answer: UDP with TCP when the answer is too long, always TCP for updates.
//! An update is sent once; what is known of its outcome is part of the error. Must not know routes.

use std::{io, net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, Record, RecordType, TSigVerifier, TSigner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_millis(700);
/// How often a question is asked. Updates are never repeated.
const TRIES: u32 = 3;
/// How long an update's answer is waited for: the server may write to disk first.
const UPDATE_PATIENCE: Duration = Duration::from_secs(5);

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// The server's address cannot be found.
    #[error("{0} has no address")]
    Unnamed(String),
    /// Nothing came back.
    #[error("{0} does not answer: {1}")]
    Silent(SocketAddr, String),
    /// It answered that it cannot.
    #[error("{0} answers {1}")]
    Refused(SocketAddr, ResponseCode),
}

/// Why an update is not known to have been made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UpdateError {
    /// It never left this machine, or the server said no: nothing changed.
    #[error("{0}")]
    NotSent(String),
    /// The server refused it, and proved who it is where a key is used.
    #[error("the name server refused the update: {0}")]
    Refused(ResponseCode),
    /// It was sent, and no believable answer came.
    #[error("{0}")]
    Lost(String),
}

/// The address of `HOST:PORT`.
pub(super) async fn resolve(server: &str) -> Result<SocketAddr, AskError> {
    let found = tokio::net::lookup_host(server).await;
    found
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| AskError::Unnamed(server.to_owned()))
}

/// The records of that name and type; none when there are none.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
) -> Result<Vec<Record>, AskError> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match ask_once(server, name, kind).await {
            Ok(answer) => return records(server, name, kind, answer),
            Err(error) => last = error.to_string(),
        }
        // A closed port is refused at once; a name server that restarts needs a moment.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Err(AskError::Silent(server, last))
}

fn records(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    answer: Message,
) -> Result<Vec<Record>, AskError> {
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return Err(AskError::Refused(server, code)),
    }
    let mut found = answer.answers;
    found.retain(|record| record.record_type() == kind && record.name == *name);
    Ok(found)
}

async fn ask_once(server: SocketAddr, name: &Name, kind: RecordType) -> io::Result<Message> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let bytes = message.to_vec().map_err(io::Error::other)?;
    let answer = timeout(PATIENCE, over_udp(server, &message, &bytes)).await??;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let stream = timeout(PATIENCE, TcpStream::connect(server)).await??;
    let raw = timeout(PATIENCE, over_tcp(stream, &bytes)).await??;
    let answer = Message::from_vec(&raw).map_err(io::Error::other)?;
    if answers(&message, &answer) {
        Ok(answer)
    } else {
        Err(io::Error::other("the answer is to another question"))
    }
}

/// Whether it answers that very question.
fn answers(asked: &Message, answer: &Message) -> bool {
    answer.metadata.id == asked.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == asked.metadata.op_code
        && (asked.metadata.op_code == OpCode::Update || answer.queries == asked.queries)
}

async fn over_udp(server: SocketAddr, message: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What does not parse or belongs to another question may be forged: wait for the right one.
        if let Ok(answer) = Message::from_vec(&buffer[..length])
            && answers(message, &answer)
        {
            return Ok(answer);
        }
    }
}

/// One exchange over TCP (RFC 1035, section 4.2.2: two bytes of length first).
async fn over_tcp(mut stream: TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Sends an update, once.
pub(super) async fn update(
    server: SocketAddr,
    mut message: Message,
    signer: Option<&TSigner>,
    seconds: u64,
) -> Result<(), UpdateError> {
    let not_sent = |error: &dyn std::fmt::Display| UpdateError::NotSent(error.to_string());
    let lost = |error: &dyn std::fmt::Display| {
        UpdateError::Lost(format!("{server} did not confirm the update: {error}"))
    };
    let verifier = match signer {
        Some(signer) => message
            .finalize(signer, seconds)
            .map_err(|error| not_sent(&error))?,
        None => None,
    };
    let bytes = message.to_vec().map_err(|error| not_sent(&error))?;
    let stream = match timeout(PATIENCE, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(not_sent(&format!("{server} does not answer: {error}"))),
        Err(late) => return Err(not_sent(&format!("{server} does not answer: {late}"))),
    };
    let raw = match timeout(UPDATE_PATIENCE, over_tcp(stream, &bytes)).await {
        Ok(Ok(raw)) => raw,
        Ok(Err(error)) => return Err(lost(&error)),
        Err(late) => return Err(lost(&late)),
    };
    let answer = Message::from_vec(&raw).map_err(|error| lost(&error))?;
    if !answers(&message, &answer) {
        return Err(lost(&"the answer is to another message"));
    }
    judge(&answer, verifier, &raw).map_err(|error| match error {
        Judgement::Refused(code) => UpdateError::Refused(code),
        Judgement::Unproven(why) => lost(&why),
    })
}

enum Judgement {
    Refused(ResponseCode),
    Unproven(String),
}

/// Believes a signed answer, and an unsigned one only when it says that the key itself was refused:
/// then the server cannot sign, and did nothing.
fn judge(answer: &Message, verifier: Option<TSigVerifier>, raw: &[u8]) -> Result<(), Judgement> {
    let code = answer.metadata.response_code;
    if let Some(mut verifier) = verifier
        && let Err(error) = verifier.verify(raw)
    {
        return Err(match code {
            ResponseCode::NotAuth | ResponseCode::FormErr | ResponseCode::NotImp => {
                Judgement::Refused(code)
            }
            _ => Judgement::Unproven(format!("its answer ({code}) is not signed: {error}")),
        });
    }
    match code {
        ResponseCode::NoError => Ok(()),
        // RFC 2136, section 3.8: the server may have failed after it began to change the zone.
        ResponseCode::ServFail => Err(Judgement::Unproven(code.to_string())),
        code => Err(Judgement::Refused(code)),
    }
}
