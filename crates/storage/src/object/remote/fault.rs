//! What goes wrong on the way to a remote container, in the words and classes of this crate, without a secret in it.
//! Must not know what the objects are.

use std::{error::Error as _, io};

use opendal::ErrorKind;

use super::{
    super::{ObjectName, StorageError},
    options::Secret,
    runtime::Lost,
};

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) sort: Sort,
    pub(super) outcome: Outcome,
    pub(super) source: io::Error,
}

/// Answers that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// There is no such object.
    NoObject,
    /// There is an object of that name already.
    Taken,
    /// Anything else.
    Other,
}

/// Whether a change that failed may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The service said no, or was never reached.
    NotDone,
    /// The answer was lost.
    Unknown,
}

/// What no text may show.
#[derive(Debug, Clone, Default)]
pub(super) struct Hidden(Vec<Secret>);

impl Hidden {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        Self(secrets)
    }

    /// Takes out the secrets, and the parameters of addresses: signatures are among them.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut inside = false;
        for c in text.chars() {
            inside = match c {
                '?' => true,
                ' ' | ')' | '"' | '\'' | ',' | '\n' => false,
                _ => inside,
            };
            if !inside || c == '?' {
                clean.push(c);
            }
        }
        let values = self.0.iter().map(Secret::expose);
        for secret in values.filter(|value| !value.is_empty()) {
            clean = clean.replace(secret, "[secret]");
        }
        clean
    }
}

impl Fault {
    pub(super) fn new(error: &opendal::Error, hidden: &Hidden) -> Self {
        let sort = match error.kind() {
            ErrorKind::NotFound => Sort::NoObject,
            ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists => Sort::Taken,
            _ => Sort::Other,
        };
        let refused = error.is_permanent() && said(error.message()).is_some();
        let outcome = match error.kind() {
            ErrorKind::Unexpected if !refused && !unreached(error) => Outcome::Unknown,
            _ => Outcome::NotDone,
        };
        let kind = match error.kind() {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::ConfigInvalid => io::ErrorKind::InvalidInput,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::RateLimited | ErrorKind::Conflict => io::ErrorKind::ResourceBusy,
            ErrorKind::Unexpected if refused => io::ErrorKind::InvalidInput,
            ErrorKind::Unexpected if unreached(error) => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::Other,
        };
        Self {
            sort,
            outcome,
            source: io::Error::new(kind, hidden.clean(&words(error))),
        }
    }

    pub(super) fn lost(lost: &Lost) -> Self {
        let (outcome, kind, text) = match lost {
            Lost::Late(limit) => (
                Outcome::Unknown,
                io::ErrorKind::TimedOut,
                format!("there was no answer within {} s", limit.as_secs_f32()),
            ),
            Lost::Died => (
                Outcome::Unknown,
                io::ErrorKind::Other,
                "the library that speaks to the service panicked".to_owned(),
            ),
            Lost::NoRuntime(error) => (
                Outcome::NotDone,
                io::ErrorKind::Other,
                format!("no threads could be started: {error}"),
            ),
        };
        Self {
            sort: Sort::Other,
            outcome,
            source: io::Error::new(kind, text),
        }
    }
}

/// A change that failed: not done, or nobody knows.
pub(super) fn changed(
    name: &ObjectName,
    fault: Fault,
    not_done: fn(ObjectName, io::Error) -> StorageError,
) -> StorageError {
    match fault.outcome {
        Outcome::NotDone => not_done(name.clone(), fault.source),
        Outcome::Unknown => StorageError::Unknown {
            name: name.clone(),
            source: fault.source,
        },
    }
}

pub(super) fn not_written(name: ObjectName, source: io::Error) -> StorageError {
    StorageError::Write { name, source }
}

pub(super) fn not_deleted(name: ObjectName, source: io::Error) -> StorageError {
    StorageError::Delete { name, source }
}

/// Whether no connection was made, so that nothing was asked of anybody.
fn unreached(error: &opendal::Error) -> bool {
    let mut source = error.source();
    while let Some(one) = source {
        if one
            .downcast_ref::<reqwest::Error>()
            .is_some_and(reqwest::Error::is_connect)
        {
            return true;
        }
        source = one.source();
    }
    false
}

/// The code and the sentence of a service's own answer.
fn said(message: &str) -> Option<String> {
    let field = |name: &str| {
        let (_, rest) = message.split_once(&format!("{name}: \""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let (code, text) = (field("code")?, field("message")?);
    let first = text.lines().next().unwrap_or_default();
    (!code.is_empty()).then(|| format!("{code}: {first}"))
}

/// The message and its causes, each once.
fn words(error: &opendal::Error) -> String {
    let message = error.message();
    let mut text =
        said(message).unwrap_or_else(|| message.lines().next().unwrap_or_default().to_owned());
    if text.is_empty() {
        text = error.kind().into_static().to_lowercase();
    }
    let mut source = error.source();
    while let Some(one) = source {
        let cause = one.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = one.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(error: &opendal::Error) -> Fault {
        Fault::new(error, &Hidden::default())
    }

    #[test]
    fn what_the_service_said_is_told_in_its_words() {
        let message =
            r#"S3Error { code: "InvalidArgument", message: "no such class", resource: "" }"#;
        let told = fault(&opendal::Error::new(ErrorKind::Unexpected, message));
        assert_eq!(told.source.to_string(), "InvalidArgument: no such class");
        assert_eq!(told.outcome, Outcome::NotDone);
        assert_eq!(told.source.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_lost_answer_is_unknown_and_a_refusal_is_not() {
        let broken = opendal::Error::new(ErrorKind::Unexpected, "send http request")
            .set_source(io::Error::other("connection reset"));
        let lost = fault(&broken);
        assert_eq!(lost.outcome, Outcome::Unknown);
        assert_eq!(
            lost.source.to_string(),
            "send http request: connection reset"
        );
        let message = r#"S3Error { code: "InternalError", message: "again" }"#;
        let server = opendal::Error::new(ErrorKind::Unexpected, message).set_temporary();
        assert_eq!(fault(&server).outcome, Outcome::Unknown);
        let denied = opendal::Error::new(ErrorKind::PermissionDenied, "");
        assert_eq!(fault(&denied).outcome, Outcome::NotDone);
        assert_eq!(fault(&denied).source.to_string(), "permissiondenied");
    }

    #[test]
    fn no_secret_is_told() {
        let hidden = Hidden::new(vec![Secret::new("hunter2\n")]);
        let text = "sending to https://a/b?se=1&sig=abc%3D (hunter2) failed";
        assert_eq!(
            hidden.clean(text),
            "sending to https://a/b? ([secret]) failed"
        );
        assert_eq!(format!("{hidden:?}"), "Hidden([[secret]])");
    }
}
