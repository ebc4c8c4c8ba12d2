//! Sends a declared request and reads a bounded answer. Secrets are read at this moment and go nowhere else.
//! Must not know why something is asked.

use std::{error::Error as _, path::Path, time::Duration};

use futures::StreamExt as _;
use mainstay_driver::Cause;
use mainstay_model::Span;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{
    client::client,
    expect::differs,
    options::{HttpCall, Method},
};
use crate::shared::{lasting, passing};
use crate::support::secret;

/// How long an answer may take unless declared otherwise.
const TIMEOUT: Span = Span::from_secs(5);
/// The longest text that passes for a version.
const LONGEST_VERSION: usize = 200;
/// The largest answer that is read.
const LARGEST: usize = 1024 * 1024;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Why it is not the expected answer; nothing if it is.
    pub(crate) differs: Option<String>,
}

impl Answer {
    /// The version that the answer states: a field of its JSON, or its text.
    pub(crate) fn version(&self, field: Option<&str>) -> Option<String> {
        if self.differs.is_some() {
            return None;
        }
        let text = String::from_utf8_lossy(&self.body).trim().to_owned();
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(Value::Object(fields)) => {
                let value = fields.get(field.unwrap_or("version"))?;
                Some(
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned),
                )
            }
            _ => (!text.is_empty() && text.len() <= LONGEST_VERSION).then_some(text),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AskError {
    /// The request certainly did not arrive.
    NotSent(Cause),
    /// It may have arrived.
    NoAnswer(Cause),
}

impl AskError {
    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::NotSent(cause) | Self::NoAnswer(cause) => cause,
        }
    }
}

/// Sends the request once.
pub(crate) async fn ask(call: &HttpCall, base: &Path) -> Result<Answer, AskError> {
    let limit = call.timeout.unwrap_or(TIMEOUT).duration();
    let request = request(call, base).await.map_err(AskError::NotSent)?;
    match tokio::time::timeout(limit, exchange(request)).await {
        Ok(Ok((status, body))) => Ok(Answer {
            status,
            differs: differs(call.expect.as_ref(), status, &body),
            body,
        }),
        Ok(Err(error)) => Err(failed(call, &error)),
        Err(_) => Err(AskError::NoAnswer(passing(
            "http-timeout",
            format!("ask {}: no answer within {}", place(call), show(limit)),
        ))),
    }
}

/// Asks whether the expected answer is given: nothing if so, else why not. An error means that it cannot be told.
pub(crate) async fn check(call: &HttpCall, base: &Path) -> Result<Option<String>, AskError> {
    ask(call, base).await.map(|answer| answer.differs)
}

/// The method, the URL and the outcome, for people.
pub(crate) fn status_of(call: &HttpCall, why: &str) -> String {
    format!("{} {why}", place(call))
}

async fn request(call: &HttpCall, base: &Path) -> Result<reqwest::RequestBuilder, Cause> {
    let invalid = |what: String| lasting("options-invalid", what);
    let (method, url) = call
        .target()
        .ok_or_else(|| invalid("a request has exactly one of get, post and put".to_owned()))?;
    let client = client(url).map_err(|error| lasting("http-client", error))?;
    let mut request = match method {
        Method::Get => client.get(url),
        Method::Post => client.post(url),
        Method::Put => client.put(url),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        let value = HeaderValue::from_str(value)
            .map_err(|_| invalid(format!("the header {name} has an impossible value")))?;
        headers.insert(header(name)?, value);
    }
    for (name, reference) in &call.secret_headers {
        let mut value = HeaderValue::from_str(&secret(base, reference).await?)
            .map_err(|_| invalid(format!("the secret for the header {name} cannot be one")))?;
        value.set_sensitive(true);
        headers.insert(header(name)?, value);
    }
    request = match &call.body {
        None => request,
        Some(Value::String(text)) => request.body(text.clone()),
        Some(value) => request.json(value),
    };
    Ok(request.headers(headers))
}

fn header(name: &str) -> Result<HeaderName, Cause> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| lasting("options-invalid", format!("{name:?} cannot be a header")))
}

/// Sends, and reads as much of the body as is of interest.
async fn exchange(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Vec<u8>)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let (mut body, mut parts) = (Vec::new(), response.bytes_stream());
    while let Some(part) = parts.next().await {
        let part = part?;
        let room = LARGEST.saturating_sub(body.len());
        body.extend_from_slice(part.get(..room).unwrap_or(&part));
        if body.len() >= LARGEST {
            break;
        }
    }
    Ok((status, body))
}

fn failed(call: &HttpCall, error: &reqwest::Error) -> AskError {
    let mut words = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        words = cause.to_string();
        source = cause.source();
    }
    if words.is_empty() {
        words.push_str("the exchange broke off");
    }
    let cause = passing("http-unreachable", format!("ask {}: {words}", place(call)));
    if error.is_connect() || error.is_builder() {
        AskError::NotSent(cause)
    } else {
        AskError::NoAnswer(cause)
    }
}

/// The target without its query, which may hold what nobody else should read.
fn place(call: &HttpCall) -> String {
    match call.target() {
        Some((_, url)) => url.split(['?', '#']).next().unwrap_or(url).to_owned(),
        None => "an undeclared url".to_owned(),
    }
}

fn show(limit: Duration) -> Span {
    Span::from(limit)
}
