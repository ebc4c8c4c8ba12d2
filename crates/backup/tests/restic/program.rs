//! Stock restic, the judge of what is written here.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The password of every repository in tests.
pub(crate) const PASSWORD: &str = "correct horse";

/// restic on one repository.
pub(crate) struct Restic {
    repository: PathBuf,
}

impl Restic {
    /// Finds it; `None`, with a printed line, when it is not installed.
    pub(crate) fn on(repository: &Path) -> Option<Self> {
        if Command::new("restic").arg("version").output().is_err() {
            println!("skipped: restic is not installed (Debian: restic)");
            return None;
        }
        Some(Self {
            repository: repository.to_path_buf(),
        })
    }

    /// Runs it, whatever comes of it.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Output {
        Command::new("restic")
            .args(["--no-cache", "--repo"])
            .arg(&self.repository)
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env_remove("RESTIC_REPOSITORY")
            .output()
            .unwrap()
    }

    /// Runs it and returns what it printed; it must end well.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}{errors}");
        text
    }

    /// Lets it check everything, down to every byte.
    pub(crate) fn check(&self) {
        let text = self.run(&["check", "--read-data"]);
        assert!(text.contains("no errors were found"), "{text}");
    }
}
