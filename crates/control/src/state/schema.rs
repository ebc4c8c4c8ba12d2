//! The tables of the state. Migrations only ever get appended.
//! Must not know who reads or writes them.

use crate::db::Schema;

/// Application id `MSST`.
pub(super) const SCHEMA: Schema = Schema {
    application: 0x4d53_5354,
    migrations: &[
        "
        CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE runs (
            run TEXT PRIMARY KEY,
            parent TEXT,
            mode TEXT NOT NULL,
            by TEXT NOT NULL,
            runbook_hash TEXT NOT NULL,
            created INTEGER NOT NULL,
            updated INTEGER NOT NULL,
            phase TEXT NOT NULL,
            head INTEGER NOT NULL,
            head_hash BLOB NOT NULL) WITHOUT ROWID;
        CREATE INDEX runs_by_time ON runs (created);
        -- Beside the run and not in it: a row that grows with every entry must be small.
        CREATE TABLE runbooks (run TEXT PRIMARY KEY REFERENCES runs, body BLOB NOT NULL);
        CREATE TABLE journal (
            run TEXT NOT NULL REFERENCES runs,
            seq INTEGER NOT NULL,
            bytes BLOB NOT NULL,
            PRIMARY KEY (run, seq)) WITHOUT ROWID;
        CREATE TABLE placement (component TEXT PRIMARY KEY, weights BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE epochs (
            component TEXT PRIMARY KEY,
            epoch INTEGER NOT NULL,
            granted INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE protection (store TEXT PRIMARY KEY, protected INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE quarantine (site TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE fences (
            store TEXT NOT NULL,
            site TEXT NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (store, site)) WITHOUT ROWID;
        CREATE TABLE samples (
            store TEXT NOT NULL,
            site TEXT NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (store, site)) WITHOUT ROWID;
        CREATE TABLE durations (
            seq INTEGER PRIMARY KEY,
            phase TEXT NOT NULL,
            component TEXT NOT NULL,
            site TEXT NOT NULL,
            micros INTEGER NOT NULL,
            at INTEGER NOT NULL);
        CREATE INDEX durations_of ON durations (phase, component, site, seq);
        CREATE TABLE commands (seq INTEGER PRIMARY KEY, run TEXT NOT NULL, body BLOB NOT NULL);
        CREATE TABLE proposals (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, body BLOB NOT NULL);
    ",
        "
        -- When each was first seen by this clock: what its maker wrote into it is not trusted.
        CREATE TABLE restore_points (
            repository TEXT NOT NULL,
            id TEXT NOT NULL,
            recorded INTEGER NOT NULL,
            PRIMARY KEY (repository, id)) WITHOUT ROWID;
        -- When something that is done now and then was done last.
        CREATE TABLE chores (what TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
    ",
    ],
};
