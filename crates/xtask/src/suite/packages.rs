//! The Debian packages that some tests need: found, installed where this user may, or named.
//!
//! Installing never starts a service: a policy that denies starts is put in place for as long as it
//! takes, unless the machine has a policy of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Install;
use crate::error::Error;
use crate::{process, say};

/// A program that tests start by themselves, on free ports, in folders of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    /// What is left out without it.
    pub(crate) tests: &'static str,
}

const NEEDS: [Need; 10] = [
    Need {
        program: "postgres",
        package: "postgresql",
        tests: "the postgres driver and demo",
    },
    Need {
        program: "pg_rewind",
        package: "postgresql",
        tests: "the postgres driver and demo",
    },
    Need {
        program: "haproxy",
        package: "haproxy",
        tests: "the haproxy driver",
    },
    Need {
        program: "knotd",
        package: "knot",
        tests: "the dns driver against Knot",
    },
    Need {
        program: "kdig",
        package: "knot-dnsutils",
        tests: "the dns driver against Knot",
    },
    Need {
        program: "named",
        package: "bind9",
        tests: "the dns driver against BIND",
    },
    Need {
        program: "dig",
        package: "bind9-dnsutils",
        tests: "the dns driver against BIND",
    },
    Need {
        program: "restic",
        package: "restic",
        tests: "the repositories of backup, read and written by restic",
    },
    Need {
        program: "ssh",
        package: "openssh-client",
        tests: "containers on servers with SSH",
    },
    Need {
        program: "sshd",
        package: "openssh-server",
        tests: "containers on servers with SSH",
    },
];

/// `$1` is the policy's place, the rest are packages.
const INSTALL: &str = r#"
set -eu
policy=$1
shift
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=120 update
apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@"
"#;

/// The place that Debian's `invoke-rc.d` asks whether a service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing, where it may, and returns what is still missing.
pub(crate) fn provide(install: Install) -> Result<Vec<Need>, Error> {
    let absent = missing();
    if absent.is_empty() {
        say::line("every program that tests need is there");
        return Ok(absent);
    }
    let packages = packages(&absent);
    match (install, installer()) {
        (Install::Nothing, _) => {}
        (Install::Packages, None) => say::line("packages cannot be installed by this user"),
        (Install::Packages, Some(mut command)) => {
            say::line(&format!("installing {}", packages.join(" ")));
            command
                .args(["sh", "-c", INSTALL, "install", POLICY])
                .args(&packages);
            if !process::run(&mut command)?.success() {
                say::line("the installation failed");
            }
        }
    }
    let absent = missing();
    for need in &absent {
        let Need {
            program,
            package,
            tests,
        } = need;
        say::line(&format!(
            "missing: {program} (package {package}); left out: {tests}"
        ));
    }
    Ok(absent)
}

fn missing() -> Vec<Need> {
    let folders = folders();
    let found = |need: &Need| {
        folders
            .iter()
            .any(|folder| folder.join(need.program).is_file())
    };
    NEEDS.into_iter().filter(|need| !found(need)).collect()
}

fn packages(needs: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = needs.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// The path, where daemons live, and where Debian keeps each version of PostgreSQL.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders
}

/// A command that runs its arguments as root, where apt-get is there and nobody is asked.
fn installer() -> Option<Command> {
    if !Path::new("/usr/bin/apt-get").is_file() {
        return None;
    }
    let output = process::capture(Command::new("id").arg("-u")).ok()?;
    if output.stdout.trim_ascii() == b"0" {
        return Some(Command::new("env"));
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("-n");
    process::capture(Command::new("sudo").args(["-n", "true"]))
        .ok()?
        .status
        .success()
        .then_some(sudo)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the script with an `apt-get` of our own that notes its arguments and the policy.
    fn install(policy: &Path, folder: &Path, apt_get: &str) -> (bool, String) {
        let bin = folder.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let log = folder.join("log");
        let script = format!("#!/bin/sh\necho \"$@\" >>{}\n{apt_get}\n", log.display());
        std::fs::write(bin.join("apt-get"), script).unwrap();
        let mode = Command::new("chmod")
            .arg("755")
            .arg(bin.join("apt-get"))
            .status()
            .unwrap();
        assert!(mode.success());
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let mut command = Command::new("sh");
        command
            .args(["-c", INSTALL, "install"])
            .arg(policy)
            .args(["knot", "haproxy"]);
        let status = command.env("PATH", path).status().unwrap();
        (status.success(), std::fs::read_to_string(log).unwrap())
    }

    #[test]
    fn services_are_held_back_while_packages_install_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let seen = format!(
            "cp {} {}",
            policy.display(),
            folder.path().join("seen").display()
        );
        let (done, log) = install(&policy, folder.path(), &seen);
        assert!(
            done && log.contains("install --no-install-recommends knot haproxy"),
            "{log}"
        );
        let during = std::fs::read_to_string(folder.path().join("seen")).unwrap();
        assert_eq!(during, "#!/bin/sh\nexit 101\n");
        assert!(!policy.exists());
    }

    #[test]
    fn a_failed_installation_takes_its_policy_away_too() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        assert!(!install(&policy, folder.path(), "exit 100").0);
        assert!(!policy.exists());
    }

    #[test]
    fn a_policy_of_the_machine_stays() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        std::fs::write(&policy, "theirs").unwrap();
        assert!(install(&policy, folder.path(), "true").0);
        assert_eq!(std::fs::read_to_string(&policy).unwrap(), "theirs");
    }

    #[test]
    fn a_package_is_named_once() {
        assert_eq!(packages(&NEEDS[..3]), ["haproxy", "postgresql"]);
    }
}
