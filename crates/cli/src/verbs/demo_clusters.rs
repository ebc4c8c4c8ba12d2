//! Makes the demo's database clusters, with what Mainstay knows about PostgreSQL.
//! Must not know what happens to them.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use async_trait::async_trait;
use mainstay_demo::{
    PartError,
    world::{self, Site, World},
};
use mainstay_drivers::postgres::cluster::{self, ClusterSpec, Role};
use mainstay_model::{Epoch, SiteId};

/// The demo's clusters.
pub(crate) struct Clusters;

#[async_trait]
impl world::Clusters for Clusters {
    async fn make(&self, world: &World) -> Result<(), PartError> {
        cluster::available().await.map_err(database)?;
        // PostgreSQL refuses root: when we are root, its own user has to get through to its folder.
        let mode = fs::metadata(&world.dir).map(|meta| meta.permissions().mode() | 0o011);
        let opened =
            mode.and_then(|mode| fs::set_permissions(&world.dir, fs::Permissions::from_mode(mode)));
        opened.map_err(file("open", &world.dir))?;
        // A standby has its primary's roles, so both sites have the same passwords.
        let (mainstay, copier) = (random()?, random()?);
        for site in Site::DATA {
            for (name, secret) in [
                ("mainstay", &mainstay),
                ("copier", &copier),
                ("orders", &world.token),
            ] {
                let path = world.folder(site).join(format!("{name}.password"));
                keep(&path, secret).map_err(file("write", &path))?;
            }
        }
        let spec = |site| spec(world, site, &mainstay, &copier);
        let (prod, dr) = (spec(Site::Prod), spec(Site::Dr));
        let id = |site: Site| SiteId::new(site.name()).map_err(database);
        cluster::create_primary(&prod, &id(Site::Prod)?, Epoch(1))
            .await
            .map_err(database)?;
        cluster::create_standby(&dr, &prod, &id(Site::Dr)?)
            .await
            .map_err(database)
    }
}

fn database(what: impl std::fmt::Display) -> PartError {
    PartError::Database(what.to_string())
}

fn spec(world: &World, site: Site, mainstay: &str, copier: &str) -> ClusterSpec {
    let role = |name: &str, password: &str| Role {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    let address = world.addresses.database(site);
    ClusterSpec {
        data: world.cluster(site),
        host: address.ip().to_string(),
        port: address.port(),
        database: "orders".to_owned(),
        bin: None,
        run_as: None,
        mainstay: role("mainstay", mainstay),
        replication: role("copier", copier),
        apps: vec![role("orders", &world.token)],
    }
}

fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PartError + 'a {
    move |source| PartError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// A password that nobody has to type.
fn random() -> Result<String, PartError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 24];
    fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(file("read", source))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn keep(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(secret.as_bytes())
}
