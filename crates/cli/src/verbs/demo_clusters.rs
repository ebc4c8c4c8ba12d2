//! Makes the demo's database clusters, with what Mainstay knows about PostgreSQL.
//! Must not know what happens to them.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path};

use async_trait::async_trait;
use mainstay_demo::{
    PartError,
    world::{self, Password, Site, World},
};
use mainstay_drivers::postgres::cluster::{self, ClusterSpec, Role};
use mainstay_model::{Epoch, SiteId};

/// The demo's clusters.
pub(crate) struct Clusters;

#[async_trait(?Send)]
impl world::Clusters for Clusters {
    async fn available(&self) -> Result<(), PartError> {
        let available = cluster::available().await;
        available.map_err(|cause| {
            PartError::Missing(match cause.code.as_str() {
                // Its advice is for plan files.
                "postgres-programs-missing" => "PostgreSQL's programs were not found".to_owned(),
                _ => cause.what,
            })
        })
    }

    async fn make(&self, world: &World) -> Result<(), PartError> {
        let (prod, dr) = (spec(world, Site::Prod)?, spec(world, Site::Dr)?);
        for site in Site::DATA {
            let data = world.cluster(site);
            reachable(world, &data)?;
        }
        cluster::create_primary(&prod, &name(Site::Prod)?, Epoch(1))
            .await
            .map_err(failed)?;
        cluster::create_standby(&dr, &prod, &name(Site::Dr)?)
            .await
            .map_err(failed)
    }
}

fn failed(cause: impl std::fmt::Display) -> PartError {
    PartError::Database(cause.to_string())
}

fn name(site: Site) -> Result<SiteId, PartError> {
    SiteId::new(site.name()).map_err(failed)
}

fn spec(world: &World, site: Site) -> Result<ClusterSpec, PartError> {
    let role = |name: &str, password| {
        let password = world.password(password)?;
        let name = name.to_owned();
        Ok::<_, PartError>(Role { name, password })
    };
    let at = world.addresses.database(site);
    Ok(ClusterSpec {
        data: world.cluster(site),
        host: at.ip().to_string(),
        port: at.port(),
        database: "orders".to_owned(),
        bin: None,
        run_as: None,
        mainstay: role("mainstay", Password::Mainstay)?,
        replication: role("copier", Password::Copier)?,
        apps: vec![role("orders", Password::Orders)?],
    })
}

/// PostgreSQL does not run as root: its own user must be able to walk down to the data folder, and sees nothing else.
fn reachable(world: &World, data: &Path) -> Result<(), PartError> {
    let above = data
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(&world.dir));
    for folder in above {
        let open = || {
            std::fs::create_dir_all(folder)?;
            std::fs::set_permissions(folder, Permissions::from_mode(0o711))
        };
        open().map_err(|source| PartError::File {
            doing: "open",
            path: folder.to_path_buf(),
            source,
        })?;
    }
    Ok(())
}
