//! A request as declared. The documentation of the fields is the schema's.
//! Must not know how it is sent.

use std::collections::BTreeMap;

use mainstay_model::{Complaint, Secret, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// One HTTP request. Give exactly one of `get`, `post` and `put`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpCall {
    /// Ask this URL with GET.
    pub(crate) get: Option<String>,
    /// Ask this URL with POST.
    pub(crate) post: Option<String>,
    /// Ask this URL with PUT.
    pub(crate) put: Option<String>,
    /// Headers that are no secret.
    pub(crate) headers: BTreeMap<String, String>,
    /// Headers whose value is a secret: `Authorization: { env: NAME }` or `{ file: PATH }`.
    pub(crate) secret_headers: BTreeMap<String, Secret>,
    /// What to send: text as it is, anything else as JSON.
    pub(crate) body: Option<Value>,
    /// What the answer must look like. Without it any 2xx answer is good.
    pub(crate) expect: Option<Expect>,
    /// How long the answer may take. Default: 5s.
    pub(crate) timeout: Option<Span>,
}

/// What an answer must look like. Everything that is given must hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    /// The status code. Default: any 2xx.
    pub(crate) status: Option<u16>,
    /// The JSON body has at least these fields with these values; lists must be equal.
    pub(crate) json: Option<Value>,
    /// The body contains this text.
    pub(crate) text: Option<String>,
}

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
}

impl HttpCall {
    /// The method and the URL; none if not exactly one is given.
    pub(crate) fn target(&self) -> Option<(Method, &str)> {
        match (&self.get, &self.post, &self.put) {
            (Some(url), None, None) => Some((Method::Get, url)),
            (None, Some(url), None) => Some((Method::Post, url)),
            (None, None, Some(url)) => Some((Method::Put, url)),
            _ => None,
        }
    }
}

/// Headers whose values are secrets by their nature.
const SECRET_HEADERS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
];

/// What the schema cannot say about a request that stands at `path`.
pub(crate) fn complaints(call: &HttpCall, path: &[&str]) -> Vec<Complaint> {
    let place = |more: &[&str]| path.iter().chain(more).map(|&key| key.to_owned()).collect();
    let mut found = Vec::new();
    match call.target() {
        None => found.push(Complaint {
            path: place(&[]),
            what: "a request has exactly one of get, post and put".to_owned(),
            help: Some("write { get: \"http://127.0.0.1:8080/ready\" }".to_owned()),
        }),
        Some((_, url)) if !(url.starts_with("http://") || url.starts_with("https://")) => {
            found.push(Complaint {
                path: place(&[]),
                what: "the url does not start with http:// or https://".to_owned(),
                help: None,
            });
        }
        Some((_, url)) if has_password(url) => found.push(Complaint {
            path: place(&[]),
            what: "the url holds a password".to_owned(),
            help: Some("put it under secret_headers: { Authorization: { env: NAME } }".to_owned()),
        }),
        Some(_) => {}
    }
    for name in call.headers.keys() {
        if SECRET_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            found.push(Complaint {
                path: place(&["headers", name]),
                what: "this header's value is a secret".to_owned(),
                help: Some(format!(
                    "write secret_headers: {{ {name}: {{ env: NAME }} }}"
                )),
            });
        }
    }
    found
}

fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(yaml: serde_json::Value) -> HttpCall {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn one_target_no_secret() {
        use serde_json::json;
        assert!(complaints(&call(json!({ "get": "http://a/b?u=x@y" })), &[]).is_empty());
        for (bad, place) in [
            (json!({}), vec!["at"]),
            (json!({ "get": "http://a", "post": "http://a" }), vec!["at"]),
            (json!({ "get": "ftp://a" }), vec!["at"]),
            (json!({ "get": "http://u:p@a/" }), vec!["at"]),
            (
                json!({ "get": "http://a", "headers": { "Authorization": "x" } }),
                vec!["at", "headers", "Authorization"],
            ),
        ] {
            assert_eq!(
                complaints(&call(bad.clone()), &["at"])[0].path,
                place,
                "{bad}"
            );
        }
    }
}
