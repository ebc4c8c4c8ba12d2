//! A real HAProxy in front of three tiny servers, on free loopback ports, in a temporary folder, stopped on drop.
//! Must not know the driver.

use std::{
    fs,
    net::TcpListener as StdListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

/// A running balancer.
pub(crate) struct Balancer {
    child: Child,
    pub(crate) dir: TempDir,
    port: u16,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A server that answers each connection with its name, after it has read a line; `hold` keeps the connection open.
async fn backend(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut line = [0; 5];
                if stream.read_exact(&mut line).await.is_ok() {
                    let _ = stream.write_all(name.as_bytes()).await;
                }
                if &line == b"hold\n" {
                    let _ = stream.read(&mut line).await;
                }
            });
        }
    });
    port
}

impl Balancer {
    /// Starts one with `app/prod1` and `app/prod2` in and `app/dr1` out; `None`, with a printed line, without HAProxy.
    pub(crate) async fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        let Some(program) = folders.map(|dir| dir.join("haproxy")).find(|p| p.is_file()) else {
            println!("skipped: haproxy is not installed (Debian: haproxy)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let port = StdListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let ports = [
            backend("prod1").await,
            backend("prod2").await,
            backend("dr1").await,
        ];
        fs::write(dir.path().join("conf"), conf(dir.path(), port, ports)).unwrap();
        let child = spawn(&program, dir.path());
        let balancer = Self { child, dir, port };
        balancer.wait_until_it_answers().await;
        Some(balancer)
    }

    /// The runtime API's address.
    pub(crate) fn socket(&self) -> String {
        format!("unix:{}/api", self.dir.path().display())
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew: it is as its configuration says.
    pub(crate) async fn restart(&mut self) {
        let program = fs::read_link(format!("/proc/{}/exe", self.child.id())).unwrap();
        self.stop();
        self.child = spawn(&program, self.dir.path());
        self.wait_until_it_answers().await;
    }

    async fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let socket = self.dir.path().join("api");
        while UnixStream::connect(&socket).await.is_err() || self.who().await.is_none() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no answer from haproxy:\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Who serves a new connection.
    pub(crate) async fn who(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream.write_all(b"once\n").await.ok()?;
        let mut name = String::new();
        stream.read_to_string(&mut name).await.ok()?;
        (!name.is_empty()).then_some(name)
    }

    /// A connection that stays open, once it is served.
    pub(crate) async fn hold(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(b"hold\n").await.unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        stream
    }
}

fn spawn(program: &Path, dir: &Path) -> Child {
    let log = fs::File::create(dir.join("log")).unwrap();
    Command::new(program)
        .arg("-db")
        .arg("-f")
        .arg(dir.join("conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn conf(dir: &Path, port: u16, [prod1, prod2, dr1]: [u16; 3]) -> String {
    let dir = dir.display();
    format!(
        "global
  stats socket {dir}/api level admin
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  default_backend app
backend app
  server prod1 127.0.0.1:{prod1} weight 100
  server prod2 127.0.0.1:{prod2} weight 100
  server dr1 127.0.0.1:{dr1} weight 100 disabled
"
    )
}
