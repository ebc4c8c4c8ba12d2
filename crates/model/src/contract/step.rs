//! A step: what it waits for, what must hold before, what it does, what holds after, how it is undone.
//! Must not know who computes, orders or executes it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    facts::{Position, RecoveryPoint},
    goal::{Goal, Subject, Weights},
};
use crate::{ComponentId, Epoch, KindName, RepositoryId, SiteId, Span, StepId, Timestamp};

/// The phases of a move (see the design), those of a failover, and those of a reprotect.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "docs/ARCHITECTURE.md and the design's table say what each phase means"
)]
pub enum Phase {
    Gate,
    Provision,
    Hold,
    Drain,
    Quiesce,
    Seal,
    Fence,
    RecoverSource,
    CatchUp,
    Promote,
    Reconcile,
    Rebind,
    Activate,
    Verify,
    Commit,
    Shift,
    Release,
    Sweep,
    Salvage,
    Rebuild,
    Protect,
}

impl Phase {
    /// The word used in plan files, on the command line and in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Provision => "provision",
            Self::Hold => "hold",
            Self::Drain => "drain",
            Self::Quiesce => "quiesce",
            Self::Seal => "seal",
            Self::Fence => "fence",
            Self::RecoverSource => "recover-source",
            Self::CatchUp => "catch-up",
            Self::Promote => "promote",
            Self::Reconcile => "reconcile",
            Self::Rebind => "rebind",
            Self::Activate => "activate",
            Self::Verify => "verify",
            Self::Commit => "commit",
            Self::Shift => "shift",
            Self::Release => "release",
            Self::Sweep => "sweep",
            Self::Salvage => "salvage",
            Self::Rebuild => "rebuild",
            Self::Protect => "protect",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A reference to what an earlier step found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutputRef {
    /// The step. It must come before the one that refers to it.
    pub step: StepId,
}

/// What a finished step found or made: from the observation that settled it, and from its action.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    /// A store's position, for the steps that must reach it.
    pub position: Option<Position>,
    /// Addresses, counts, names: for later steps and for the report. No secrets.
    pub values: BTreeMap<String, String>,
}

const RECOVERY_SOURCE: &str = "recovery-source";
const RECOVERY_AT: &str = "recovery-taken-at-us";

impl Output {
    /// A recovery point as values.
    #[must_use]
    pub fn of_recovery(point: &RecoveryPoint) -> [(String, String); 2] {
        [
            (RECOVERY_SOURCE.to_owned(), point.source.to_string()),
            (RECOVERY_AT.to_owned(), point.taken_at.0.to_string()),
        ]
    }

    /// Whether these values name a recovery point that is not older than this one; none if they name none.
    #[must_use]
    pub fn recovers(&self, wanted: &RecoveryPoint) -> Option<bool> {
        let source = self.values.get(RECOVERY_SOURCE)?;
        let taken_at: i64 = self.values.get(RECOVERY_AT)?.parse().ok()?;
        Some(source == wanted.source.as_str() && taken_at >= wanted.taken_at.0)
    }
}

/// One output as handed to an action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Input {
    /// Which step it is from.
    pub from: OutputRef,
    /// What it says.
    pub output: Output,
}

/// What the comparison of a group's stores may find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skew {
    /// Nothing: the stores fit together.
    Refused,
    /// What does not fit together is recorded as lost and reported: the loss was accepted.
    Reported,
}

impl Skew {
    /// The word that programs and reports use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reported => "reported",
        }
    }
}

/// Which restore point, or which moment between two of them where the kind keeps a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryTarget {
    /// The newest complete one.
    #[default]
    Newest,
    /// This one, by its name in the repository.
    Point(String),
    /// The state at this time: nothing that was written later.
    Time(Timestamp),
    /// The state at this position.
    Position(Position),
    /// A name that was given to a moment at the store.
    Named(String),
}

impl RecoveryTarget {
    fn is_newest(&self) -> bool {
        *self == Self::Newest
    }
}

impl fmt::Display for RecoveryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("the newest restore point"),
            Self::Point(id) => write!(f, "restore point {id}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Position(position) => write!(f, "{position:?}"),
            Self::Named(name) => write!(f, "the moment named {name}"),
        }
    }
}

