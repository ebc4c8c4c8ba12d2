//! Opens a repository as a plan file declares it: address, options, and the password behind its reference.
//! Must not know who needs it, or what for.

use std::{fs, path::Path, sync::Arc};

use mainstay_model::{Repository as Declared, Secret};
use mainstay_storage::{Local, Storage};

use crate::{BackupError, Format, Repository};

/// What happens if nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// It is an error: whoever reads expects something to read.
    Refuse,
    /// A new one is made, in a place where nothing else is.
    Create,
}

/// Opens a declared repository. Blocks.
pub fn open_declared(declared: &Declared, missing: IfMissing) -> Result<Repository, BackupError> {
    let failed = |why: String| BackupError::Declared {
        url: declared.url.clone(),
        why,
    };
    let password = password(declared).map_err(failed)?;
    let storage = storage(declared, missing)?;
    match Repository::open(Arc::clone(&storage), &password) {
        Err(BackupError::NoRepository) if missing == IfMissing::Create => {
            match Repository::init(Arc::clone(&storage), &password, Format::V2) {
                // Somebody was faster.
                Err(BackupError::RepositoryExists) => Repository::open(storage, &password),
                other => other,
            }
        }
        other => other,
    }
}

fn storage(declared: &Declared, missing: IfMissing) -> Result<Arc<dyn Storage>, BackupError> {
    let failed = |why: String| BackupError::Declared {
        url: declared.url.clone(),
        why,
    };
    let folder = declared.url.strip_prefix("file:");
    let folder = folder.ok_or_else(|| failed("only file: is known".to_owned()))?;
    if missing == IfMissing::Create {
        return Ok(Arc::new(Local::create(Path::new(folder))?));
    }
    if !Path::new(folder).exists() {
        return Err(BackupError::NoRepository);
    }
    Ok(Arc::new(Local::open(Path::new(folder))?))
}

/// The password, without the line end of its file.
fn password(declared: &Declared) -> Result<Vec<u8>, String> {
    let Some(reference) = &declared.password else {
        return Err("it declares no password: write password: { file: PATH }".to_owned());
    };
    let missing = |why: String| format!("cannot read its password {reference:?}: {why}");
    let mut password = match reference {
        Secret::Env(name) => std::env::var(name)
            .map_err(|error| missing(error.to_string()))?
            .into_bytes(),
        Secret::File(path) => fs::read(path).map_err(|error| missing(error.to_string()))?,
    };
    while password
        .last()
        .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
    {
        password.pop();
    }
    if password.is_empty() {
        return Err(missing("it is empty".to_owned()));
    }
    Ok(password)
}
