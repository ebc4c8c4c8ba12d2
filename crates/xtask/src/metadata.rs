//! What `cargo metadata` says about the workspace: the few fields that the checks read.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::process;

/// Packages, and how they depend on each other.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) resolve: Resolve,
    /// Where everything that is built goes.
    #[serde(default)]
    pub(crate) target_directory: PathBuf,
}

/// One package, of the workspace or from the registry.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Where it comes from; none for a path dependency.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// A dependency as a manifest declares it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// None for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// Something that a package builds: a library, a program, an example, a test.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

/// The resolved graph.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

/// One package in the resolved graph.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Edge>,
}

/// An edge of the resolved graph.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Edge {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<EdgeKind>,
}

/// How an edge is used: none for a normal dependency.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct EdgeKind {
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Asks cargo, for the machine that runs xtask and with the lock file as it is.
    pub(crate) fn read(root: &Path) -> Result<Self, Error> {
        let mut command = process::cargo(root);
        command.args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
        ]);
        command.arg(host(root)?);
        let output = process::capture(&mut command)?;
        if !output.status.success() {
            return Err(Error::Metadata(process::last_words(&output, 5)));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| Error::Metadata(error.to_string()))
    }

    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Whether a member of the workspace builds a target of this kind and name.
    pub(crate) fn builds(&self, package: &str, kind: &str, target: &str) -> bool {
        self.members()
            .filter(|member| member.name == package)
            .any(|member| {
                member.targets.iter().any(|built| {
                    built.name == target && built.kind.iter().any(|has| has.as_str() == kind)
                })
            })
    }
}

/// The target triple that rustc compiles for here.
fn host(root: &Path) -> Result<String, Error> {
    let mut command = std::process::Command::new("rustc");
    let output = process::capture(command.arg("-vV").current_dir(root))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Error::Metadata("rustc -vV names no host".to_owned()))
}
