//! What people do to a world: look at it, break a site, heal it, take everything down.
//! Must not know what Mainstay does about it.

use std::path::PathBuf;

use super::process::{self, Identity, Which};
use super::record::{Started, World};
use super::site::Site;
use crate::error::PartError;

/// What lives of a site.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Presence {
    /// The site; none for what is at no site.
    pub site: Option<Site>,
    /// What the demo started there.
    pub parts: Vec<Living>,
    /// How many processes in all, with those that the agent supervises.
    pub processes: usize,
}

/// A part that was started, and whether it lives.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Living {
    /// What it is.
    pub part: String,
    /// Its process id.
    pub pid: i32,
    /// Whether it lives.
    pub lives: bool,
}

impl World {
    /// What lives of the world.
    #[must_use]
    pub fn presence(&self) -> Vec<Presence> {
        let mut found = Vec::new();
        for site in Site::ALL.map(Some).into_iter().chain([None]) {
            let parts: Vec<Living> = self
                .started
                .iter()
                .filter(|started| started.site == site)
                .map(|Started { part, process, .. }| Living {
                    part: part.clone(),
                    pid: process.pid,
                    lives: process.lives(),
                })
                .collect();
            let processes = site.map_or_else(
                || parts.iter().filter(|part| part.lives).count(),
                |site| self.processes(site).len(),
            );
            found.push(Presence {
                site,
                parts,
                processes,
            });
        }
        found
    }

    /// Every living process of a site: its agent and everything that it supervises.
    #[must_use]
    pub fn processes(&self, site: Site) -> Vec<Identity> {
        process::find(&self.token, Which::At(site.name()), &self.roots(Some(site)))
    }

    /// Kills every process of a site with SIGKILL, at once, and takes its disk away: the other site must not read what
    /// it could not read in a real loss. Returns how many processes there were.
    pub fn break_site(&self, site: Site) -> Result<usize, PartError> {
        let count = self.processes(site).len();
        let roots = || self.roots(Some(site));
        let left = process::kill(&self.token, Which::At(site.name()), roots);
        if site != Site::Witness && self.folder(site).exists() {
            let (from, to) = (self.folder(site), self.lost_folder(site));
            std::fs::rename(&from, to).map_err(PartError::file("take away", &from))?;
        }
        self.dead(&left)?;
        Ok(count)
    }

    /// Where a broken site's disk is meanwhile.
    fn lost_folder(&self, site: Site) -> PathBuf {
        self.dir.join(format!("{site}.lost"))
    }

    /// Brings a site's disk back and starts its agent again, and nothing else; at the witness also the name server and, where it watched, the watch.
    pub async fn heal(&mut self, site: Site) -> Result<(), PartError> {
        let (lost, folder) = (self.lost_folder(site), self.folder(site));
        if lost.exists() && !folder.exists() {
            std::fs::rename(&lost, &folder).map_err(PartError::file("bring back", &lost))?;
        }
        let (watched, agent, dns) = {
            let of_site = |part: &str| {
                let mut all = self.started.iter();
                all.find(|one| one.site == Some(site) && one.part == part)
                    .map(|one| one.process.lives())
            };
            (of_site("serve"), of_site("agent"), of_site("dns"))
        };
        if site == Site::Witness && dns != Some(true) {
            self.start_dns()?;
            self.answers("dns", self.addresses.dns()).await?;
        }
        if agent != Some(true) {
            self.start_agent(site)?;
        }
        self.agent_answers(site).await?;
        if watched == Some(false) {
            self.start_watch()?;
        }
        Ok(())
    }

    /// Kills every process of the world.
    pub fn down(&self) -> Result<(), PartError> {
        self.dead(&process::kill(&self.token, Which::All, || self.roots(None)))
    }

    fn dead(&self, left: &[Identity]) -> Result<(), PartError> {
        match left.first() {
            None => Ok(()),
            Some(one) => Err(self.not_up("down", format!("process {} does not die", one.pid))),
        }
    }

    /// Processes that carry no mark of the world: database clusters, by the id in their own pid file.
    fn roots(&self, site: Option<Site>) -> Vec<Identity> {
        let sites = Site::DATA
            .into_iter()
            .filter(|one| site.is_none_or(|site| site == *one));
        sites
            .filter_map(|site| postmaster(self.cluster(site)))
            .collect()
    }
}

/// The running cluster of a data folder: its process works in that folder.
fn postmaster(data: PathBuf) -> Option<Identity> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse().ok()?;
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    let same = folder == data.canonicalize().unwrap_or(data);
    same.then(|| Identity::of(pid)).flatten()
}
