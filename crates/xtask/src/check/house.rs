//! What the checks look at: the workspace's metadata and its source files, read once.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::metadata::Metadata;

/// The workspace as it lies on disk.
pub(crate) struct House {
    pub(crate) root: PathBuf,
    pub(crate) metadata: Metadata,
    pub(crate) sources: Vec<Source>,
}

/// One Rust file.
pub(crate) struct Source {
    /// Relative to the root.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl House {
    /// Reads metadata and every `.rs` file under the root.
    pub(crate) fn read(root: &Path) -> Result<Self, Error> {
        let mut sources = Vec::new();
        collect(root, root, &mut sources)?;
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            root: root.to_path_buf(),
            metadata: Metadata::read(root)?,
            sources,
        })
    }
}

/// Walks down, leaving out build output and hidden folders.
fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<(), Error> {
    let read = |source| Error::Read {
        path: folder.to_path_buf(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(root, &path, sources)?;
            }
        } else if kind.is_file() && path.extension().is_some_and(|ending| ending == "rs") {
            sources.push(Source {
                path: path.strip_prefix(root).unwrap_or(&path).to_path_buf(),
                text: read_text(&path)?,
            });
        }
    }
    Ok(())
}

/// A file as text.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })
}
