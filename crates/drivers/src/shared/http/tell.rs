//! Requests that change something, and waiting for what they change.
//! Must not know what is changed.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use mainstay_driver::{ActError, Order};
use mainstay_model::Span;

use super::{
    ask::{Answer, AskError, ask, check, status_of},
    options::HttpCall,
};
use crate::shared::{passing, refused, unknown};

/// How often it is looked whether something has become so.
const POLL: Duration = Duration::from_millis(20);

/// Sends a request that changes something, once. The effect's id goes along as `Idempotency-Key`, for servers that
/// know it. An unexpected answer or none leaves the outcome unknown; only what was not sent was certainly not done.
pub(crate) async fn tell(
    call: Option<&HttpCall>,
    base: &Path,
    what: &str,
    order: &Order,
) -> Result<Answer, ActError> {
    let Some(call) = call else {
        let subject = &order.action.subject;
        return Err(refused(
            "unsupported",
            format!("{subject} declares no {what} request"),
        ));
    };
    let mut call = call.clone();
    call.headers
        .entry("Idempotency-Key".to_owned())
        .or_insert_with(|| order.id.to_string());
    match ask(&call, base).await {
        Ok(answer) => match &answer.differs {
            None => Ok(answer),
            Some(why) => Err(unknown("http-unexpected", status_of(&call, why))),
        },
        Err(AskError::NotSent(cause)) => Err(ActError::NotDone(cause)),
        Err(AskError::NoAnswer(cause)) => Err(ActError::Unknown(cause)),
    }
}

/// What an answer should be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The declared one.
    Expected,
    /// Any other; that there is none is not enough.
    Other,
}

/// Asks until the answer is as wanted. Not seeing it in time leaves the outcome unknown.
pub(crate) async fn until(
    call: &HttpCall,
    wanted: Wanted,
    base: &Path,
    within: Span,
) -> Result<(), ActError> {
    let deadline = Instant::now() + within.duration();
    loop {
        let answer = check(call, base).await;
        match (&answer, wanted) {
            (Ok(None), Wanted::Expected) | (Ok(Some(_)), Wanted::Other) => return Ok(()),
            _ if Instant::now() >= deadline => {
                let seen = match answer {
                    Ok(None) => "it still answers as before".to_owned(),
                    Ok(Some(why)) => why,
                    Err(error) => error.cause().what,
                };
                let what = format!("not seen within {within}: {seen}");
                return Err(ActError::Unknown(passing("not-confirmed", what)));
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
}
