//! A component as declared: what every kind has in common, and the kind's own options as checked values.
//! Must not know what the options mean; the kind does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ComponentId, KindName, SiteId, Span};

/// The three classes of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Data.
    Store,
    /// Compute.
    Workload,
    /// Traffic.
    Route,
}

/// What a kind is given of a component. The values were checked against the kind's schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// The component's name.
    pub name: ComponentId,
    /// Store, workload or route.
    pub class: Class,
    /// Which kind operates it.
    pub kind: KindName,
    /// The kind's options for each site (`at:`; for a route `to:`).
    pub at: BTreeMap<SiteId, Value>,
    /// The kind's options for the component as a whole: an object.
    pub options: Value,
    /// How long one step on it may take (`timeout`).
    pub timeout: Option<Span>,
}
