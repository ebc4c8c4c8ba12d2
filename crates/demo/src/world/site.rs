//! The three sites of the demo's world, by name. Nothing here knows what runs there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::PartError;

/// A site of the demo's world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// Where the application is at home.
    Prod,
    /// Where it goes.
    Dr,
    /// Holds no data: name server, leases, the watch.
    Witness,
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Prod, Self::Dr, Self::Witness];
    /// Those that hold data.
    pub const DATA: [Self; 2] = [Self::Prod, Self::Dr];

    /// Its name in the plan file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Dr => "dr",
            Self::Witness => "witness",
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl FromStr for Site {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        Self::ALL
            .into_iter()
            .find(|site| site.name() == text)
            .ok_or_else(|| PartError::Option {
                option: "site",
                why: format!("there is no site {text:?}; write prod, dr or witness"),
            })
    }
}