/// What a driver can be asked to do. A driver implements those its kind needs and refuses the others as not done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Create it (cold standby).
    Provision,
    /// Remove what `Provision` created.
    Deprovision,
    /// A scheduler starts no new work; returns when running work is over.
    Hold,
    /// A scheduler works again.
    Release,
    /// Run it, and wait until it is ready.
    Start,
    /// Stop it, with grace.
    Stop,
    /// Give a route these weights, on condition that its epoch record is below `epoch`. Draining waits out what the old weights left in caches.
    Route {
        /// Weight for each site.
        weights: Weights,
        /// The new epoch record.
        epoch: Epoch,
    },
    /// Refuse application writes from now on; the mark goes to at least this epoch.
    Seal(Epoch),
    /// Take application writes again at the site that was sealed, at this new epoch.
    Unseal(Epoch),
    /// Shut out every writer below this epoch at the action's site.
    Fence(Epoch),
    /// What must happen before the source can be read.
    RecoverSource,
    /// Copy what is missing from there, and verify.
    CatchUp {
        /// The source.
        from: SiteId,
    },
    /// Bring a restore point of that repository in the place of what is here.
    Restore {
        /// The repository.
        from: RepositoryId,
        /// Which one.
        #[serde(default, skip_serializing_if = "RecoveryTarget::is_newest")]
        target: RecoveryTarget,
    },
    /// Save it as a restore point in that repository.
    Backup {
        /// The repository.
        to: RepositoryId,
    },
    /// Bring a restore point into a scratch place, let it pass its own checks there, and take it away again.
    Prove {
        /// The repository.
        from: RepositoryId,
        /// Which one.
        target: RecoveryTarget,
    },
    /// Compare what it has with the newest complete restore point: what was created or changed since that time must be
    /// in it.
    Validate {
        /// The repository.
        from: RepositoryId,
        /// What is older was validated before; none for everything.
        since: Option<Timestamp>,
    },
    /// Bring a restore point, or a part of it, into a folder of its own at the action's site.
    Extract {
        /// The repository.
        from: RepositoryId,
        /// Which one.
        target: RecoveryTarget,
        /// The part of it, where the kind has parts; none for all of it.
        path: Option<String>,
        /// The folder, absolute. What is there already stays unless it is a part of the same restore that was cut short.
        into: String,
    },
    /// Make the copy writable at this epoch.
    Promote(Epoch),
    /// Void a promote: refuse writes again at this epoch.
    Demote(Epoch),
    /// Compare the stores of a group.
    Reconcile {
        /// What it may find.
        skew: Skew,
    },
    /// Reconnect to a store that moved.
    Rebind,
    /// List what still reached the old site.
    Sweep,
    /// Save what only this site has, with a receipt.
    Salvage {
        /// The site that owns the store now; what it has needs no saving.
        owner: SiteId,
    },
    /// Make this site a copy of that one.
    Rebuild {
        /// The source.
        from: SiteId,
    },
    /// Something only the kind understands.
    Custom {
        /// Its name.
        name: String,
        /// Its arguments. No secrets.
        args: BTreeMap<String, String>,
    },
}

/// A change to the world: which driver, on which instance, what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Action {
    /// The driver that acts.
    pub driver: KindName,
    /// What it acts on.
    pub subject: Subject,
    /// The site whose instance is meant.
    pub site: SiteId,
    /// What to do.
    pub op: Op,
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    /// What is asked, as a whole sentence.
    pub text: String,
    /// What a yes means, for the record.
    pub yes: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Nothing: it only joins what comes before with what comes after.
    Join,
    /// Nothing: its goal must be seen to hold.
    Check,
    /// A person answers.
    Ask(Question),
    /// A driver acts.
    Act(Action),
}

/// How a step is undone in a retreat.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Nothing to undo.
    Nothing,
    /// This action, until all these goals hold.
    Act {
        /// The action.
        action: Action,
        /// What must hold afterwards.
        goals: Vec<Goal>,
    },
    /// It cannot be undone; a retreat that meets it asks a person.
    Irreversible,
}

/// The store and the epoch that an effect carries as its fencing token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fence {
    /// The store.
    pub store: ComponentId,
    /// The token.
    pub epoch: Epoch,
}

/// Whether a step's failure stops the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Necessity {
    /// It must hold.
    Required,
    /// A failure is recorded as an exception and the run goes on.
    Advisory,
}

/// A step of a runbook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Step {
    /// Its place in the runbook.
    pub id: StepId,
    /// Its phase.
    pub phase: Phase,
    /// What it is about.
    pub subject: Subject,
    /// The site whose instance it is about.
    pub site: SiteId,
    /// The site whose agent carries it out.
    pub at: SiteId,
    /// The steps that must be over before it starts.
    pub after: Vec<StepId>,
    /// What must be seen to hold before it acts; looked at again on every attempt.
    pub requires: Vec<Goal>,
    /// What holds afterwards. An empty list is reached when the action says done.
    pub goals: Vec<Goal>,
    /// Outputs of earlier steps that its action is given.
    pub inputs: Vec<OutputRef>,
    /// What it does.
    pub body: Body,
    /// How it is undone.
    pub undo: Undo,
    /// The fencing token its effect carries.
    pub fence: Option<Fence>,
    /// Whether its failure stops the run.
    pub necessity: Necessity,
    /// After so long without an outcome the outcome is unknown.
    pub timeout: Span,
    /// How long it is expected to take.
    pub estimate: Span,
}

impl Step {
    /// A name for people: `promote ledger at dr`.
    #[must_use]
    pub fn title(&self) -> String {
        match (&self.subject, &self.body) {
            (Subject::System, Body::Join | Body::Check) => self.phase.word().to_owned(),
            (Subject::Site(site), _) => format!("{} {site}", self.phase),
            (subject, _) => format!("{} {subject} at {}", self.phase, self.site),
        }
    }

    /// A name for people under the heading of its phase: `ledger at dr`.
    #[must_use]
    pub fn title_within_phase(&self) -> String {
        match (&self.body, &self.subject) {
            (Body::Join, Subject::System) if self.phase == Phase::Commit => {
                "commit: no way back from here".to_owned()
            }
            (Body::Join, _) => "all of it".to_owned(),
            (_, Subject::System) => "system".to_owned(),
            (_, Subject::Site(site)) => format!("site {site}"),
            (_, subject) => format!("{subject} at {}", self.site),
        }
    }
}

/// What a kind contributes to a step; the planner adds identity and order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Draft {
    /// The site whose instance it is about.
    pub site: SiteId,
    /// The site whose agent carries it out.
    pub at: SiteId,
    /// See [`Step::requires`].
    pub requires: Vec<Goal>,
    /// See [`Step::goals`].
    pub goals: Vec<Goal>,
    /// See [`Step::body`].
    pub body: Body,
    /// See [`Step::undo`].
    pub undo: Undo,
    /// See [`Step::fence`].
    pub fence: Option<Fence>,
    /// See [`Step::necessity`].
    pub necessity: Necessity,
    /// See [`Step::timeout`]; none takes the declared or the default one.
    pub timeout: Option<Span>,
    /// A first guess of its duration, until one was measured.
    pub estimate: Span,
}
