//! Mistakes that can be planted, so that tests show that they would be caught. A build without the feature
//! `planted-bugs` has none and no way to switch one on.
//! Must not know what a mistake breaks beyond the invariant's number.

/// Which planted bugs are on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bugs {
    #[cfg(feature = "planted-bugs")]
    on: u64,
}

macro_rules! bugs {
    ($($bug:ident, $invariant:literal, $name:literal;)*) => {
        /// A mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug { $($bug,)* }

        /// Every planted bug: the invariant that it breaks, and its name.
        #[cfg(feature = "planted-bugs")]
        pub const ALL: &[(&str, &str)] = &[$(($invariant, $name),)*];

        #[cfg(feature = "planted-bugs")]
        const BUGS: &[Bug] = &[$(Bug::$bug,)*];
    };
}

bugs! {
    GrantorSharesEpoch, "I2", "grantor-shares-epoch";
    GrantorTakesOlderEpoch, "I2", "grantor-takes-older-epoch";
    AgentIgnoresFloor, "I3", "agent-ignores-floor";
    GrantorIgnoresFloor, "I3", "grantor-ignores-floor";
    ActWithoutToken, "I3", "act-without-token";
    GrantorForgetsRestart, "I4", "grantor-forgets-restart";
    GrantorForgetsRenewals, "I4", "grantor-forgets-renewals";
    HolderOverstays, "I4", "holder-overstays";
    MinoritySuffices, "I5", "minority-suffices";
    AbstentionsShrinkQuorum, "I5", "abstentions-shrink-quorum";
    OneObserverSuffices, "I6", "one-observer-suffices";
    IgnoresControls, "I6", "ignores-control-probes";
    NoConfirmation, "I7", "no-confirmation";
    ForgetsRecovery, "I7", "forgets-recovery";
    NoCooldown, "I8", "no-cooldown";
    CooldownPerSite, "I8", "cooldown-per-site";
    AcceptanceNeverExpires, "I9", "acceptance-never-expires";
    AcceptanceCoversAnything, "I9", "acceptance-covers-anything";
    PromoteWithoutAcceptance, "I9", "promote-without-acceptance";
    AgentForgetsEffect, "I14", "agent-forgets-effect";
    ActAgainOnResume, "I14", "act-again-on-resume";
    AttemptNotCounted, "I14", "attempt-not-counted";
    RetryBlindly, "I15", "retry-blindly";
    UnseenIsDone, "I15", "unseen-is-done";
    ActBeforeDurable, "I16", "act-before-durable";
    DurableOffByOne, "I16", "durable-off-by-one";
    ReplaySkipsTicks, "I17", "replay-skips-ticks";
    ReplayForgetsOutputs, "I17", "replay-forgets-outputs";
    JournalUnchecked, "I18", "journal-unchecked";
    JournalCutsAnything, "I18", "journal-cuts-anything";
    RunbookUnpinned, "I19", "runbook-unpinned";
    RunbookPinnedByLength, "I19", "runbook-pinned-by-length";
    AgentObeysOldExecutor, "I20", "agent-obeys-old-executor";
    AgentForgetsExecutor, "I20", "agent-forgets-executor";
    OldExecutorResumes, "I20", "old-executor-resumes";
    ExecutorKept, "I20", "executor-kept";
    RunsBesideUnfinished, "I21", "runs-beside-unfinished";
    AgentIgnoresQuarantine, "I22", "agent-ignores-quarantine";
    RetreatForgetsUnknown, "I22", "retreat-forgets-unknown";
    RetreatInAnyOrder, "I22", "retreat-in-any-order";
    UndoUnseen, "I22", "undo-unseen";
    OwnApprovalCounts, "I26", "own-approval-counts";
    ApprovalForAnyRunbook, "I26", "approval-for-any-runbook";
    ApprovalNeverExpires, "I26", "approval-never-expires";
    NoTimeouts, "I29", "no-timeouts";
    LooksForever, "I29", "looks-forever";
}

impl Bugs {
    /// None.
    pub const NONE: Self = Self {
        #[cfg(feature = "planted-bugs")]
        on: 0,
    };

    /// The bug of that name.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let at = ALL.iter().position(|(_, known)| *known == name)?;
        Some(Self { on: 1 << at })
    }

    /// Whether this bug is on.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        BUGS.iter()
            .position(|known| *known == bug)
            .is_some_and(|at| self.on & (1 << at) != 0)
    }

    /// Never, in a build without planted bugs.
    #[cfg(not(feature = "planted-bugs"))]
    #[expect(
        clippy::unused_self,
        reason = "the same signature as with planted bugs"
    )]
    pub(crate) const fn has(self, _: Bug) -> bool {
        false
    }
}
