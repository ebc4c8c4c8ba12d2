//! Servers of objects for tests: moto for S3, Azurite for Azure Blob, sshd for servers with SSH. Each runs on a free port of the loopback, keeps
//! nothing, and ends with its handle. `cargo xtask test` installs them.
//! Must not know what is tried on them.

#![allow(
    dead_code,
    reason = "two test programs use this file, each another part of it"
)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use mainstay_storage::{Options, Patience, Secret};
use sha2::{Digest as _, Sha256};

/// The account of the Azurite that is started here, and its key.
const ACCOUNT: &str = "mainstay";
const KEY: &[u8; 32] = b"a key that opens nothing at all.";

/// A server on this machine answers or is broken.
pub(crate) const BRIEF: Patience = Patience {
    attempts: 1,
    first: Duration::ZERO,
    longest: Duration::ZERO,
    total: Duration::ZERO,
};

/// A server that ends with this.
pub(crate) struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `cargo xtask test` puts programs that are no Debian packages: `target/tools`.
fn tool(path: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().unwrap();
    let target = here.ancestors().nth(3).unwrap();
    let tool = target.join("tools").join(path);
    tool.is_file().then_some(tool)
}

/// Starts a program and waits for the line that names its address.
fn start(command: &mut Command, folder: tempfile::TempDir) -> Server {
    command.current_dir(folder.path());
    // Both say it on one of the two, and both flush line by line on neither: so they are told to.
    command.env("PYTHONUNBUFFERED", "1").stdin(Stdio::null());
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let child = command.spawn().unwrap();
    // The command holds the writing end; without it the reader ends with the child.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server {
        child,
        address: String::new(),
        _folder: folder,
    };
    let mut lines = BufReader::new(reader).lines();
    let mut said = Vec::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some((_, address)) = line.split_once("http://") {
            address.trim().clone_into(&mut server.address);
            break;
        }
        said.push(line);
    }
    assert!(!server.address.is_empty(), "it did not start: {said:?}");
    // What it says later is thrown away, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    server
}

/// An SSH server of one user, who runs the test.
pub(crate) struct Sshd {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    /// An SSH server, or nothing where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let program = Path::new("/usr/sbin/sshd");
        if !program.is_file() {
            println!("skipped: no sshd (Debian: openssh-server)");
            return None;
        }
        if rustix::process::geteuid().is_root() {
            // Where a system starts sshd by itself, it makes this first.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        for key in ["host", "user", "stranger"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            assert!(
                keygen
                    .arg(folder.path().join(key))
                    .status()
                    .unwrap()
                    .success()
            );
        }
        // The port may be taken between the two; then another one is tried.
        let started = (0..10).find_map(|_| Self::listen(program, folder.path()));
        let (child, port) = started.unwrap();
        Some(Self {
            child,
            port,
            folder,
        })
    }

    fn listen(program: &Path, folder: &Path) -> Option<(Child, u16)> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let at = folder.display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {at}/user.pub\nStrictModes no\nPasswordAuthentication no\n\
             MaxStartups 100\nSubsystem sftp internal-sftp\n"
        );
        std::fs::write(folder.join("sshd_config"), config).unwrap();
        let mut command = Command::new(program);
        command
            .args(["-D", "-e", "-f"])
            .arg(folder.join("sshd_config"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        if !lines
            .by_ref()
            .any(|line| line.unwrap().contains("Server listening"))
        {
            child.wait().unwrap();
            return None;
        }
        std::thread::spawn(move || lines.for_each(drop));
        let public = std::fs::read_to_string(folder.join("host.pub")).unwrap();
        let known = format!("[127.0.0.1]:{port} {public}");
        std::fs::write(folder.join("known"), known).unwrap();
        Some((child, port))
    }

    /// The address of a folder below the server's own.
    pub(crate) fn url(&self, folder: &str) -> String {
        let path = self.folder.path().display();
        format!("sftp://127.0.0.1:{}{path}/{folder}", self.port)
    }

    /// A folder of the server, looked at from here.
    pub(crate) fn path(&self, folder: &str) -> PathBuf {
        self.folder.path().join(folder)
    }

    /// Options for it.
    pub(crate) fn options(&self) -> Options {
        Options::default()
            .relative_to(self.folder.path())
            .with("identity", "user")
            .with("known-hosts", "known")
            .patience(BRIEF)
    }
}

/// Sends a request without a body and returns the status.
fn ask(address: &str, request: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let text =
        format!("{request}Host: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

impl Server {
    /// An S3 server, or nothing where moto is not installed.
    pub(crate) fn s3() -> Option<Self> {
        let Some(program) = tool("moto/bin/moto_server") else {
            println!("skipped: no moto; `cargo xtask test` installs it");
            return None;
        };
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]);
        Some(start(&mut command, tempfile::tempdir().unwrap()))
    }

    /// An Azure Blob server, or nothing where Azurite is not installed.
    pub(crate) fn azure() -> Option<Self> {
        let Some(program) = tool("azurite/node_modules/azurite/dist/src/blob/main.js") else {
            println!("skipped: no Azurite; `cargo xtask test` installs it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("node");
        command
            .arg(program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0"]);
        command.args([
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--silent",
            "--location",
        ]);
        command.arg(folder.path());
        let accounts = format!("{ACCOUNT}:{}", BASE64_STANDARD.encode(KEY));
        command.env("AZURITE_ACCOUNTS", accounts);
        Some(start(&mut command, folder))
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Makes a bucket.
    pub(crate) fn make_bucket(&self, name: &str) {
        let status = ask(&self.address, &format!("PUT /{name} HTTP/1.1\r\n"));
        assert_eq!(status, 200);
    }

    /// Options for S3.
    pub(crate) fn s3_options(&self) -> Options {
        s3_options(&self.address)
    }

    /// Makes a container.
    pub(crate) fn make_container(&self, name: &str) {
        let date = Command::new("date")
            .env("LC_ALL", "C")
            .args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"])
            .output()
            .unwrap();
        let date = String::from_utf8(date.stdout).unwrap().trim().to_owned();
        let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06");
        let resource = format!("/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container");
        let text = format!("PUT{}{headers}\n{resource}", "\n".repeat(12));
        let signature = BASE64_STANDARD.encode(hmac(KEY, text.as_bytes()));
        let request = format!(
            "PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1\r\nx-ms-date: {date}\r\n\
             x-ms-version: 2021-08-06\r\nAuthorization: SharedKey {ACCOUNT}:{signature}\r\n"
        );
        assert_eq!(ask(&self.address, &request), 201);
    }

    /// Options for Azure Blob.
    pub(crate) fn azure_options(&self) -> Options {
        Options::default()
            .with("endpoint", format!("http://{}/{ACCOUNT}", self.address))
            .with("account", ACCOUNT)
            .with_secret("account-key", Secret::new(BASE64_STANDARD.encode(KEY)))
            .patience(BRIEF)
    }
}

/// Options for an S3 server at this host and port.
pub(crate) fn s3_options(address: &str) -> Options {
    Options::default()
        .with("endpoint", format!("http://{address}"))
        .with("region", "us-east-1")
        .with("access-key-id", "mainstay")
        .with_secret("secret-access-key", Secret::new("nothing is behind it"))
        .patience(BRIEF)
}

/// HMAC with SHA-256 (RFC 2104) for a key that is shorter than a block.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block
            .iter_mut()
            .zip(key)
            .for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(padded(0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}
