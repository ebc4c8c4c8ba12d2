//! Why there is no runbook: the rule, the evidence, and the flag that overrides it, if any.
//! Must not know how a refusal is shown.

use std::fmt;

use mainstay_model::LossBound;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal: $rule:literal;)*) => {
        /// The stable code of a refusal; each has a page under `docs/errors/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as written.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The rule that was applied.
            #[must_use]
            pub fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)* }
            }
        }
    };
}

codes! {
    /// The site is not in the plan file.
    UnknownSite = "MS2001": "a move names sites of the plan file";
    /// The site only votes.
    WitnessTarget = "MS2002": "a witness holds no data and cannot be active";
    /// The component is not in the plan file.
    UnknownComponent = "MS2003": "a move names stores and workloads of the plan file";
    /// No kind of that name.
    UnknownKind = "MS2004": "every component has a kind that this binary knows";
    /// Everything is there already.
    NothingToMove = "MS2005": "a move changes where something is active";
    /// The component has no options for that site.
    NotDeployable = "MS2006": "a component moves only to a site that it is declared at";
    /// Several sites for a store with one writer, or none at all.
    BadPlacement = "MS2007": "a component is active somewhere, and a store with one writer at one site only";
    /// Components behind one route would part.
    RouteSplit = "MS2008": "what one route serves moves together";
    /// `after` goes round in a circle.
    StartOrderCycle = "MS2009": "a start order has a beginning";
    /// A site that the move needs does not answer.
    SiteSilent = "MS2010": "a move needs the agents of the sites that it acts on";
    /// The target was fenced and not reprotected since.
    SiteQuarantined = "MS2011": "a fenced site is not used until it is reprotected";
    /// Nobody ever took the store into Mainstay's care.
    NotAdopted = "MS2012": "a store has an owner and an epoch before it is moved";
    /// The store's mark is not the one Mainstay left.
    MovedExternally = "MS2013": "a store is where Mainstay left it";
    /// The destination has nothing of the store.
    NothingToPromote = "MS2014": "a store is promoted where there is something of it";
    /// A planned move of a store that has no copy there.
    CopyMissing = "MS2015": "a planned move loses nothing";
    /// A forced move without an acceptance.
    LossNotAccepted = "MS2016": "a forced move starts only with an acceptance of its loss";
    /// The acceptance does not cover the loss bound.
    LossAboveAcceptance = "MS2017": "an acceptance covers the loss bound of every store";
    /// The acceptance has run out.
    AcceptanceExpired = "MS2018": "an acceptance is good until it runs out";
    /// A recovery point is worse than the accepted one.
    RecoveryPointWorse = "MS2019": "an acceptance is good while no recovery point gets worse";
    /// Nothing to be made a copy again.
    NothingToReprotect = "MS2020": "a reprotect makes a site that was left a copy again";
    /// Two steps could race.
    UnsafePlan = "MS2021": "a runbook is proven safe for every order that its edges allow";
    /// What is to be given up is not what was shown.
    NotWhatWasShown = "MS2022": "what only one site has is given up by the hash that was shown for it";
    /// A forced move away from a site that could still hand over.
    SourceAnswers = "MS2023": "a forced move gives up what its source has not handed over";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One refusal, or one warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its stable code.
    pub code: Code,
    /// The rule.
    pub rule: String,
    /// What was seen, in words.
    pub evidence: String,
    /// The exact flag or command that gets past it, if there is one.
    pub flag: Option<String>,
}

impl Refusal {
    /// A refusal that nothing overrides.
    #[must_use]
    pub fn new(code: Code, evidence: impl Into<String>) -> Self {
        Self {
            code,
            rule: code.rule().to_owned(),
            evidence: evidence.into(),
            flag: None,
        }
    }

    /// The same, with the flag or command that gets past it.
    #[must_use]
    pub fn unless(self, flag: impl Into<String>) -> Self {
        Self {
            flag: Some(flag.into()),
            ..self
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.code, self.rule, self.evidence)?;
        match &self.flag {
            Some(flag) => write!(f, " (`{flag}`)"),
            None => Ok(()),
        }
    }
}

/// All reasons why there is no runbook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// The reasons, most basic first; never empty.
    pub list: Vec<Refusal>,
    /// For a failover whose loss was computed: what it may lose. An acceptance is made from it ([`crate::accept`]).
    pub loss: Option<LossBound>,
}

impl Refusals {
    /// Whether that code is among them.
    #[must_use]
    pub fn has(&self, code: Code) -> bool {
        self.list.iter().any(|refusal| refusal.code == code)
    }
}

impl From<Refusal> for Refusals {
    fn from(refusal: Refusal) -> Self {
        Self {
            list: vec![refusal],
            loss: None,
        }
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, refusal) in self.list.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusals {}
