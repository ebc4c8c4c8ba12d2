//! The plan file: what a team runs, where, and what it promises.

mod build;
mod checks;
mod defaults;
mod document;
mod draft;
mod file;
mod parse;
mod paths;
mod secrets;
mod shape;
mod template;

pub use document::schema;
pub use file::{
    Backup, Contact, Control, Copy, CopyBy, CopyDeletes, CopyOffline, Detect, External, FencerSpec,
    Group, Isolation, Keep, Objectives, OnLoss, OnSkew, PlanFile, Repository, Role, Route,
    Scenario, Secret, Site, Standby, StandingAct, Store, TeamStep, Tenants, Use, Window, Workload,
    WorkloadRole, Writers,
};
pub use parse::{Origin, Parsed, parse};
pub use template::template;
