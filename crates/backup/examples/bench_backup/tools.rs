//! The programs that are compared, and what one run of one of them took.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A program that makes backups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Tool {
    Ours,
    Restic,
    Rustic,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Init,
    First,
    Unchanged,
    Restore,
}

/// One run of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    pub(crate) peak_mib: f64,
    /// Of processors, in the program and for it in the kernel: what a busy machine changes least.
    pub(crate) cpu_seconds: f64,
}

/// How the kernel counts the time of processes, in a second.
const TICKS: f64 = 100.0;

/// The time of processors that a process had so far.
fn cpu(process: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Its name, which may hold anything, ends with the last bracket.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "mainstay",
            Self::Restic => "restic",
            Self::Rustic => "rustic",
        }
    }

    pub(crate) fn is_there(self) -> bool {
        let found = |program| Command::new(program).arg("--version").output().is_ok();
        self == Self::Ours || found(self.program())
    }

    /// On the search path, or where `--install-rustic` puts it.
    fn program(self) -> PathBuf {
        let installed = tools().join("bin").join(self.name());
        if installed.exists() {
            installed
        } else {
            PathBuf::from(self.name())
        }
    }

    pub(crate) fn command(
        self,
        step: Step,
        repository: &Path,
        source: &Path,
        into: &Path,
    ) -> Command {
        let mut command = match self {
            Self::Ours => Command::new(std::env::current_exe().unwrap()),
            Self::Restic | Self::Rustic => Command::new(self.program()),
        };
        let verb = match (self, step) {
            (_, Step::Init) => "init",
            (_, Step::First | Step::Unchanged) => "backup",
            (_, Step::Restore) => "restore",
        };
        match self {
            Self::Ours => command.arg("--do").arg(verb).arg(repository),
            Self::Restic => command.arg("-q").arg("-r").arg(repository).arg(verb),
            Self::Rustic => command
                .arg("--no-progress")
                .arg("-r")
                .arg(repository)
                .arg(verb),
        };
        match (self, step) {
            (_, Step::Init) => &mut command,
            (_, Step::First | Step::Unchanged) => command.arg(source),
            (Self::Ours, Step::Restore) => command.arg(into),
            (Self::Restic, Step::Restore) => command.args(["latest", "--target"]).arg(into),
            (Self::Rustic, Step::Restore) => command.arg("latest").arg(into),
        };
        command
            .env("RESTIC_PASSWORD", "bench")
            .env("RUSTIC_PASSWORD", "bench");
        command
    }
}

/// Where programs to compare with are installed.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

/// Builds rustic from the crates registry. It takes many minutes.
pub(crate) fn install_rustic() {
    let built = Command::new("cargo")
        .args(["install", "rustic-rs", "--locked", "--root"])
        .arg(tools())
        .status()
        .unwrap();
    assert!(built.success(), "rustic-rs cannot be built: {built}");
}

/// Runs a command and watches its memory.
pub(crate) fn measure(mut command: Command, cache: &Path) -> Run {
    // What the run before wrote is not this one's work.
    let _ = Command::new("sync").status();
    command.env("XDG_CACHE_HOME", cache).env("HOME", cache);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut peak, mut cpu_seconds) = (0.0_f64, 0.0_f64);
    let ended = loop {
        // The high-water mark only grows, so the last look before the end counts.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        cpu_seconds = cpu_seconds.max(cpu(child.id()).unwrap_or(0.0));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(ended.success(), "{command:?} failed: {ended}");
    Run {
        seconds,
        peak_mib: peak,
        cpu_seconds,
    }
}
