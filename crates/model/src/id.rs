//! Typed names and numbers: a site's id cannot pass as a component's, an epoch is not a count.
//! Must not know where a name comes from (plan file, journal, wire) or what it stands for.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name that is accepted, in bytes. DNS labels and Kubernetes names end here too.
pub const MAX_NAME: usize = 63;

/// Why a name was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The name is longer than [`MAX_NAME`] bytes.
    #[error("a name has at most {MAX_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// The name holds a character that is not `a-z`, `A-Z`, `0-9`, `-`, `_` or `.`, or starts with one of the last three.
    #[error(
        "{0:?} is not allowed there: names have letters, digits, '-', '_' and '.', and start with a letter or digit"
    )]
    Character(char),
}

/// Checks the characters and the length of a name.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let first = name.chars().next().ok_or(NameError::Empty)?;
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong(name.len()));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Character(first));
    }
    match name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
    {
        Some(c) => Err(NameError::Character(c)),
        None => Ok(()),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name that [`check_name`] accepts.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                check_name(name.as_ref())?;
                Ok(Self(name.as_ref().into()))
            }

            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&name).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "maxLength": MAX_NAME,
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"
                })
            }
        }
    )*};
}

names! {
    /// A site: a region, zone or cluster.
    SiteId;
    /// A workload, a store or a route. Names are unique across all three.
    ComponentId;
    /// A group of stores that must be consistent with each other.
    GroupId;
    /// A backup repository.
    RepositoryId;
    /// Something the system uses and does not own.
    ExternalId;
    /// The kind of a component (`postgres`, `dns`, ...), also the name of the driver that operates it.
    KindName;
    /// One execution of a runbook.
    RunId;
    /// Who observed or acted: an agent's name.
    AgentId;
    /// A person or a machine account that asks, approves or skips.
    PersonId;
}

/// A store's ownership number. It only grows; every enabling of writes takes a new one and
/// carries it as fencing token. Zero means that nobody ever owned the store.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The next epoch.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of the process that executes a run. A new executor takes a greater one, and agents
/// refuse effects that carry an older one (I20).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ExecutorEpoch(pub u64);

/// A step's place in its runbook: an index into [`crate::Runbook::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl StepId {
    /// The index into the runbook's steps.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which direction of a step an effect belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The step's own action.
    Forward,
    /// Its undoing, during a retreat.
    Undo,
}

/// Names one intent to change the world. An agent keeps it in its own journal and answers a
/// repeated one from there (I14).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// Forward or undo.
    pub direction: Direction,
    /// The attempt, from 1. A retry after a settled failure is a new effect.
    pub attempt: u32,
    /// The executor that recorded the intent.
    pub executor: ExecutorEpoch,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.direction {
            Direction::Forward => "do",
            Direction::Undo => "undo",
        };
        write!(
            f,
            "{}/{}/{way}/{}/{}",
            self.run, self.step.0, self.attempt, self.executor.0
        )
    }
}
