//! How each part of the world is started, and when it is there. Must not know in which order.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::plan::{KEY, NAME, ZONE};
use super::process::{self, SITE, WORLD};
use super::record::{Started, TENANTS, World};
use super::site::Site;
use crate::dns::SeedRecord;
use crate::error::PartError;
use crate::{dns, load};

/// How long a part may take to answer.
const UP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// How much load there is: clients, writes per second over all of them.
const LOAD: (u16, u32) = (8, 60);

impl World {
    /// The program, about to be run in this world's name.
    pub(super) fn command(&self, site: Option<Site>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env(WORLD, &self.token)
            .env("MAINSTAY_PLAN", self.plan())
            .current_dir(&self.dir);
        if let Some(site) = site {
            command.env(SITE, site.name());
        }
        command
    }

    /// Starts a part and remembers it.
    fn start(&mut self, part: &str, site: Option<Site>, command: Command) -> Result<(), PartError> {
        let name = Started::name_of(part, site);
        let log = self.logs().join(format!("{name}.log"));
        let process = process::start(command, &log);
        let process = process.map_err(|source| PartError::Start {
            name: name.clone(),
            source,
        })?;
        self.started.retain(|old| old.name() != name);
        self.started.push(Started {
            part: part.to_owned(),
            site,
            process,
        });
        self.save()
    }

    fn start_part(
        &mut self,
        part: &str,
        site: Option<Site>,
        options: &serde_json::Value,
    ) -> Result<(), PartError> {
        let mut command = self.command(site);
        command.args(["demo-part", part, &options.to_string()]);
        self.start(part, site, command)
    }

    pub(super) fn start_dns(&mut self) -> Result<(), PartError> {
        let records = self
            .addresses
            .replicas(Site::Prod)
            .map(|replica| format!("app 1 A {}", replica.ip()).parse::<SeedRecord>());
        let options = dns::Options {
            listen: self.addresses.dns(),
            zone: ZONE.to_owned(),
            state: self.folder(Site::Witness).join("zone.json"),
            key_name: KEY.to_owned(),
            key_file: self.key_file(),
            records: records.into_iter().collect::<Result<_, _>>()?,
        };
        self.start_part("dns", Some(Site::Witness), &json!(options))
    }

    pub(super) fn start_agent(&mut self, site: Site) -> Result<(), PartError> {
        let mut command = self.command(Some(site));
        let listen = self.addresses.agent(site).to_string();
        command.args(["agent", "--site", site.name(), "--listen", &listen]);
        self.start("agent", Some(site), command)
    }

    pub(super) fn start_watch(&mut self) -> Result<(), PartError> {
        let mut command = self.command(Some(Site::Witness));
        command.args(["serve", "--json"]);
        self.start("serve", Some(Site::Witness), command)
    }

    pub(super) fn start_load(&mut self) -> Result<(), PartError> {
        let (clients, rate) = LOAD;
        let options = load::Options {
            dns: self.addresses.dns(),
            name: NAME.to_owned(),
            port: self.addresses.web,
            list: self.acks(),
            clients,
            rate,
            duration_ms: None,
            tenants: TENANTS,
            attachment_bytes: 2048,
            timeout_ms: 1000,
        };
        self.start_part("load", None, &json!(options))
    }

    /// Waits until an address takes connections.
    pub(super) async fn answers(&self, name: &str, address: SocketAddr) -> Result<(), PartError> {
        let deadline = Instant::now() + UP;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if self.ended(name) {
                return Err(self.not_up(name, "it ended".to_owned()));
            }
            if Instant::now() > deadline {
                return Err(self.not_up(name, format!("nothing answers at {address}")));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Whether a part that was started is dead. What the agents started is not known here.
    fn ended(&self, name: &str) -> bool {
        let mut parts = self.started.iter();
        let part = parts.rfind(|started| started.name() == name);
        part.is_some_and(|started| !started.process.lives())
    }

    /// Waits until the agent of a site answers the network.
    pub(super) async fn agent_answers(&self, site: Site) -> Result<(), PartError> {
        self.answers(&format!("agent-{site}"), self.addresses.agent(site))
            .await
    }

    pub(super) fn not_up(&self, name: &str, why: String) -> PartError {
        PartError::NotUp {
            name: name.to_owned(),
            why,
            logs: self.logs(),
        }
    }
}
