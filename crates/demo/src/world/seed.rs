//! What lies in a world's folder before anything runs: sites' folders, the name server's key, the plan file, the
//! application's empty database. Must not know processes.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::plan;
use super::record::{Database, Password, TENANTS, World};
use super::site::Site;
use crate::error::PartError;
use crate::order_service;

/// Makes the folders and files.
pub(super) fn files(world: &World) -> Result<(), PartError> {
    let folders = Site::ALL.map(|site| world.folder(site));
    let files = Site::DATA.map(|site| world.files(site));
    for folder in folders.iter().chain(&files).chain([&world.logs()]) {
        fs::create_dir_all(folder).map_err(PartError::file("create", folder))?;
    }
    secret(&world.key_file())?;
    let keys = world.dir.join("keys");
    fs::create_dir_all(&keys).map_err(PartError::file("create", &keys))?;
    secret(&keys.join("offsite.password"))?;
    if world.database == Database::Postgres {
        passwords(world)?;
    }
    let path = world.plan();
    fs::write(&path, plan::text(world)).map_err(PartError::file("write", &path))
}

/// Roles are replicated with everything else: both clusters have the same passwords.
fn passwords(world: &World) -> Result<(), PartError> {
    for which in Password::ALL {
        let path = world.password_file(which);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(PartError::file("create", folder))?;
        }
        let random = random().map_err(PartError::file("make", &path))?;
        write_secret(&path, &hex::encode(random)).map_err(PartError::file("write", &path))?;
    }
    Ok(())
}

/// Gives the application its tables, at its home.
pub(super) async fn database(world: &World) -> Result<(), PartError> {
    order_service::init(&world.database_url(Site::Prod)?, TENANTS).await
}

/// Writes a fresh key that only this user may read.
fn secret(path: &Path) -> Result<(), PartError> {
    let make = || write_secret(path, &BASE64.encode(random()?));
    make().map_err(PartError::file("write", path))
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}
