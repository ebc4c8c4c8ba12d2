//! The plan file: what a team runs, where, and what it promises.

mod file;

pub use file::{
    Backup, Contact, Control, Copy, CopyBy, CopyDeletes, CopyOffline, Detect, External, FencerSpec,
    Group, Isolation, Keep, Objectives, OnLoss, OnSkew, PlanFile, Repository, Role, Route,
    Scenario, Secret, Site, Standby, StandingAct, Store, TeamStep, Tenants, Use, Window, Workload,
    WorkloadRole, Writers,
};
