//! What is known of a world, in `world.json`: where it is, what it was started with, which processes.
//! Must not know how a process is started.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::addresses::Addresses;
use super::process::Identity;
use super::site::Site;
use crate::error::PartError;
use crate::order_service::DatabaseUrl;

/// The version of the stored form.
const VERSION: u32 = 1;
const NAME: &str = "world.json";

/// How many tenants the order service has.
pub(crate) const TENANTS: u16 = 50;

/// What the order service runs on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Database {
    /// One file at each site.
    #[default]
    Sqlite,
    /// A real cluster at each site, with streaming replication.
    Postgres,
}

impl fmt::Display for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

impl FromStr for Database {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        match text {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            _ => Err(PartError::Option {
                option: "database",
                why: "write sqlite or postgres".to_owned(),
            }),
        }
    }
}

/// Whose password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password {
    /// Mainstay's own role.
    Mainstay,
    /// The role that the other site copies with.
    Copier,
    /// The application's role.
    Orders,
}

impl Password {
    pub(super) const ALL: [Self; 3] = [Self::Mainstay, Self::Copier, Self::Orders];

    /// The role's name.
    pub(super) fn role(self) -> &'static str {
        match self {
            Self::Mainstay => "mainstay",
            Self::Copier => "copier",
            Self::Orders => "orders",
        }
    }
}

/// A process that the world was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// What it is: `agent`, `dns`, `load`, `serve`.
    pub part: String,
    /// Where it runs; the load generator is at no site.
    pub site: Option<Site>,
    /// The process.
    pub process: Identity,
}

impl Started {
    /// Its name in logs and messages.
    #[must_use]
    pub fn name(&self) -> String {
        Self::name_of(&self.part, self.site)
    }

    pub(super) fn name_of(part: &str, site: Option<Site>) -> String {
        match site {
            Some(site) if part == "agent" => format!("{part}-{site}"),
            _ => part.to_owned(),
        }
    }
}

/// A world, as kept in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    version: u32,
    /// Stands in the environment of every process of this world, and of no other.
    pub token: String,
    /// The program that all of them run.
    pub program: PathBuf,
    /// The world's folder.
    pub dir: PathBuf,
    /// What the order service runs on.
    pub database: Database,
    /// Where everything listens.
    pub addresses: Addresses,
    /// The processes that were started, newest last. Those of the agents' own are not among them.
    pub started: Vec<Started>,
}

impl World {
    pub(super) fn new(
        token: String,
        program: PathBuf,
        dir: PathBuf,
        database: Database,
        addresses: Addresses,
    ) -> Self {
        Self {
            version: VERSION,
            token,
            program,
            dir,
            database,
            addresses,
            started: Vec::new(),
        }
    }

    /// The world in a folder.
    pub fn open(dir: &Path) -> Result<Self, PartError> {
        let path = dir.join(NAME);
        let bytes = std::fs::read(&path).map_err(PartError::file("read", &path))?;
        let content = |why: String| PartError::Content {
            path: path.clone(),
            why,
        };
        let world: Self =
            serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
        if world.version == VERSION {
            Ok(world)
        } else {
            Err(content(format!("its version is {}", world.version)))
        }
    }

    /// Whether a folder holds a world already.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        dir.join(NAME).exists()
    }

    pub(super) fn save(&self) -> Result<(), PartError> {
        let path = self.dir.join(NAME);
        let young = path.with_extension("young");
        let failed = |error| PartError::file("write", &path)(error);
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        std::fs::write(&young, bytes).map_err(failed)?;
        std::fs::rename(&young, &path).map_err(failed)
    }

    /// The plan file.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.dir.join("mainstay.yaml")
    }

    /// A site's folder.
    #[must_use]
    pub fn folder(&self, site: Site) -> PathBuf {
        self.dir.join(site.name())
    }

    /// A site's attachments.
    #[must_use]
    pub fn files(&self, site: Site) -> PathBuf {
        self.folder(site).join("files")
    }

    /// The database of a site, as the order service uses it.
    pub fn database_url(&self, site: Site) -> Result<DatabaseUrl, PartError> {
        Ok(match self.database {
            Database::Sqlite => DatabaseUrl::Sqlite(self.folder(site).join("orders.db")),
            Database::Postgres => DatabaseUrl::Postgres(self.postgres_url(site))
                .with_password(&self.password(Password::Orders)?),
        })
    }

    /// The application's database on a cluster, without its password.
    pub(super) fn postgres_url(&self, site: Site) -> String {
        format!("postgres://orders@{}/orders", self.addresses.database(site))
    }

    /// The file of a password.
    pub(super) fn password_file(&self, which: Password) -> PathBuf {
        self.dir
            .join("keys")
            .join(format!("{}.password", which.role()))
    }

    /// A password of the database clusters.
    pub fn password(&self, which: Password) -> Result<String, PartError> {
        let path = self.password_file(which);
        std::fs::read_to_string(&path).map_err(PartError::file("read", &path))
    }

    /// The data folder of a site's database cluster, if it has one.
    #[must_use]
    pub fn cluster(&self, site: Site) -> PathBuf {
        self.folder(site).join("postgres").join("data")
    }

    /// The list of every write that was acknowledged to a client.
    #[must_use]
    pub fn acks(&self) -> PathBuf {
        self.dir.join("acks.jsonl")
    }

    /// A site's list of what its scheduler did.
    #[must_use]
    pub fn ticks(&self, site: Site) -> PathBuf {
        self.folder(site).join("ticks.jsonl")
    }

    /// The folder of all output of what this world started.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// The folder in which Mainstay keeps its own state.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.join(".mainstay")
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.folder(Site::Witness).join("mover.key")
    }
}
