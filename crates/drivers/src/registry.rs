//! Every kind by name: one line for each in two tables.
//! Must not know what a kind does.

use std::sync::Arc;

use mainstay_driver::{Driver, Drivers};
use mainstay_model::{Kinds, PlanFile, SiteId};

use crate::{
    dns::{DnsDriver, DnsKind},
    exec, files,
    haproxy::{HaproxyDriver, HaproxyKind},
    http, objects,
    postgres::{PostgresDriver, PostgresKind},
    process,
    shared::{Home, Place, Saves, Saving},
    sqlite,
};

/// The pure halves of all kinds.
#[must_use]
pub fn kinds() -> Kinds {
    Kinds::new()
        .with(DnsKind)
        .with(HaproxyKind)
        .with(PostgresKind)
        .with(exec::ExecKind)
        .with(files::FilesKind)
        .with(http::HttpKind)
        .with(objects::ObjectsKind)
        .with(process::ProcessKind)
        .with(sqlite::SqliteKind)
}

/// The drivers of one site's agent, over the components that the plan file declares. Call it inside a
/// tokio runtime: the `process` driver starts to supervise at once, so only the site's agent may call it.
#[must_use]
pub fn drivers(plan: Arc<PlanFile>, site: SiteId, place: Place) -> Drivers {
    let home = Home::new(plan, site, place);
    let exec = Arc::new(exec::ExecDriver::new(home.clone()));
    let files = Arc::new(files::FilesDriver::new(home.clone()));
    let files_saves: Arc<dyn Saves> = Arc::new(files.saves());
    let objects = Arc::new(objects::ObjectsDriver::new(home.clone()));
    let sqlite = Arc::new(sqlite::SqliteDriver::new(home.clone()));
    let sqlite_saves: Arc<dyn Saves> = Arc::new(sqlite.saves());
    let saving = |driver: Arc<dyn Driver>, saves: Arc<dyn Saves>| -> Arc<dyn Driver> {
        Arc::new(Saving::new(&home, driver, saves))
    };
    let postgres = PostgresDriver::new(&home.plan, home.simple());
    let postgres = postgres
        .keeping_standbys(&home.place.quarantine)
        .keeping_logs(&home.plan);
    let saves = postgres.saves();
    let postgres = Arc::new(postgres);
    Drivers::new()
        .with("dns", Arc::new(DnsDriver::new(&home.plan, home.simple())))
        .with(exec::NAME, saving(exec, Arc::new(exec::ExecSaves)))
        .with(files::NAME, saving(files, files_saves))
        .with(
            "haproxy",
            Arc::new(HaproxyDriver::new(&home.plan, home.simple())),
        )
        .with("postgres", saving(postgres, Arc::new(saves)))
        .with(http::NAME, Arc::new(http::HttpDriver::new(home.clone())))
        .with(
            objects::NAME,
            saving(objects, Arc::new(objects::ObjectsSaves)),
        )
        .with(
            process::NAME,
            Arc::new(process::ProcessDriver::new(home.clone())),
        )
        .with(sqlite::NAME, saving(sqlite, sqlite_saves))
}
