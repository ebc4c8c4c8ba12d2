//! The contract between the pure core and the drivers: what is observed, what a step is, what a kind promises.
//! Must not know any concrete kind, nor how a step is executed.

mod declared;
mod facts;
mod goal;
mod kind;
mod runbook;
mod saved;
mod standard;
mod step;

pub use declared::{Class, Declared};
pub use facts::{
    Access, Facts, FenceFacts, Health, Mark, Position, Reading, RecoveryPoint, RouteFacts, Sample,
    StoreFacts, Tri, WorkloadFacts,
};
pub use goal::{Goal, Predicate, Scope, Subject, Wanted, Weights};
pub use kind::{
    Complaint, FenceClass, Idempotence, Kind, KindSchema, Kinds, LossMode, Move, MoveMode,
    SealStrength, Traits,
};
pub use runbook::{
    Acceptance, EpochPlan, LossBound, OnFailure, Pinned, RUNBOOK_VERSION, Runbook, RunbookHash,
    StoreBound,
};
pub use saved::Saved;
pub use standard::{holds as standard_holds, lower as standard_lower};
pub use step::{
    Action, Body, Draft, Fence, Input, Necessity, Op, Output, OutputRef, Phase, Question,
    RecoveryTarget, Skew, Step, Undo,
};
