//! Real name servers for the tests: Knot and BIND, on free loopback ports, in temporary folders, stopped on drop.
//! Must not know the driver.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The key that both servers accept: not a secret, it guards a loopback zone for seconds.
pub(crate) const KEY: &str = "bWFpbnN0YXktdGVzdC1rZXktMDEyMzQ1Njc4OWFiY2RlZg==";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Brand {
    Knot,
    Bind,
}

/// A running server that is primary for `orders.test`.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

const ZONE: &str = "$ORIGIN orders.test.
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 1
@ NS ns
ns A 127.0.0.1
";

impl Server {
    /// Starts one; `None`, with a printed line, when its program is not installed.
    pub(crate) fn start(brand: Brand) -> Option<Self> {
        let program = program(brand)?;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key"), format!("{KEY}\n")).unwrap();
        fs::write(dir.path().join("zone"), ZONE).unwrap();
        fs::create_dir(dir.path().join("db")).unwrap();
        let address = free_port();
        let conf = dir.path().join("conf");
        let mut command = Command::new(program);
        match brand {
            Brand::Knot => {
                fs::write(&conf, knot_conf(dir.path(), address)).unwrap();
                command.arg("-c").arg(&conf);
            }
            Brand::Bind => {
                fs::write(&conf, bind_conf(dir.path(), address)).unwrap();
                command.args(["-f", "-n", "1", "-c"]).arg(&conf);
            }
        }
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self {
            child,
            address,
            dir,
        };
        server.wait_until_it_answers();
        Some(server)
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait_until_it_answers(&self) {
        // A question for the zone's SOA record, by hand, so that the harness does not lean on what it tests.
        let question =
            b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06orders\x04test\x00\x00\x06\x00\x01";
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut answer = [0; 512];
        loop {
            let _ = socket.send(question);
            // Rcode 0 and one answer: the zone is loaded.
            if let Ok(length) = socket.recv(&mut answer)
                && length > 12
                && answer[3] % 16 == 0
                && answer[7] > 0
            {
                return;
            }
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "no answer from {}:\n{log}",
                self.address
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn program(brand: Brand) -> Option<PathBuf> {
    let name = match brand {
        Brand::Knot => "knotd",
        Brand::Bind => "named",
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|dir| dir.join(name)).find(|p| p.is_file());
    if found.is_none() {
        println!("skipped: {name} is not installed (Debian: knot, bind9)");
    }
    found
}

/// A port that is free for UDP and TCP.
fn free_port() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

fn knot_conf(dir: &Path, address: SocketAddr) -> String {
    let dir = dir.display();
    let port = address.port();
    format!(
        "server:
  listen: 127.0.0.1@{port}
  rundir: {dir}
database:
  storage: {dir}/db
log:
  - target: stderr
    any: info
key:
  - id: mover
    algorithm: hmac-sha256
    secret: {KEY}
acl:
  - id: updates
    key: mover
    action: update
zone:
  - domain: orders.test
    file: {dir}/zone
    acl: updates
"
    )
}

fn bind_conf(dir: &Path, address: SocketAddr) -> String {
    let dir = dir.display();
    let port = address.port();
    format!(
        "key mover {{ algorithm hmac-sha256; secret \"{KEY}\"; }};
controls {{ }};
options {{
  directory \"{dir}\";
  pid-file none;
  session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion no;
  dnssec-validation no;
  notify no;
}};
zone \"orders.test\" {{ type primary; file \"{dir}/zone\"; allow-update {{ key mover; }}; }};
"
    )
}
