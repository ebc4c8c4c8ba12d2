//! A program whose output is read while it runs, by whoever calls from a thread of its own: a dump, or what takes one.
//! When nobody waits for its end any more, it is killed with all that it started.
//! Must not know why it is run.

use std::{
    io::{Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStderr, ChildStdout, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use mainstay_model::Span;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{
    Program, RunError, Said,
    run::{Built, LARGEST, build, last_words, redacted},
};
use crate::{
    shared::{Home, lasting, passing},
    support::secret_now,
};

/// How long a program may take that passes all data of a store on, unless declared otherwise.
const TIMEOUT: Span = Span::from_secs(4 * 3600);
/// The most of the last words that is kept, in bytes.
const TAIL: usize = 8 * 1024;
/// How long last words may still come after the program has ended.
const AFTER: Duration = Duration::from_millis(200);

/// A program that was started.
pub(crate) struct Running {
    name: String,
    limit: Span,
    secrets: Vec<String>,
    group: Arc<Group>,
    tail: Arc<Mutex<Vec<u8>>>,
    /// Told when there will be no more last words.
    silent: mpsc::Receiver<()>,
    /// Gone when nobody needs to be watched any more.
    _watched: mpsc::Sender<()>,
}

/// The program's process group. Its number is surely its own until the program is reaped.
struct Group {
    pid: Option<Pid>,
    state: Mutex<State>,
}

struct State {
    child: Child,
    ended: Option<ExitStatus>,
    late: bool,
}

impl Group {
    fn kill(&self, late: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ended.is_some() {
            return;
        }
        state.late |= late;
        if let Some(pid) = self.pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Waits without the lock, so that it can still be killed, and reaps it under the lock.
    fn wait(&self) -> std::io::Result<(ExitStatus, bool)> {
        let known = |state: &State| state.ended.map(|status| (status, state.late));
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known(&state) {
            return Ok(known);
        }
        drop(state);
        if let Some(pid) = self.pid {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let status = state.child.wait()?;
        state.ended = Some(status);
        Ok((status, state.late))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.group.kill(false);
        let _ = self.group.wait();
    }
}

/// Starts a program with these variables beside the declared ones; answers what it prints as it comes.
pub(crate) fn start(
    home: &Home,
    program: &Program,
    variables: &[(&str, String)],
    stdin: Stdio,
) -> Result<(Running, ChildStdout), RunError> {
    let mut secrets = Vec::new();
    for (variable, reference) in &program.secret_env {
        let value = secret_now(&home.place.base, reference).map_err(RunError::NotRun)?;
        secrets.push((variable.as_str(), value));
    }
    let built = build(home, program, variables, secrets).map_err(RunError::NotRun)?;
    let Built {
        mut command,
        name,
        secrets,
    } = built;
    command.stdin(stdin).process_group(0);
    let not_run = |why: &dyn std::fmt::Display| {
        RunError::NotRun(lasting("program-not-run", format!("run {name}: {why}")))
    };
    let mut child = command.spawn().map_err(|error| not_run(&error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = Arc::new(Group {
        pid,
        state: Mutex::new(State {
            child,
            ended: None,
            late: false,
        }),
    });
    let limit = program.timeout.unwrap_or(TIMEOUT);
    let (watched, over) = mpsc::channel::<()>();
    let own = Arc::clone(&group);
    std::thread::spawn(move || {
        if over.recv_timeout(limit.duration()) == Err(mpsc::RecvTimeoutError::Timeout) {
            own.kill(true);
        }
    });
    let tail = Arc::new(Mutex::new(Vec::new()));
    let (told, silent) = mpsc::channel();
    let own = Arc::clone(&tail);
    std::thread::spawn(move || {
        keep_tail(stderr, &own);
        let _ = told.send(());
    });
    let stdout = stdout.ok_or_else(|| not_run(&"its output cannot be read"))?;
    let running = Running {
        name,
        limit,
        secrets,
        group,
        tail,
        silent,
        _watched: watched,
    };
    Ok((running, stdout))
}

/// Keeps the end and reads on, so that the program never waits for its reader.
fn keep_tail(from: Option<ChildStderr>, into: &Mutex<Vec<u8>>) {
    let Some(mut from) = from else { return };
    let mut part = vec![0_u8; 4096];
    while let Ok(count @ 1..) = from.read(&mut part) {
        let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = kept.write_all(&part[..count]);
        let surplus = kept.len().saturating_sub(TAIL);
        kept.drain(..surplus);
    }
}

impl Running {
    /// Waits for its end. What it printed is known to whoever read it.
    pub(crate) fn end(self, out: &str) -> Result<Said, RunError> {
        let name = &self.name;
        let failed = |how: String| {
            RunError::Unknown(passing("program-failed", format!("run {name}: {how}")))
        };
        let ended = self.group.wait();
        let (status, late) = ended.map_err(|error| failed(error.to_string()))?;
        let _ = self.silent.recv_timeout(AFTER);
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let (out, err) = (
            redacted(out.as_bytes(), &self.secrets),
            redacted(&tail, &self.secrets),
        );
        if late {
            let what = format!("run {name}: not over within {}, killed", self.limit);
            return Err(RunError::Unknown(passing("program-timeout", what)));
        }
        match status.code() {
            Some(0) => Ok(Said::Yes(out.trim().to_owned())),
            Some(1) => Ok(Said::No(last_words(&out, &err))),
            code => {
                let how = code.map_or("ended by a signal".to_owned(), |code| {
                    format!("ended with {code}")
                });
                Err(failed(format!("{how}: {}", last_words(&out, &err))))
            }
        }
    }

    /// Waits for the end of a program that is only good for something if it ends with 0.
    pub(crate) fn verdict(self) -> Result<(), String> {
        let name = self.name.clone();
        match self.end("") {
            Ok(Said::Yes(_)) => Ok(()),
            Ok(Said::No(words)) => Err(format!("{name} ended with 1: {words}")),
            Err(error) => Err(error.cause().what),
        }
    }
}

/// Runs a program to its end, from a thread that may block.
pub(crate) fn run_here(
    home: &Home,
    program: &Program,
    variables: &[(&str, String)],
    stdin: Stdio,
) -> Result<Said, RunError> {
    let (running, mut stdout) = start(home, program, variables, stdin)?;
    let (mut out, mut part) = (Vec::new(), vec![0_u8; 4096]);
    while let Ok(count @ 1..) = stdout.read(&mut part) {
        let room = LARGEST.saturating_sub(out.len()).min(count);
        out.extend_from_slice(&part[..room]);
    }
    running.end(&String::from_utf8_lossy(&out))
}
