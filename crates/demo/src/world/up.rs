//! Brings a world up: folders, plan file, processes in the order in which they need each other.
//! Must not know what is done with it afterwards.

use std::path::PathBuf;

use async_trait::async_trait;

use super::addresses::Addresses;
use super::record::{Database, World};
use super::seed;
use super::site::Site;
use crate::error::PartError;

/// Whether somebody watches the sites and acts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// `mainstay serve` runs at the witness.
    On,
    /// Nobody does.
    Off,
}

/// How a world is brought up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder; created.
    pub dir: PathBuf,
    /// The `mainstay` program.
    pub program: PathBuf,
    /// What the order service runs on.
    pub database: Database,
    /// Whether somebody watches.
    pub watch: Watch,
}

/// Makes the sites' database clusters; whoever knows PostgreSQL does it.
#[async_trait(?Send)]
pub trait Clusters: Sync {
    /// Whether PostgreSQL's programs are there.
    async fn available(&self) -> Result<(), PartError>;

    /// Makes and starts a primary at prod and a standby at dr.
    async fn make(&self, world: &World) -> Result<(), PartError>;
}

impl World {
    /// Brings a world up and tells `say` about it. After a failure, what was started is stopped again; the folder stays.
    pub async fn up(
        options: Options,
        clusters: &dyn Clusters,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, PartError> {
        let dir =
            std::path::absolute(&options.dir).map_err(PartError::file("find", &options.dir))?;
        if Self::exists(&dir) {
            return Err(PartError::Option {
                option: "dir",
                why: format!("{} holds a world already", dir.display()),
            });
        }
        if options.database == Database::Postgres {
            clusters.available().await?;
        }
        std::fs::create_dir_all(&dir).map_err(PartError::file("create", &dir))?;
        let addresses = Addresses::free()?;
        let token = token()?;
        let mut world = Self::new(token, options.program, dir, options.database, addresses);
        world.save()?;
        match world.bring_up(options.watch, clusters, say).await {
            Ok(()) => Ok(world),
            Err(error) => {
                world.down()?;
                Err(error)
            }
        }
    }

    async fn bring_up(
        &mut self,
        watch: Watch,
        clusters: &dyn Clusters,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(), PartError> {
        seed::files(self)?;
        if self.database == Database::Postgres {
            say("making two PostgreSQL clusters, one at each site");
            clusters.make(self).await?;
        }
        say("starting the name server and the agents of witness, prod and dr");
        self.start_dns()?;
        for site in [Site::Witness, Site::Prod, Site::Dr] {
            self.start_agent(site)?;
        }
        self.answers("dns", self.addresses.dns()).await?;
        for site in Site::ALL {
            self.agent_answers(site).await?;
        }
        seed::database(self).await?;
        say("mainstay adopt: taking the system on, at prod");
        self.do_verb(&["adopt", "--yes"]).await?;
        self.start_load()?;
        if watch == Watch::On {
            self.start_watch()?;
        }
        Ok(())
    }
}

fn token() -> Result<String, PartError> {
    let path = "/proc/sys/kernel/random/uuid";
    let text = std::fs::read_to_string(path).map_err(PartError::file("read", path))?;
    Ok(text.trim().to_owned())
}
