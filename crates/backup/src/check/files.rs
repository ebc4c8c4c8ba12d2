//! Files that are named after their hash, and `config`: whether they are what they should be.
//! Must not know what is in them.

use mainstay_storage::{ObjectName, Part, StorageError};

use super::run::Found;
use crate::{BackupError, FileKind, Id, Repository, layout};

/// Looks at what opens the repository: `config` and the keys. Who has it open already needs neither, and would not
/// notice.
pub(super) fn openers(repository: &Repository, found: &mut Found) -> Result<(), BackupError> {
    let mut names = vec![layout::config()?];
    for (id, _) in repository.list(FileKind::Key)? {
        names.push(FileKind::Key.name(id)?);
    }
    if names.len() == 1 {
        found.damage("keys", "there is none");
    }
    for name in names {
        if let Err(error) = whole(repository, &name) {
            found.damage(name, error);
        }
    }
    Ok(())
}

/// Reads a file whole and proves it by its name.
pub(crate) fn whole(repository: &Repository, name: &ObjectName) -> Result<Vec<u8>, BackupError> {
    let mut bytes = Vec::new();
    repository.storage().read(name, Part::Whole, &mut bytes)?;
    let right = if *name == layout::config()? {
        repository.proves_config(&bytes)
    } else {
        name.last().parse() == Ok(Id::of(&bytes))
    };
    if right {
        Ok(bytes)
    } else {
        Err(BackupError::Damaged {
            name: name.clone(),
            how: "its content is not what its name says".to_owned(),
        })
    }
}

/// Whether what was asked for is surely not to be had from there.
pub(crate) fn is_gone(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Absent { .. } | StorageError::Short { .. }
    ) || is_bad_medium(error)
}

/// What a disk answers for a place that it cannot read any more.
const EIO: i32 = 5;

/// Whether it is the medium itself that cannot be read there any more.
fn is_bad_medium(error: &StorageError) -> bool {
    matches!(error, StorageError::Read { source, .. } if source.raw_os_error() == Some(EIO))
}
