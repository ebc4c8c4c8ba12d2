//! Where everything of one world listens: a network of its own within 127.0.0.0/8, so that worlds do not meet.
//! Must not know who listens there.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use serde::{Deserialize, Serialize};

use super::site::Site;
use crate::error::PartError;

/// How many networks are tried before giving up.
const TRIES: u32 = 64;

/// The addresses of one world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The second and third byte of every address.
    pub net: [u8; 2],
    /// The order service's port, at every replica's address.
    pub web: u16,
    /// The schedulers' port.
    pub jobs: u16,
    /// The agents' port.
    pub agent: u16,
    /// The name server's port.
    pub dns: u16,
    /// The database clusters' port.
    pub database: u16,
}

impl Addresses {
    /// Picks a network at random whose ports are all free.
    pub fn free() -> Result<Self, PartError> {
        let mut last = None;
        for _ in 0..TRIES {
            match Self::random().and_then(|found| found.check().map(|()| found)) {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(error),
            }
        }
        let source = last.unwrap_or_else(|| io::Error::other("no free address was found"));
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Err(PartError::Listen { addr, source })
    }

    fn random() -> io::Result<Self> {
        // The hasher's keys are random for each process; no cryptography depends on this.
        let random = RandomState::new().build_hasher().finish().to_be_bytes();
        let net = [random[0].clamp(1, 254), random[1].clamp(1, 254)];
        let mut ports = [0; 5];
        for port in &mut ports {
            let address = Ipv4Addr::new(127, net[0], net[1], 11);
            *port = TcpListener::bind((address, 0))?.local_addr()?.port();
        }
        let [web, jobs, agent, dns, database] = ports;
        Ok(Self {
            net,
            web,
            jobs,
            agent,
            dns,
            database,
        })
    }

    fn check(self) -> io::Result<()> {
        let mut held = Vec::new();
        for site in Site::DATA {
            for replica in self.replicas(site) {
                held.push(TcpListener::bind(replica)?);
            }
            held.push(TcpListener::bind(self.jobs(site))?);
            held.push(TcpListener::bind(self.database(site))?);
        }
        for site in Site::ALL {
            held.push(TcpListener::bind(self.agent(site))?);
        }
        held.push(TcpListener::bind(self.dns())?);
        UdpSocket::bind(self.dns()).map(drop)
    }

    fn host(self, last: u8) -> IpAddr {
        let [second, third] = self.net;
        Ipv4Addr::new(127, second, third, last).into()
    }

    /// A site's first address.
    #[must_use]
    pub fn site(self, site: Site) -> IpAddr {
        self.host(match site {
            Site::Prod => 11,
            Site::Dr => 12,
            Site::Witness => 13,
        })
    }

    /// Where a site's two replicas of the order service listen.
    #[must_use]
    pub fn replicas(self, site: Site) -> [SocketAddr; 2] {
        let second = match site {
            Site::Prod => 21,
            Site::Dr => 22,
            Site::Witness => 23,
        };
        [self.site(site), self.host(second)].map(|host| SocketAddr::new(host, self.web))
    }

    /// Where a site's scheduler listens.
    #[must_use]
    pub fn jobs(self, site: Site) -> SocketAddr {
        SocketAddr::new(self.site(site), self.jobs)
    }

    /// Where a site's agent answers the network.
    #[must_use]
    pub fn agent(self, site: Site) -> SocketAddr {
        SocketAddr::new(self.site(site), self.agent)
    }

    /// Where a site's database cluster listens.
    #[must_use]
    pub fn database(self, site: Site) -> SocketAddr {
        SocketAddr::new(self.site(site), self.database)
    }

    /// Where the name server listens.
    #[must_use]
    pub fn dns(self) -> SocketAddr {
        SocketAddr::new(self.site(Site::Witness), self.dns)
    }
}
