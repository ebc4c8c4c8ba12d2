//! Attachments on disk: durable before the row that names them, and never outside their folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::ids::{OrderId, Tenant};

/// The folder for files that are still being written. Copiers may leave it out.
const INCOMING: &str = ".incoming";

/// What a row records about its attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The path within the attachments' folder.
    pub(crate) path: String,
    /// SHA-256 of the bytes, in lower-case hexadecimal.
    pub(crate) sha256: String,
    /// Length in bytes.
    pub(crate) bytes: u64,
}

/// Writes attachments for one replica.
#[derive(Debug)]
pub(crate) struct AttachmentStore {
    root: PathBuf,
    replica: String,
    counter: AtomicU64,
}

impl AttachmentStore {
    /// A store under `root`. Nothing is created until the first write.
    pub(crate) fn new(root: PathBuf, replica: &str) -> Self {
        // The replica's name becomes part of a file name.
        let replica = replica
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        Self {
            root,
            replica,
            counter: AtomicU64::new(0),
        }
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes `bytes` durably: temporary file, sync, rename, sync of the folder.
    ///
    /// The content is part of the name, so a second request with the same id and other content
    /// cannot replace what an earlier acknowledgement promised.
    pub(crate) fn put(
        &self,
        tenant: &Tenant,
        id: &OrderId,
        bytes: &[u8],
    ) -> io::Result<Attachment> {
        let sha256 = hex::encode(Sha256::digest(bytes));
        let short = sha256.get(..16).unwrap_or_default();
        let path = format!("{tenant}/{id}.{short}");
        let folder = self.root.join(tenant.as_str());
        let incoming = self.root.join(INCOMING);
        make_folder(&self.root, &folder)?;
        make_folder(&self.root, &incoming)?;

        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let temporary = incoming.join(format!("{}-{}-{number}", self.replica, std::process::id()));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.root.join(&path))?;
        File::open(&folder)?.sync_all()?;
        Ok(Attachment {
            path,
            sha256,
            bytes: bytes.len() as u64,
        })
    }

    /// Removes what an earlier life of this replica left unfinished. Only for the owner of the
    /// store: elsewhere the tree belongs to whoever copies it.
    pub(crate) fn remove_leftovers(&self) -> io::Result<()> {
        let entries = match fs::read_dir(self.root.join(INCOMING)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let own = format!("{}-", self.replica);
        let living = format!("{}-{}-", self.replica, std::process::id());
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&own) && !name.starts_with(&living) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Creates `folder` below `root` and makes its name durable.
fn make_folder(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    File::open(root)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_under_the_same_id_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = AttachmentStore::new(folder.path().to_path_buf(), "r-1");
        let (tenant, id) = (
            Tenant::try_from("t01").unwrap(),
            OrderId::try_from("o1").unwrap(),
        );
        let first = store.put(&tenant, &id, b"first").unwrap();
        let second = store.put(&tenant, &id, b"second").unwrap();
        assert_ne!(first.path, second.path);
        assert_eq!(fs::read(folder.path().join(&first.path)).unwrap(), b"first");
        assert_eq!(store.put(&tenant, &id, b"first").unwrap(), first);
    }

    #[test]
    fn leftovers_of_an_earlier_life_go_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = folder.path().join(INCOMING);
        fs::create_dir_all(&incoming).unwrap();
        for name in ["r1-1-0", "r2-1-0"] {
            fs::write(incoming.join(name), b"half").unwrap();
        }
        AttachmentStore::new(folder.path().to_path_buf(), "r1")
            .remove_leftovers()
            .unwrap();
        assert!(!incoming.join("r1-1-0").exists());
        assert!(incoming.join("r2-1-0").exists());
    }
}
