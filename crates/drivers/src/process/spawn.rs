//! Starts one instance: its own process group, a clean environment, output to a log file.
//! Must not know when an instance should run.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use mainstay_driver::Cause;

use super::{
    identity::{Identity, MARK},
    options::{Instance, ProcessAt},
    record::Work,
};
use crate::{
    shared::{Home, passed_on, passing},
    support::secret,
};

/// A log that is longer when an instance starts is put aside once.
const LONG_LOG: u64 = 16 * 1024 * 1024;

/// What an instance is started with.
pub(super) struct Launch<'a> {
    pub(super) home: &'a Home,
    pub(super) at: &'a ProcessAt,
    pub(super) instance: &'a Instance,
    pub(super) number: usize,
    pub(super) mark: &'a str,
    pub(super) work: Work,
    pub(super) log: &'a Path,
}

/// Starts the program and says which process it is. It is waited for by the runtime, and lives on without it.
pub(super) async fn launch(launch: &Launch<'_>) -> Result<Identity, Cause> {
    let Launch { home, at, .. } = launch;
    let failed = |what: String| passing("process-not-started", what);
    let Some((program, args)) = at.command.split_first() else {
        return Err(failed("there is no program".to_owned()));
    };
    let program = resolve(home, program);
    let mut command = tokio::process::Command::new(&program);
    command
        .args(args)
        .args(&launch.instance.args)
        .current_dir(home.resolve(at.dir.as_deref().unwrap_or(".")))
        .env_clear()
        .envs(passed_on())
        .envs(&at.env)
        .envs(&launch.instance.env)
        .env(MARK, launch.mark)
        .env("MAINSTAY_SITE", home.site.as_str())
        .env("MAINSTAY_NUMBER", launch.number.to_string())
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(false);
    if let Some(work) = work_word(launch.work) {
        command.env("MAINSTAY_WORK", work);
    }
    for (name, reference) in &at.secret_env {
        command.env(name, secret(&home.place.base, reference).await?);
    }
    let (out, err) =
        open_log(launch.log).map_err(|error| failed(format!("open its log: {error}")))?;
    let child = command
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|error| failed(format!("start {}: {error}", program.display())))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.ok_or_else(|| failed(format!("{} ended at once", program.display())))?;
    Identity::of(pid).map_err(|error| failed(format!("find {}: {error}", program.display())))
}

/// A program without a `/` is sought in PATH.
fn resolve(home: &Home, program: &str) -> PathBuf {
    if program.contains('/') {
        home.resolve(program)
    } else {
        PathBuf::from(program)
    }
}

fn work_word(work: Work) -> Option<&'static str> {
    match work {
        Work::AsStarted => None,
        Work::Held => Some("held"),
        Work::Released => Some("released"),
    }
}

fn open_log(path: &Path) -> io::Result<(fs::File, fs::File)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::metadata(path).is_ok_and(|log| log.len() > LONG_LOG) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    let out = OpenOptions::new().create(true).append(true).open(path)?;
    let err = out.try_clone()?;
    Ok((out, err))
}

/// The last lines that an instance wrote, for an error's words.
pub(super) fn last_words(log: &Path) -> String {
    const LINES: usize = 5;
    const BYTES: usize = 4096;
    let Ok(bytes) = fs::read(log) else {
        return String::new();
    };
    let end = bytes
        .get(bytes.len().saturating_sub(BYTES)..)
        .unwrap_or(&bytes);
    let text = String::from_utf8_lossy(end);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(LINES)..].join(" | ")
}
