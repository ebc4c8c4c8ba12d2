//! Mistakes of the parts that the simulator stands in for: drivers, copies, the mover's host, its disk.
//! Must not know how they are caught.

macro_rules! own {
    ($($bug:ident, $invariant:literal, $name:literal;)*) => {
        /// One of the simulator's own planted bugs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(not(feature = "planted-bugs"), allow(dead_code, reason = "planted only with the feature"))]
        pub(crate) enum Own { $($bug,)* }

        /// Every one: the bug, the invariant that it breaks, its name.
        #[cfg(feature = "planted-bugs")]
        pub(crate) const OWN: &[(Own, &str, &str)] = &[$((Own::$bug, $invariant, $name),)*];
    };
}

own! {
    UnknownIsNotDone, "I15", "unknown-is-not-done";
    SilenceIsNotDone, "I15", "silence-is-not-done";
    DiskLies, "I16", "disk-lies";
    RecoveryDropsTail, "I17", "recovery-drops-tail";
    RouteIgnoresRecord, "I21", "route-ignores-record";
    CopyDatedLate, "I13", "copy-dated-late";
    SalvageSavesNothing, "I23", "salvage-saves-nothing";
    NeverLooksAround, "I22", "never-looks-around";
}
