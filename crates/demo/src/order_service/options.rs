//! What an order service is told when it starts. Plain values; nothing here opens anything.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::PartError;

/// How to run one replica of the order service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The site this replica belongs to; writes need a mark that names it as the owner.
    pub site: String,
    /// This replica's own name, shown in answers and used as the lease's holder.
    pub replica: String,
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The database of this site.
    pub database: DatabaseUrl,
    /// The folder of attachments of this site.
    pub files: PathBuf,
    /// The lease that writes need; without it, the mark alone decides.
    pub lease: Option<LeaseOptions>,
    /// How many tenants exist, named `t01`, `t02` and so on.
    pub tenants: u16,
}

/// Where the lease on writing comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseOptions {
    /// The grantor's base URL.
    pub url: String,
    /// The store's name at the grantor.
    pub store: String,
}

/// A database by its URL: `sqlite:PATH`, or `postgres:` followed by a URL or by `key=value` pairs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DatabaseUrl {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL connection string.
    Postgres(String),
}

impl DatabaseUrl {
    /// The same database, with the password of the user that it names.
    #[must_use]
    pub fn with_password(self, password: &str) -> Self {
        match self {
            Self::Postgres(url) => Self::Postgres(match url.split_once('@') {
                Some((user, rest)) => format!("{user}:{password}@{rest}"),
                None => format!("{url} password={password}"),
            }),
            other @ Self::Sqlite(_) => other,
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        let wrong = |why: &str| PartError::Option {
            option: "database",
            why: why.to_owned(),
        };
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(wrong("sqlite: needs a path")),
                _ => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("postgres:") {
            Some(rest) if !rest.is_empty() => Ok(Self::Postgres(rest.to_owned())),
            _ => Err(wrong("write sqlite:PATH or postgres:URL")),
        }
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = PartError;

    fn try_from(text: String) -> Result<Self, PartError> {
        text.parse()
    }
}

impl From<DatabaseUrl> for String {
    fn from(url: DatabaseUrl) -> Self {
        match url {
            DatabaseUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
            DatabaseUrl::Postgres(url) => format!("postgres:{url}"),
        }
    }
}

/// Leaves a connection string out: it may hold a password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(out, "sqlite:{}", path.display()),
            Self::Postgres(_) => out.write_str("postgres:(hidden)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_urls_survive_a_round_trip_and_hide_passwords() {
        for text in ["sqlite:/a/b.db", "postgres:postgres://u:p@127.0.0.1:5432/x"] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(String::from(url.clone()), text);
            assert!(!format!("{url:?}").contains("u:p"));
        }
        let direct: DatabaseUrl = "postgres://h/x".parse().unwrap();
        assert_eq!(direct, DatabaseUrl::Postgres("postgres://h/x".to_owned()));
        for bad in ["", "sqlite:", "mysql:x", "postgres:"] {
            assert_eq!(
                bad.parse::<DatabaseUrl>().unwrap_err().code(),
                "demo-option",
                "{bad}"
            );
        }
    }
}
