//! Runs one program: its own process group, a clean environment, bounded output without secrets, an end in time.
//! Must not know why it is run.

use std::{process::Stdio, time::Duration};

use mainstay_driver::{ActError, Cause};
use mainstay_model::Span;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
};

use super::Program;
use crate::{
    shared::{Home, lasting, passed_on, passing},
    support::secret,
};

/// How long a program may take unless declared otherwise.
const TIMEOUT: Span = Span::from_secs(60);
/// The most output that is kept, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;
/// The most output that an error repeats, in characters.
const EXCERPT: usize = 500;

/// What a program said by its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// 0, with what it printed.
    Yes(String),
    /// 1, with its last words.
    No(String),
}

/// Why it said nothing that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunError {
    /// It was certainly not run.
    NotRun(Cause),
    /// It may have done something.
    Unknown(Cause),
}

impl RunError {
    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::NotRun(cause) | Self::Unknown(cause) => cause,
        }
    }
}

impl From<RunError> for ActError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::NotRun(cause) => Self::NotDone(cause),
            RunError::Unknown(cause) => Self::Unknown(cause),
        }
    }
}

/// Runs a program with these variables beside the declared ones.
pub(crate) async fn run(
    home: &Home,
    program: &Program,
    variables: &[(&str, String)],
) -> Result<Said, RunError> {
    let (mut command, name, secrets) = command(home, program, variables)
        .await
        .map_err(RunError::NotRun)?;
    let mut child = command.spawn().map_err(|error| {
        RunError::NotRun(lasting("program-not-run", format!("run {name}: {error}")))
    })?;
    let limit = program.timeout.unwrap_or(TIMEOUT);
    let ended = tokio::time::timeout(limit.duration(), finish(&mut child)).await;
    let Ok(ended) = ended else {
        kill_group(&mut child).await;
        let what = format!("run {name}: not over within {limit}, killed");
        return Err(RunError::Unknown(passing("program-timeout", what)));
    };
    let (code, out, err) = ended.map_err(|error| {
        RunError::Unknown(passing("program-failed", format!("run {name}: {error}")))
    })?;
    let (out, err) = (redacted(&out, &secrets), redacted(&err, &secrets));
    match code {
        Some(0) => Ok(Said::Yes(out.trim().to_owned())),
        Some(1) => Ok(Said::No(last_words(&out, &err))),
        code => {
            let how = code.map_or("ended by a signal".to_owned(), |code| {
                format!("ended with {code}")
            });
            let what = format!("run {name}: {how}: {}", last_words(&out, &err));
            Err(RunError::Unknown(passing("program-failed", what)))
        }
    }
}

async fn command(
    home: &Home,
    program: &Program,
    variables: &[(&str, String)],
) -> Result<(Command, String, Vec<String>), Cause> {
    let mut secrets = Vec::new();
    for (variable, reference) in &program.secret_env {
        let value = secret(&home.place.base, reference).await?;
        secrets.push((variable.as_str(), value));
    }
    let built = build(home, program, variables, secrets)?;
    let mut command = Command::from(built.command);
    command
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    Ok((command, built.name, built.secrets))
}

/// A program that can be started.
pub(super) struct Built {
    pub(super) command: std::process::Command,
    /// As declared, for messages.
    pub(super) name: String,
    /// Values that no message repeats, longest first.
    pub(super) secrets: Vec<String>,
}

/// Puts together what is run; `secrets` are the values of the secret variables.
pub(super) fn build(
    home: &Home,
    program: &Program,
    variables: &[(&str, String)],
    secrets: Vec<(&str, String)>,
) -> Result<Built, Cause> {
    let Some((name, args)) = program.command.split_first() else {
        return Err(lasting("options-invalid", "there is no program"));
    };
    let path = if name.contains('/') {
        home.resolve(name)
    } else {
        name.into()
    };
    let mut command = std::process::Command::new(path);
    command
        .args(args)
        .current_dir(home.resolve(program.dir.as_deref().unwrap_or(".")))
        .env_clear()
        .envs(passed_on())
        .envs(&program.env)
        .env("MAINSTAY_SITE", home.site.as_str())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .envs(secrets.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut secrets: Vec<String> = secrets.into_iter().map(|(_, value)| value).collect();
    // A longer secret may hold a shorter one.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    Ok(Built {
        command,
        name: name.clone(),
        secrets,
    })
}

/// Reads what it prints and waits for its end. What it left running does not hold this up.
async fn finish(child: &mut Child) -> std::io::Result<(Option<i32>, Vec<u8>, Vec<u8>)> {
    /// How long output may still come after the program has ended.
    const AFTER: Duration = Duration::from_millis(200);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let status = {
        let reading = async { tokio::join!(read(stdout, &mut out), read(stderr, &mut err)) };
        tokio::pin!(reading);
        tokio::select! {
            _ = &mut reading => child.wait().await?,
            status = child.wait() => {
                let _ = tokio::time::timeout(AFTER, reading).await;
                status?
            }
        }
    };
    Ok((status.code(), out, err))
}

/// Keeps the beginning and reads on, so that the program never waits for its reader.
async fn read(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut part = vec![0_u8; 4096];
    while let Ok(count @ 1..) = from.read(&mut part).await {
        let room = LARGEST.saturating_sub(into.len()).min(count);
        into.extend_from_slice(&part[..room]);
    }
}

/// The program is not waited for yet, so its group is surely its own.
async fn kill_group(child: &mut Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let _ = child.kill().await;
}

pub(super) fn redacted(bytes: &[u8], secrets: &[String]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "(secret)");
    }
    text
}

pub(super) fn last_words(out: &str, err: &str) -> String {
    let words = if err.trim().is_empty() { out } else { err };
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let skip = line.chars().count().saturating_sub(EXCERPT);
    line.chars().skip(skip).collect()
}
