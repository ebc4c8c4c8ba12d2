//! Servers that tests start and that are no Debian packages: taken from npm and PyPI, each in a folder of its own below
//! the target folder. Nothing outside of that folder is changed.
//!
//! A folder is complete when its mark is in it, and the mark names the version: a new version makes it anew.

use std::path::Path;
use std::process::Command;

use crate::args::Install;
use crate::error::Error;
use crate::{process, say};

/// A server for tests.
#[derive(Debug, Clone, Copy)]
struct Tool {
    name: &'static str,
    /// Of the server and whatever is named beside it.
    version: &'static str,
    /// What is left out without it.
    tests: &'static str,
    /// `$1` is the folder, empty at first.
    install: &'static str,
}

const TOOLS: [Tool; 2] = [
    Tool {
        name: "moto",
        version: "5.2.5 flask 3.1.2",
        tests: "containers and repositories on S3",
        install: r#"
            python3 -m venv "$1"
            "$1/bin/pip" install --quiet --disable-pip-version-check \
                'moto[s3]==5.2.5' 'flask==3.1.2' 'flask-cors==6.0.1'
        "#,
    },
    Tool {
        name: "azurite",
        // The last one for Node.js 20; no script of any package is run.
        version: "3.35.0",
        tests: "containers and repositories on Azure Blob",
        install: r#"
            npm install --prefix "$1" --no-audit --no-fund --loglevel=error --ignore-scripts azurite@3.35.0
        "#,
    },
];

/// Installs what is missing, where it may, and says what is still missing.
pub(super) fn provide(target: &Path, install: Install) -> Result<(), Error> {
    let folder = target.join("tools");
    for tool in TOOLS {
        let mut why = "it is not installed".to_owned();
        if !tool.is_in(&folder) && install == Install::Packages {
            say::line(&format!("installing {} {}", tool.name, tool.version));
            if let Some(failure) = tool.put(&folder)? {
                why = failure;
            }
        }
        if !tool.is_in(&folder) {
            let Tool { name, tests, .. } = tool;
            say::line(&format!("missing: {name} ({why}); left out: {tests}"));
        }
    }
    Ok(())
}

impl Tool {
    fn is_in(self, folder: &Path) -> bool {
        let mark = std::fs::read_to_string(folder.join(self.name).join("installed"));
        mark.is_ok_and(|version| version == self.version)
    }

    /// Installs it, and answers why that did not work.
    fn put(self, folder: &Path) -> Result<Option<String>, Error> {
        let place = folder.join(self.name);
        let write = |source| Error::Write {
            path: place.clone(),
            source,
        };
        match std::fs::remove_dir_all(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(write(error)),
            _ => std::fs::create_dir_all(&place).map_err(write)?,
        }
        let mut command = Command::new("sh");
        command.args(["-euc", self.install, "install"]).arg(&place);
        let output = process::capture(&mut command)?;
        if output.status.success() {
            std::fs::write(place.join("installed"), self.version).map_err(write)?;
            return Ok(None);
        }
        // Half of it would be taken for all of it by those who look for its program.
        std::fs::remove_dir_all(&place).map_err(write)?;
        Ok(Some(process::last_words(&output, 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Tool = Tool {
        name: "server",
        version: "2",
        tests: "none",
        install: r#"touch "$1/program""#,
    };

    #[test]
    fn a_tool_is_there_when_all_of_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!TOOL.is_in(folder.path()));
        assert_eq!(TOOL.put(folder.path()).unwrap(), None);
        assert!(TOOL.is_in(folder.path()));
        let newer = Tool {
            version: "3",
            ..TOOL
        };
        assert!(!newer.is_in(folder.path()));
    }

    #[test]
    fn half_a_tool_goes_away_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let broken = Tool {
            install: r#"touch "$1/program"; echo no network >&2; false"#,
            ..TOOL
        };
        let why = broken.put(folder.path()).unwrap();
        assert_eq!(why.as_deref(), Some("no network"));
        assert!(!folder.path().join("server").exists());
    }
}
