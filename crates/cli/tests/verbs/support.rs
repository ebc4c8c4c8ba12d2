//! Runs the binary in a folder of its own and writes down what it said.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mainstay-")
            .tempdir()
            .unwrap();
        Self { folder }
    }

    /// A folder with the plan file that `mainstay init` writes.
    pub(crate) fn with_plan() -> Self {
        let desk = Self::empty();
        let said = desk.says(&["init"]);
        assert!(said.starts_with("exit 0"), "{said}");
        desk
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The plan file with one text replaced by another.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let path = self.path().join("mainstay.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from:?} is not in the plan file");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// Exit code, stdout and stderr, with what differs from run to run taken out.
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(args)
            .current_dir(self.path())
            .env_remove("MAINSTAY_PLAN")
            .env("MAINSTAY_USER", "tester")
            .env("NO_COLOR", "1")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut said = format!("exit {}\n", output.status.code().unwrap());
        for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            let text = String::from_utf8(bytes).unwrap();
            if !text.is_empty() {
                let said = &mut said;
                writeln!(said, "--- {name}\n{}", text.trim_end()).unwrap();
            }
        }
        let folder = self.path().to_string_lossy();
        let said = said.replace(folder.as_ref(), "[folder]");
        said.lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    }
}
