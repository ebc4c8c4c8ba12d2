//! Opens a repository as a plan file declares it: address, options, and the password behind its reference.
//! Must not know who needs it, or what for.

use std::{fs, io, sync::Arc};

use mainstay_model::{Repository as Declared, Secret};
use mainstay_storage::{Missing, Options, Storage, StorageError};
use serde::Deserialize as _;
use serde_json::Value;

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
    let storage = open_container(declared, missing)?;
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

/// Opens the container of a declared repository, whatever is in it. Blocks.
pub fn open_container(
    declared: &Declared,
    missing: IfMissing,
) -> Result<Arc<dyn Storage>, BackupError> {
    let mut options = Options::default().missing(match missing {
        IfMissing::Refuse => Missing::Refuse,
        IfMissing::Create => Missing::Make,
    });
    options =
        declared_options(&declared.options, options).map_err(|why| BackupError::Declared {
            url: declared.url.clone(),
            why,
        })?;
    match mainstay_storage::open(&declared.url, &options) {
        // A folder that is not there holds no repository.
        Err(StorageError::Open { source, .. })
            if missing == IfMissing::Refuse && source.kind() == io::ErrorKind::NotFound =>
        {
            Err(BackupError::NoRepository)
        }
        other => Ok(other?),
    }
}

/// Adds the options of a container as a plan file declares them, with the secrets behind their references. An error says
/// which one cannot be used, and no secret.
pub fn declared_options(declared: &Value, mut options: Options) -> Result<Options, String> {
    for (name, value) in declared.as_object().into_iter().flatten() {
        let failed = |why: String| format!("option {name}: {why}");
        options = match Secret::deserialize(value) {
            Ok(reference) => {
                let bytes = secret(&reference).map_err(failed)?;
                let text =
                    String::from_utf8(bytes).map_err(|_| failed("it is no text".to_owned()))?;
                options.with_secret(name, mainstay_storage::Secret::new(text))
            }
            Err(_) => match value {
                Value::String(text) => options.with(name, text),
                Value::Bool(_) | Value::Number(_) => options.with(name, value.to_string()),
                _ => {
                    return Err(failed(
                        "a text, a number or a reference is needed".to_owned(),
                    ));
                }
            },
        };
    }
    Ok(options)
}

/// The password of the repository.
fn password(declared: &Declared) -> Result<Vec<u8>, String> {
    let Some(reference) = &declared.password else {
        return Err("it declares no password: write password: { file: PATH }".to_owned());
    };
    let password = secret(reference).map_err(|why| format!("its password: {why}"))?;
    if password.is_empty() {
        return Err("its password is empty".to_owned());
    }
    Ok(password)
}

/// What a reference leads to, without the line end of a file.
fn secret(reference: &Secret) -> Result<Vec<u8>, String> {
    let missing = |why: String| format!("cannot read {reference:?}: {why}");
    let mut value = match reference {
        Secret::Env(name) => std::env::var(name)
            .map_err(|error| missing(error.to_string()))?
            .into_bytes(),
        Secret::File(path) => fs::read(path).map_err(|error| missing(error.to_string()))?,
    };
    while value
        .last()
        .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
    {
        value.pop();
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(url: &str, options: Value, password: Option<Secret>) -> Declared {
        Declared {
            url: url.to_owned(),
            domain: None,
            password,
            scrub: mainstay_model::Span::ZERO,
            mirrors: Vec::new(),
            options,
        }
    }

    #[test]
    fn what_is_not_there_is_made_only_when_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "sesame\n").unwrap();
        let reference = Secret::File(file.display().to_string());
        let url = format!("file:{}/repository", folder.path().display());
        let declared = declared(&url, Value::Null, Some(reference));
        let refused = open_declared(&declared, IfMissing::Refuse);
        assert!(matches!(refused, Err(BackupError::NoRepository)));
        let made = open_declared(&declared, IfMissing::Create).unwrap();
        let again = open_declared(&declared, IfMissing::Refuse).unwrap();
        assert_eq!(made.id(), again.id());
        fs::write(&file, "other").unwrap();
        let wrong = open_declared(&declared, IfMissing::Create);
        assert!(matches!(wrong, Err(BackupError::WrongPassword { .. })));
    }

    #[test]
    fn what_the_declaration_lacks_is_said_without_secrets() {
        let says = |declared: &Declared| {
            open_declared(declared, IfMissing::Create)
                .unwrap_err()
                .to_string()
        };
        let none = says(&declared("file:/nowhere", Value::Null, None));
        assert!(none.contains("declares no password"), "{none}");
        let missing = Secret::Env("MAINSTAY_TEST_IS_NOT_SET".to_owned());
        let unset = says(&declared("file:/nowhere", Value::Null, Some(missing)));
        assert!(unset.contains("MAINSTAY_TEST_IS_NOT_SET"), "{unset}");
        let odd = serde_json::json!({ "region": ["eu"] });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "sesame").unwrap();
        let password = Some(Secret::File(file.display().to_string()));
        let odd = says(&declared("s3://bucket/path", odd, password));
        assert!(odd.contains("option region"), "{odd}");
    }
}
