//! Bugs that can be planted by name, so that the simulator and the tests show that they would be caught.
//! Must not do anything at all unless the crate is built with `planted-bugs`.

#[cfg(feature = "planted-bugs")]
use std::collections::BTreeSet;

/// The planted bugs of one plan. Empty, and without a way to fill it, unless the crate is built with `planted-bugs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bugs {
    #[cfg(feature = "planted-bugs")]
    names: BTreeSet<String>,
}

impl Bugs {
    /// Plants these bugs; the names are those of [`ALL_BUGS`], and `skip-proof`.
    #[cfg(feature = "planted-bugs")]
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            names: names.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Whether that bug is planted.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// No bug is ever planted in this build.
    #[cfg(not(feature = "planted-bugs"))]
    #[expect(clippy::unused_self, reason = "the other build looks at self")]
    pub(crate) const fn has(&self, _name: &str) -> bool {
        false
    }
}

/// Every bug that can be planted here, with the invariant it breaks. `skip-proof` is not among them: it keeps the
/// safety proof from refusing the plan that a planted bug has spoilt.
pub const ALL_BUGS: &[(&str, &str)] = &[
    ("I1", "promote-before-seal"),
    ("I1", "release-before-hold"),
    ("I2", "epoch-not-new"),
    ("I2", "retreat-epoch-not-new"),
    ("I3", "no-token"),
    ("I3", "old-token"),
    ("I4", "skip-fence"),
    ("I4", "fence-too-low"),
    ("I9", "accept-expired"),
    ("I9", "accept-worse-point"),
    ("I10", "promote-on-own-catch-up"),
    ("I10", "seal-before-quiesce"),
    ("I13", "loss-until-sample"),
    ("I13", "loss-unknown-is-zero"),
    ("I21", "route-epoch-not-new"),
    ("I21", "route-drained-empty"),
    ("I22", "seal-without-undo"),
    ("I22", "shift-before-commit"),
    ("I23", "rebuild-before-salvage"),
    ("I23", "no-protect-check"),
];
