//! What a plan file says about an `http` workload at one site. The documentation of the fields is the schema's.
//! Must not know how they are used.

use mainstay_model::Span;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::shared::HttpCall;

/// A workload at one site, by the requests that it understands.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpAt {
    /// For a scheduler: makes it start no new work.
    pub(crate) hold: Option<HttpCall>,
    /// For a scheduler: lets it work again.
    pub(crate) release: Option<HttpCall>,
    /// For a scheduler: the expected answer means that it is held, another answer that it works.
    pub(crate) held: Option<HttpCall>,
    /// Makes it run.
    pub(crate) start: Option<HttpCall>,
    /// Makes it stop. Needs `running`, which proves that it did.
    pub(crate) stop: Option<HttpCall>,
    /// The expected answer means that it runs, another answer that it is stopped; no answer means nothing.
    pub(crate) running: Option<HttpCall>,
    /// The expected answer means that it is ready.
    pub(crate) ready: Option<HttpCall>,
    /// Makes it reconnect to a store that moved.
    pub(crate) rebind: Option<HttpCall>,
    /// The application's own read-only check.
    pub(crate) verify: Option<HttpCall>,
    /// Lists what still reached the old site; its answer goes into the report.
    pub(crate) sweep: Option<HttpCall>,
    /// Where the deployed version can be seen.
    pub(crate) version: Option<HttpVersion>,
    /// How long a change may take until it is seen. Default: 60s.
    pub(crate) within: Option<Span>,
}

/// Where a version can be seen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpVersion {
    /// Ask this URL; the version is the answer's text, or its field.
    pub(crate) get: String,
    /// The field of a JSON answer that holds the version. Default: `version`.
    #[serde(default)]
    pub(crate) field: Option<String>,
}

impl HttpAt {
    /// Every request with its field's name.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&'static str, &HttpCall)> {
        [
            ("hold", &self.hold),
            ("release", &self.release),
            ("held", &self.held),
            ("start", &self.start),
            ("stop", &self.stop),
            ("running", &self.running),
            ("ready", &self.ready),
            ("rebind", &self.rebind),
            ("verify", &self.verify),
            ("sweep", &self.sweep),
        ]
        .into_iter()
        .filter_map(|(name, call)| Some((name, call.as_ref()?)))
    }
}
