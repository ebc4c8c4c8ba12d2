//! Stub kinds for the tests of plan files: typed options with schemas, and promises that tests choose.
//! Must not be taken for the real kinds.

#![expect(dead_code, reason = "the options are read by their schemas only")]

use std::collections::BTreeMap;

use mainstay_model::{
    Class, Complaint, Declared, Diagnostics, FenceClass, Idempotence, Kind, KindSchema, Kinds,
    LossMode, Origin, Parsed, SealStrength, Secret, Size, Span, Timestamp, Traits, parse,
};
use schemars::JsonSchema;
use serde_json::{Value, json};

/// A kind made of data.
pub(crate) struct Stub {
    name: &'static str,
    classes: &'static [Class],
    at: Value,
    options: Value,
    fence: FenceClass,
}

fn schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// No options.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Address {
    url: String,
    password: Option<Secret>,
    cache: Option<Size>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Process {
    command: Vec<String>,
    replicas: Option<u32>,
    env: Option<BTreeMap<String, String>>,
    ready: Option<Ready>,
    hold: Option<Call>,
    release: Option<Call>,
    held: Option<Ask>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Ready {
    get: String,
    within: Option<Span>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Kubernetes {
    context: String,
    deployment: String,
    replicas: u32,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Http {
    hold: Call,
    release: Call,
    held: Ask,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Call {
    post: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Ask {
    get: String,
    expect: Option<BTreeMap<String, Value>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Cold {
    provision: Option<BTreeMap<String, String>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Name {
    name: String,
    server: Option<String>,
}

impl Kind for Stub {
    fn name(&self) -> &'static str {
        self.name
    }
    fn classes(&self) -> &'static [Class] {
        self.classes
    }
    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: self.at.clone(),
            options: self.options.clone(),
        }
    }
    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let bad = |(site, at): (_, &Value)| {
            (at["url"] == "file:/nowhere").then(|| Complaint {
                path: vec!["at".to_owned(), format!("{site}"), "url".to_owned()],
                what: "nothing is ever nowhere".to_owned(),
                help: Some("name a place".to_owned()),
            })
        };
        declared.at.iter().filter_map(bad).collect()
    }
    fn traits(&self, _: &Declared) -> Traits {
        Traits {
            fence: self.fence,
            loss: LossMode::Lag,
            seal: SealStrength::Enforced,
            idempotence: Idempotence::Idempotent,
        }
    }
}

/// The kinds of the design's example, as stubs.
pub(crate) fn kinds() -> Kinds {
    let stub = |name, classes, at, options, fence| Stub {
        name,
        classes,
        at,
        options,
        fence,
    };
    let (store, workload, route): (&[_], &[_], &[_]) =
        (&[Class::Store], &[Class::Workload], &[Class::Route]);
    let none = schema::<Nothing>;
    Kinds::new()
        .with(stub(
            "postgres",
            store,
            schema::<Address>(),
            none(),
            FenceClass::F3,
        ))
        .with(stub(
            "sqlite",
            store,
            schema::<Address>(),
            none(),
            FenceClass::F0,
        ))
        .with(stub(
            "files",
            store,
            schema::<Address>(),
            none(),
            FenceClass::F0,
        ))
        .with(stub("redis", store, none(), none(), FenceClass::F0))
        .with(stub(
            "kubernetes",
            workload,
            schema::<Kubernetes>(),
            schema::<Cold>(),
            FenceClass::F0,
        ))
        .with(stub(
            "process",
            workload,
            schema::<Process>(),
            none(),
            FenceClass::F0,
        ))
        .with(stub(
            "http",
            workload,
            schema::<Http>(),
            none(),
            FenceClass::F0,
        ))
        .with(stub(
            "dns",
            route,
            json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
            schema::<Name>(),
            FenceClass::F0,
        ))
        .with(stub("power", &[], none(), schema::<Name>(), FenceClass::F2))
}

/// 2026-10-01.
pub(crate) const NOW: Timestamp = Timestamp(1_790_812_800_000_000);

/// Parses text in `/plan/mainstay.yaml`.
pub(crate) fn check(text: &str) -> Result<Parsed, Diagnostics> {
    bytes(text.as_bytes())
}

/// Parses bytes.
pub(crate) fn bytes(bytes: &[u8]) -> Result<Parsed, Diagnostics> {
    let origin = Origin {
        file: "mainstay.yaml",
        folder: "/plan",
        now: NOW,
    };
    parse(bytes, &origin, &kinds())
}

/// What was found, one line each, errors and warnings.
pub(crate) fn found(text: &str) -> String {
    match check(text) {
        Ok(parsed) => parsed.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

/// The design's example.
pub(crate) const EXAMPLE: &str = include_str!("example.yaml");
