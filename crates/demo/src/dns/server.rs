//! Requests in, replies out: who may update, which zone is meant, and the one lock under which an
//! update is judged, stored and made visible. What an update does is `update`'s to say.

use std::iter;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use hickory_proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{DNSClass, Record, RecordType, TSigResponseContext, TSigner};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponseBuilder, UpdateRequest as _};

use super::persist;
use super::update::{Outcome, apply};
use super::zone::{Answer, Zone};

/// The largest reply sent by UDP, whatever the client says it could take (RFC 9715).
const LARGEST_UDP: u16 = 1232;

/// One zone and the key that may change it.
pub(crate) struct ZoneServer {
    state: PathBuf,
    key: TSigner,
    /// Swapped as a whole: readers see the zone before an update or after it.
    zone: RwLock<Arc<Zone>>,
    /// Held from an update's prerequisites until its result is visible.
    updating: tokio::sync::Mutex<()>,
}

/// A reply before it is encoded.
struct Reply {
    code: ResponseCode,
    records: Sections,
    signer: Option<TSigResponseContext>,
}

/// The records of a reply, and whether the server is an authority for them.
enum Sections {
    None,
    Authoritative {
        answers: Vec<Record>,
        authorities: Vec<Record>,
    },
}

impl From<ResponseCode> for Reply {
    fn from(code: ResponseCode) -> Self {
        Self {
            code,
            records: Sections::None,
            signer: None,
        }
    }
}

impl ZoneServer {
    pub(crate) fn new(zone: Zone, key: TSigner, state: PathBuf) -> Self {
        let zone = RwLock::new(Arc::new(zone));
        Self {
            state,
            key,
            zone,
            updating: tokio::sync::Mutex::new(()),
        }
    }

    fn current(&self) -> Arc<Zone> {
        self.zone
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn reply(&self, request: &Request, now: u64) -> Reply {
        if request.metadata.message_type == MessageType::Response {
            return ResponseCode::FormErr.into();
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return ResponseCode::BADVERS.into();
        }
        let (allowed, signer) = match request.signature() {
            None => (Err(ResponseCode::Refused), None),
            Some(_) => self.verify(request, now),
        };
        let mut reply = match (request.metadata.op_code, allowed) {
            (_, Err(code)) if signer.is_some() => code.into(),
            (OpCode::Query, _) => self.answer(request),
            (OpCode::Update, Ok(())) => self.update(request).await.into(),
            (OpCode::Update, Err(code)) => code.into(),
            _ => ResponseCode::NotImp.into(),
        };
        reply.signer = signer;
        reply
    }

    /// Checks a request's signature (RFC 8945, section 5.2) and prepares the reply's.
    fn verify(
        &self,
        request: &Request,
        now: u64,
    ) -> (Result<(), ResponseCode>, Option<TSigResponseContext>) {
        let id = request.metadata.id;
        let Some(signature) = request.signature() else {
            return (Err(ResponseCode::Refused), None);
        };
        let wrong = Err(ResponseCode::NotAuth);
        let tsig = &signature.data;
        if signature.name != *self.key.signer_name() || tsig.algorithm != *self.key.algorithm() {
            let context = TSigResponseContext::unknown_key(id, now, signature.name.clone());
            return (wrong, Some(context));
        }
        if self
            .key
            .verify_message_byte(request.as_slice(), None, true)
            .is_err()
        {
            let context = TSigResponseContext::bad_signature(id, now, self.key.clone());
            return (wrong, Some(context));
        }
        let fresh = now.abs_diff(tsig.time) <= u64::from(tsig.fudge);
        let error = if fresh {
            None
        } else {
            Some(TsigError::BadTime)
        };
        let context = TSigResponseContext::new(id, now, self.key.clone(), tsig.mac.clone(), error);
        (if fresh { Ok(()) } else { wrong }, Some(context))
    }

    fn answer(&self, request: &Request) -> Reply {
        let [query] = request.queries.queries() else {
            return ResponseCode::FormErr.into();
        };
        let zone = self.current();
        let transfer = matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR);
        if !zone.contains(query.name()) || query.query_class() != DNSClass::IN || transfer {
            return ResponseCode::Refused.into();
        }
        let denial = |code| (code, Vec::new(), zone.authority());
        let (code, answers, authorities) = match zone.answer(query.name(), query.query_type()) {
            Answer::Records(answers) => (ResponseCode::NoError, answers, Vec::new()),
            Answer::NoData => denial(ResponseCode::NoError),
            Answer::NoSuchName => denial(ResponseCode::NXDomain),
        };
        let records = Sections::Authoritative {
            answers,
            authorities,
        };
        Reply {
            code,
            records,
            signer: None,
        }
    }

    async fn update(&self, request: &Request) -> ResponseCode {
        let [asked] = request.queries.queries() else {
            return ResponseCode::FormErr;
        };
        if asked.query_type() != RecordType::SOA {
            return ResponseCode::FormErr;
        }
        let _alone = self.updating.lock().await;
        let zone = self.current();
        if asked.name() != zone.origin() || asked.query_class() != DNSClass::IN {
            return ResponseCode::NotAuth;
        }
        let next = match apply(&zone, request.prerequisites(), request.updates()) {
            Ok(Outcome::Changed(next)) => Arc::new(next),
            Ok(Outcome::Unchanged) => return ResponseCode::NoError,
            Err(code) => return code,
        };
        let (path, stored) = (self.state.clone(), next.clone());
        let saved = tokio::task::spawn_blocking(move || persist::save(&path, &stored)).await;
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the zone could not be stored");
                return ResponseCode::ServFail;
            }
            Err(error) => {
                tracing::error!(%error, "the zone could not be stored");
                return ResponseCode::ServFail;
            }
        }
        *self.zone.write().unwrap_or_else(PoisonError::into_inner) = next;
        ResponseCode::NoError
    }
}

#[async_trait::async_trait]
impl RequestHandler for ZoneServer {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response_handle: R,
    ) -> ResponseInfo {
        let reply = self.reply(request, T::current_time()).await;
        send(request, reply, response_handle).await
    }
}

async fn send<R: ResponseHandler>(request: &Request, reply: Reply, mut out: R) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = reply.code;
    let (answers, authorities) = match reply.records {
        Sections::None => (Vec::new(), Vec::new()),
        Sections::Authoritative {
            answers,
            authorities,
        } => {
            metadata.authoritative = true;
            (answers, authorities)
        }
    };
    let edns = request.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().clamp(512, LARGEST_UDP));
        edns.set_rcode_high(reply.code.high());
        edns
    });
    let build = || {
        MessageResponseBuilder::new(&request.queries, edns.as_ref()).build(
            metadata,
            answers.iter(),
            authorities.iter(),
            iter::empty(),
            iter::empty(),
        )
    };
    let mut response = build();
    if let Some(signer) = reply.signer {
        let mut bytes = Vec::with_capacity(512);
        let encoded = build().destructive_emit(&mut BinEncoder::new(&mut bytes));
        match encoded.and_then(|_| signer.sign(&bytes)) {
            Ok(signature) => response.set_signature(signature),
            Err(error) => {
                tracing::error!(%error, "a reply could not be signed");
                return failed(request);
            }
        }
    }
    match out.send_response(response).await {
        Ok(info) => info,
        Err(error) => {
            tracing::debug!(%error, "a reply could not be sent");
            failed(request)
        }
    }
}

fn failed(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = ResponseCode::ServFail;
    Header {
        metadata,
        counts: HeaderCounts::default(),
    }
    .into()
}
