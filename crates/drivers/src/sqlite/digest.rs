//! The position of a database: SHA-256 over what an application can read in it. Equal on a sealed source and on
//! its copy, although their marks and seals differ; page layout and free pages do not count.
//! Must not know marks beyond their names, which it leaves out.

use rusqlite::{Connection, types::ValueRef};
use sha2::{Digest as _, Sha256};

use super::mark::{quoted, user_tables};

/// Begins every digest; a change of what is hashed changes it.
const DOMAIN: &[u8] = b"mainstay sqlite content 1\0";

/// Digests the content. The caller holds a read transaction where the database may change meanwhile.
pub(super) fn digest(db: &Connection) -> rusqlite::Result<String> {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    for pragma in ["user_version", "application_id", "encoding"] {
        let sql = format!("SELECT * FROM pragma_{pragma}");
        rows(db, &mut hash, &sql)?;
    }
    rows(db, &mut hash, SCHEMA)?;
    for table in user_tables(db)? {
        text(&mut hash, b'n', table.as_bytes());
        let order = order(db, &table)?;
        let sql = format!("SELECT * FROM {} ORDER BY {order}", quoted(&table));
        rows(db, &mut hash, &sql)?;
    }
    let sequences = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'";
    if db.prepare(sequences)?.exists([])? {
        let sql = "SELECT name, seq FROM sqlite_sequence
                   WHERE name NOT LIKE 'mainstay\\_%' ESCAPE '\\' ORDER BY name";
        rows(db, &mut hash, sql)?;
    }
    Ok(hex::encode(hash.finalize()))
}

const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM sqlite_schema
  WHERE name NOT LIKE 'mainstay\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  ORDER BY type, name";

/// The order of a table's rows: by rowid, which a backup keeps, else by primary key, else by every column.
fn order(db: &Connection, table: &str) -> rusqlite::Result<String> {
    let sql = "SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid";
    let columns: Vec<(String, i64)> = db
        .prepare(sql)?
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|name| {
        !columns
            .iter()
            .any(|(column, _)| column.eq_ignore_ascii_case(name))
    });
    if let Some(rowid) = rowid {
        let sql = format!("SELECT {rowid} FROM {} LIMIT 0", quoted(table));
        if db.prepare(&sql).is_ok() {
            return Ok(rowid.to_owned());
        }
    }
    let mut keys: Vec<&(String, i64)> = columns.iter().filter(|(_, key)| *key > 0).collect();
    keys.sort_by_key(|(_, key)| *key);
    if keys.is_empty() {
        keys = columns.iter().collect();
    }
    let names: Vec<String> = keys.iter().map(|(name, _)| quoted(name)).collect();
    Ok(names.join(", "))
}

/// Hashes each row with its types and lengths, so that no two contents look alike.
fn rows(db: &Connection, hash: &mut Sha256, sql: &str) -> rusqlite::Result<()> {
    let mut statement = db.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        hash.update(b"r");
        for column in 0..columns {
            match row.get_ref(column)? {
                ValueRef::Null => hash.update(b"0"),
                ValueRef::Integer(value) => {
                    hash.update(b"i");
                    hash.update(value.to_be_bytes());
                }
                ValueRef::Real(value) => {
                    hash.update(b"f");
                    hash.update(value.to_bits().to_be_bytes());
                }
                ValueRef::Text(value) => text(hash, b't', value),
                ValueRef::Blob(value) => text(hash, b'b', value),
            }
        }
    }
    hash.update(b"e");
    Ok(())
}

fn text(hash: &mut Sha256, kind: u8, value: &[u8]) {
    hash.update([kind]);
    hash.update((value.len() as u64).to_be_bytes());
    hash.update(value);
}
