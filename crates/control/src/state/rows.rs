//! Small helpers between rows and values.
//! Must not know what the values mean.

use rusqlite::{Connection, OptionalExtension};
use serde::{Serialize, de::DeserializeOwned};

use super::StateError;

/// Numbers in `SQLite` are signed.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The other way round.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A value as it is stored.
pub(super) fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(value).map_err(|error| StateError::NotStorable {
        what: what.to_owned(),
        why: error.to_string(),
    })
}

/// A stored value.
pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(bytes).map_err(|error| StateError::Unreadable {
        what: what.to_owned(),
        why: error.to_string(),
    })
}

/// A stored name of one of the typed sorts.
pub(super) fn name<T: std::str::FromStr<Err = mainstay_model::NameError>>(
    text: &str,
) -> Result<T, StateError> {
    text.parse().map_err(|error| StateError::Unreadable {
        what: format!("the name {text:?}"),
        why: format!("{error}"),
    })
}

/// All rows of two columns of text and bytes.
pub(super) fn pairs(c: &Connection, sql: &str) -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
    let mut rows = c.prepare_cached(sql)?;
    let found = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.collect()
}

/// All rows of text, text and bytes.
pub(super) fn triples(
    c: &Connection,
    sql: &str,
) -> rusqlite::Result<Vec<(String, String, Vec<u8>)>> {
    let mut rows = c.prepare_cached(sql)?;
    let found = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    found.collect()
}

pub(super) fn meta(c: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    c.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

pub(super) fn set_meta(c: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(rusqlite::params![key, value])
        .map(|_| ())
}
