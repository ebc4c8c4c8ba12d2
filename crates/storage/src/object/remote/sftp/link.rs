//! The way to a server: the program `ssh`, kept running, with the server's `sftp` on its other end. Many calls use it at
//! once; when it breaks, the next call makes a new one.
//! Must not know what is done with files.
//!
//! The program, and not a library, because it knows the user's agent, jump hosts, hardware keys and known hosts.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use openssh_sftp_client::{Error, Sftp, SftpOptions, error::SftpErrorKind};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    sync::Mutex,
};

use super::super::{
    super::StorageError,
    address,
    fault::{Fault, Outcome, Sort},
    options::{Options, Taking, bad},
    runtime::Lost,
};

/// How long a server may take to let us in.
const CONNECT: Duration = Duration::from_secs(30);
/// How much of what `ssh` complains about is kept.
const WORDS: u64 = 4096;

/// Who is asked, and how it is known.
#[derive(Debug)]
struct Target {
    server: address::Server,
    identity: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    unknown: Unknown,
}

/// What happens with a host whose key is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refuse,
    /// It is trusted and remembered; a key that changed is refused.
    AcceptNew,
}

/// A way to a server, made when it is needed.
#[derive(Debug)]
pub(super) struct Link {
    target: Target,
    current: Mutex<Option<Arc<Session>>>,
}

/// A running connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sftp: Sftp,
    /// Killed when nobody needs it any more.
    _ssh: Child,
}

impl Link {
    pub(super) fn new(server: &address::Server, options: &Options) -> Result<Self, StorageError> {
        let mut taking = Taking::new(options);
        let mut path = |name| match taking.value(name) {
            // It is written into an option of ssh, between quotes.
            Some(path) if path.is_empty() || path.contains(['"', '\n']) => {
                Err(bad(name, "is no path of a file"))
            }
            path => Ok(path.map(|path| options.resolve(Path::new(&path)))),
        };
        let (identity, known_hosts) = (path("identity")?, path("known-hosts")?);
        let unknown = match taking.value("unknown-host").as_deref() {
            None | Some("refuse") => Unknown::Refuse,
            Some("accept-new") => Unknown::AcceptNew,
            Some(other) => {
                let why = format!("is {other:?}: write refuse or accept-new");
                return Err(bad("unknown-host", why));
            }
        };
        taking.end()?;
        Ok(Self {
            target: Target {
                server: server.clone(),
                identity,
                known_hosts,
                unknown,
            },
            current: Mutex::default(),
        })
    }

    /// The connection, a new one if there is none.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Fault> {
        let mut current = self.current.lock().await;
        if let Some(session) = &*current {
            return Ok(Arc::clone(session));
        }
        let made = tokio::time::timeout(CONNECT, self.target.connect()).await;
        let made = made.unwrap_or_else(|_| Err(Fault::lost(&Lost::Late(CONNECT))));
        let session = Arc::new(made.map_err(|fault| Fault {
            // Nothing was asked of the server yet.
            outcome: Outcome::NotDone,
            ..fault
        })?);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Gives a connection up. Others that use it come to their end.
    pub(super) async fn forget(&self, session: &Arc<Session>) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|one| Arc::ptr_eq(one, session))
        {
            *current = None;
        }
    }
}

impl Target {
    fn command(&self) -> Command {
        let mut ssh = Command::new("ssh");
        let mut option = |text: String| {
            ssh.arg("-o").arg(text);
        };
        for text in [
            // Nobody is there to be asked.
            "BatchMode=yes",
            "ConnectTimeout=20",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=3",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
        ] {
            option(text.to_owned());
        }
        option(match self.unknown {
            Unknown::Refuse => "StrictHostKeyChecking=yes".to_owned(),
            Unknown::AcceptNew => "StrictHostKeyChecking=accept-new".to_owned(),
        });
        if let Some(file) = &self.known_hosts {
            option(format!("UserKnownHostsFile=\"{}\"", file.display()));
        }
        if let Some(file) = &self.identity {
            option("IdentitiesOnly=yes".to_owned());
            option(format!("IdentityFile=\"{}\"", file.display()));
        }
        if let Some(port) = self.server.port {
            ssh.arg("-p").arg(port.to_string());
        }
        if let Some(user) = &self.server.user {
            ssh.arg("-l").arg(user);
        }
        ssh.args(["-s", "--", &self.server.host, "sftp"]);
        ssh.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ssh.kill_on_drop(true);
        ssh
    }

    async fn connect(&self) -> Result<Session, Fault> {
        let mut ssh = self.command().spawn().map_err(|error| {
            let kind = error.kind();
            broken(kind, format!("the program ssh cannot be started: {error}"))
        })?;
        let pipes = (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(broken(io::ErrorKind::Other, "ssh has no pipes".to_owned()));
        };
        // Read to its end in any case, so that ssh never waits for a reader.
        let words = tokio::spawn(async move {
            let mut kept = Vec::new();
            let mut start = stderr.take(WORDS);
            let _ = start.read_to_end(&mut kept).await;
            let mut rest = start.into_inner();
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&kept).trim().to_owned()
        });
        match Sftp::new(stdin, stdout, SftpOptions::new()).await {
            Ok(sftp) => Ok(Session { sftp, _ssh: ssh }),
            Err(error) => {
                drop(ssh.start_kill());
                let words = words.await.unwrap_or_default();
                Err(refused(&words, &error))
            }
        }
    }
}

/// What `ssh` said tells more than the end of its output does.
fn refused(words: &str, error: &Error) -> Fault {
    let last = words.lines().rev().take(2).collect::<Vec<_>>();
    let text = last.into_iter().rev().collect::<Vec<_>>().join(" ");
    let denied = [
        "Permission denied",
        "Host key verification failed",
        "REMOTE HOST",
    ];
    if denied.iter().any(|one| words.contains(one)) {
        return broken(io::ErrorKind::PermissionDenied, text);
    }
    let text = if text.is_empty() {
        error.to_string()
    } else {
        text
    };
    broken(io::ErrorKind::NotConnected, text)
}

fn broken(kind: io::ErrorKind, text: String) -> Fault {
    Fault {
        sort: Sort::Other,
        outcome: Outcome::NotDone,
        source: io::Error::new(kind, text),
    }
}

/// An answer of the server, or a connection that broke.
pub(super) fn fault(error: Error) -> Fault {
    let (sort, outcome, kind, text) = match error {
        Error::SftpError(code, message) => {
            let (sort, kind) = match code {
                SftpErrorKind::NoSuchFile => (Sort::NoObject, io::ErrorKind::NotFound),
                SftpErrorKind::PermDenied => (Sort::Other, io::ErrorKind::PermissionDenied),
                SftpErrorKind::OpUnsupported => (Sort::Other, io::ErrorKind::Unsupported),
                _ => (Sort::Other, io::ErrorKind::Other),
            };
            (sort, Outcome::NotDone, kind, message.to_string())
        }
        Error::UnsupportedExtension(_) | Error::UnsupportedSftpProtocol { .. } => (
            Sort::Other,
            Outcome::NotDone,
            io::ErrorKind::Unsupported,
            error.to_string(),
        ),
        error => (
            Sort::Other,
            Outcome::Unknown,
            io::ErrorKind::ConnectionAborted,
            error.to_string(),
        ),
    };
    Fault {
        sort,
        outcome,
        source: io::Error::new(kind, text),
    }
}
