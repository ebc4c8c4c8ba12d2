//! One client: writes an order, tries again with the same id until it is acknowledged, and notes
//! every outcome. The same id makes a retry harmless, so an order is counted once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::list::{Ack, Appender, Entry, Failure};
use super::options::Options;
use super::resolver::Resolver;
use crate::clock::now_us;
use crate::error::PartError;
use crate::order_service::tenant_name;

/// Pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(40);

/// What all clients of a generator share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// Makes ids unique over generators.
    pub(crate) prefix: String,
    pub(crate) http: reqwest::Client,
    pub(crate) resolver: Resolver,
    pub(crate) list: Appender,
    pub(crate) turn: AtomicUsize,
}

/// An order to be written.
#[derive(Debug)]
struct Order {
    tenant: String,
    id: String,
    sha256: String,
    body: Value,
}

/// What an attempt that was not acknowledged says about itself.
#[derive(Debug)]
struct Missed {
    to: String,
    why: String,
}

/// Runs client `number` until `stop` says so.
pub(crate) async fn run(
    number: u16,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), PartError> {
    let clients = u32::from(shared.options.clients);
    let period = Duration::from_secs(1) * clients / shared.options.rate;
    let first = tokio::time::Instant::now() + period * u32::from(number) / clients;
    let mut every = tokio::time::interval_at(first, period);
    // After an outage the clients go on at their pace instead of making up for it at once.
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0_u64.. {
        tokio::select! {
            _ = every.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        let order = order(&shared, number, count);
        let mut attempts = 0;
        while !*stop.borrow() {
            attempts += 1;
            let sent_us = now_us();
            match attempt(&shared, &order).await {
                Ok((site, replica)) => {
                    shared.list.append(&Entry::Ack(Ack {
                        tenant: order.tenant.clone(),
                        id: order.id.clone(),
                        sha256: order.sha256.clone(),
                        sent_us,
                        acked_us: now_us(),
                        attempts,
                        site,
                        replica,
                    }))?;
                    break;
                }
                Err(missed) => {
                    shared.list.append(&Entry::Failure(Failure {
                        tenant: order.tenant.clone(),
                        id: order.id.clone(),
                        sent_us,
                        failed_us: now_us(),
                        to: missed.to,
                        why: missed.why,
                    }))?;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
    Ok(())
}

/// Sends once; says which site and replica acknowledged.
async fn attempt(shared: &Shared, order: &Order) -> Result<(String, String), Missed> {
    let addresses = shared.resolver.addresses().await.map_err(|error| Missed {
        to: String::new(),
        why: format!("dns {error:?}"),
    })?;
    let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
    let address: IpAddr = addresses[turn % addresses.len()];
    let to = SocketAddr::new(address, shared.options.port).to_string();
    let missed = |why: String| Missed {
        to: to.clone(),
        why,
    };
    let sent = shared
        .http
        .post(format!("http://{to}/orders"))
        .json(&order.body)
        .send()
        .await;
    let response = sent.map_err(|error| missed(kind(&error).to_owned()))?;
    let status = response.status();
    let answer: Value = response
        .json()
        .await
        .map_err(|error| missed(kind(&error).to_owned()))?;
    if !status.is_success() {
        let code = answer["error"].as_str().unwrap_or("unknown");
        return Err(missed(format!("{} {code}", status.as_u16())));
    }
    if answer["attachment_sha256"] != order.sha256.as_str() {
        return Err(missed("the service stored another attachment".to_owned()));
    }
    let field = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    Ok((field("site"), field("replica")))
}

fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "transport"
    }
}

fn order(shared: &Shared, number: u16, count: u64) -> Order {
    let tenants = u64::from(shared.options.tenants);
    let picked = (u64::from(number).wrapping_mul(31) + count) % tenants + 1;
    let tenant = tenant_name(u16::try_from(picked).unwrap_or(1)).to_string();
    let id = format!("{}-{number}-{count}", shared.prefix);
    let attachment = attachment(&id, shared.options.attachment_bytes);
    let sha256 = hex::encode(Sha256::digest(&attachment));
    let body = json!({
        "tenant": tenant, "id": id, "body": format!("order {count} of client {number}"),
        "attachment": BASE64.encode(&attachment),
    });
    Order {
        tenant,
        id,
        sha256,
        body,
    }
}

/// Bytes that follow from the id alone, of a length between none and `longest`.
fn attachment(id: &str, longest: u32) -> Vec<u8> {
    let seed = Sha256::digest(id.as_bytes());
    let pick = u32::from_le_bytes([seed[0], seed[1], seed[2], seed[3]]);
    let length = usize::try_from(pick.checked_rem(longest).unwrap_or_default()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length + seed.len());
    let mut block = seed;
    while bytes.len() < length {
        bytes.extend_from_slice(&block);
        block = Sha256::digest(block);
    }
    bytes.truncate(length);
    bytes
}
