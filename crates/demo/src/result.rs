//! What a demo measured, in the shape that `demo --json` writes. Figures only; nothing here
//! measures, and a figure that does not apply is absent (`null` in JSON).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of this shape.
pub const VERSION: u32 = 1;

/// The outcome of a whole demo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoResult {
    /// The version of this shape.
    pub version: u32,
    /// The database that the order service ran on: `sqlite` or `postgres`.
    pub database: String,
    /// Every act kept its promise.
    pub ok: bool,
    /// The acts, in the order they were played.
    pub acts: Vec<ActResult>,
}

/// An act of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A planned move under load.
    Switchover,
    /// The sudden death of the active site under load.
    SiteLoss,
    /// The way home, after the lost site was reprotected.
    Failback,
    /// Mainstay itself is killed within a move, and carries on.
    CrashResume,
    /// An application error destroys data, and the database goes back to just before.
    Restore,
}

/// What one act measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActResult {
    /// Which act.
    pub act: Act,
    /// From the command or the disaster to the first request served at the new site, in seconds.
    pub rto_s: Option<f64>,
    /// What the plan had estimated, in seconds.
    pub rto_estimate_s: Option<f64>,
    /// Writes that were acknowledged to clients during the act.
    pub acknowledged: Option<u64>,
    /// Those of them that did not survive.
    pub lost: Option<u64>,
    /// From the acknowledgement of the oldest lost write to the disaster, in seconds.
    pub true_loss_s: Option<f64>,
    /// The loss bound that was shown before the move, in seconds.
    pub reported_loss_bound_s: Option<f64>,
    /// The longest time in which no client got an acknowledgement, in seconds.
    pub client_outage_s: Option<f64>,
    /// From the disaster to its verdict, in seconds.
    pub detected_s: Option<f64>,
    /// Steps of the run.
    pub steps: Option<u64>,
}

impl DemoResult {
    /// The outcome of `acts`; good when there are any and each kept its promise.
    #[must_use]
    pub fn new(database: &str, acts: Vec<ActResult>) -> Self {
        let ok = !acts.is_empty() && acts.iter().all(ActResult::keeps_its_promise);
        Self {
            version: VERSION,
            database: database.to_owned(),
            ok,
            acts,
        }
    }
}

impl ActResult {
    /// An act of which nothing was measured yet.
    #[must_use]
    pub fn new(act: Act) -> Self {
        Self {
            act,
            rto_s: None,
            rto_estimate_s: None,
            acknowledged: None,
            lost: None,
            true_loss_s: None,
            reported_loss_bound_s: None,
            client_outage_s: None,
            detected_s: None,
            steps: None,
        }
    }

    /// Whether nothing was lost or, where a loss had been accepted, no more than was reported.
    /// What was not measured is no promise kept.
    #[must_use]
    pub fn keeps_its_promise(&self) -> bool {
        match (
            self.act,
            self.lost,
            self.true_loss_s,
            self.reported_loss_bound_s,
        ) {
            (Act::SiteLoss | Act::Restore, Some(_), Some(lost), Some(bound)) => lost <= bound,
            (Act::SiteLoss | Act::Restore, ..) => false,
            (_, lost, ..) => lost == Some(0),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Switchover => "switchover",
            Self::SiteLoss => "site-loss",
            Self::Failback => "failback",
            Self::CrashResume => "crash-resume",
            Self::Restore => "restore",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_fixed() {
        let mut act = ActResult::new(Act::SiteLoss);
        act.rto_s = Some(3.5);
        act.lost = Some(4);
        act.true_loss_s = Some(0.5);
        act.reported_loss_bound_s = Some(1.25);
        let result = DemoResult::new("sqlite", vec![act]);
        let golden = concat!(
            r#"{"version":1,"database":"sqlite","ok":true,"acts":[{"act":"site-loss","rto_s":3.5,"#,
            r#""rto_estimate_s":null,"acknowledged":null,"lost":4,"true_loss_s":0.5,"#,
            r#""reported_loss_bound_s":1.25,"client_outage_s":null,"detected_s":null,"#,
            r#""steps":null}]}"#
        );
        assert_eq!(serde_json::to_string(&result).unwrap(), golden);
        assert_eq!(serde_json::from_str::<DemoResult>(golden).unwrap(), result);
    }

    #[test]
    fn an_unmeasured_or_broken_promise_is_not_ok() {
        assert!(!DemoResult::new("sqlite", vec![]).ok);
        for act in [
            Act::Switchover,
            Act::SiteLoss,
            Act::Failback,
            Act::CrashResume,
            Act::Restore,
        ] {
            assert!(!ActResult::new(act).keeps_its_promise(), "{act}");
        }
        let mut act = ActResult::new(Act::Failback);
        act.lost = Some(0);
        assert!(act.keeps_its_promise());
        act.lost = Some(1);
        assert!(!act.keeps_its_promise());
        let mut act = ActResult::new(Act::SiteLoss);
        (act.lost, act.true_loss_s, act.reported_loss_bound_s) = (Some(9), Some(2.0), Some(1.9));
        assert!(!act.keeps_its_promise());
    }
}
