//! One store at one site: its options turned into logins, a data folder and programs.
//! Must not know what is done with them.

use std::{collections::BTreeMap, path::PathBuf};

use mainstay_driver::Cause;
use mainstay_model::{ComponentId, Secret, SiteId};

use super::{
    files::Folder,
    options::{PostgresAt, PostgresOptions},
    programs::Programs,
    server::Server,
    session::{Login, NoSession},
};
use crate::shared::{lasting, passing};
use crate::support::{Home, secret};

/// A store as this agent sees it.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) name: ComponentId,
    pub(super) home: Home,
    pub(super) sites: BTreeMap<SiteId, PostgresAt>,
    pub(super) options: PostgresOptions,
}

impl Instance {
    /// A site's options.
    pub(super) fn at(&self, site: &SiteId) -> Result<&PostgresAt, Cause> {
        self.sites.get(site).ok_or_else(|| {
            lasting(
                "options-invalid",
                format!("{} is not declared at {site}", self.name),
            )
        })
    }

    async fn login(
        &self,
        at: &PostgresAt,
        user: &str,
        password: Option<&Secret>,
    ) -> Result<Login, Cause> {
        let password = match password {
            Some(reference) => Some(secret(&self.home.base, reference).await?),
            None => None,
        };
        Login::new(&at.url, user, password.as_deref())
            .map_err(|what| lasting("options-invalid", what))
    }

    /// Mainstay's own role at a site.
    pub(super) async fn admin(&self, site: &SiteId) -> Result<Login, Cause> {
        let at = self.at(site)?;
        self.login(at, &at.user, at.password.as_ref()).await
    }

    /// The role that copies from a site: what the other sites know of it.
    pub(super) async fn copier(&self, site: &SiteId) -> Result<Login, Cause> {
        let at = self.at(site)?;
        match &at.replication {
            Some(role) => self.login(at, &role.user, role.password.as_ref()).await,
            None => Err(lasting(
                "postgres-no-replication-role",
                format!("{} at {site} declares no replication role", self.name),
            )),
        }
    }

    /// The copier's password, for PostgreSQL's own programs.
    pub(super) async fn copier_password(&self, site: &SiteId) -> Result<Option<String>, Cause> {
        match self
            .at(site)?
            .replication
            .as_ref()
            .and_then(|role| role.password.as_ref())
        {
            Some(reference) => secret(&self.home.base, reference).await.map(Some),
            None => Ok(None),
        }
    }

    /// The roles whose sessions are not an application's.
    pub(super) fn ours(&self, site: &SiteId) -> Vec<String> {
        self.sites.get(site).map_or_else(Vec::new, |at| {
            let copier = at.replication.as_ref().map(|role| role.user.clone());
            std::iter::once(at.user.clone()).chain(copier).collect()
        })
    }

    /// Whether this agent owns the cluster at that site.
    pub(super) fn owns(&self, site: &SiteId) -> bool {
        *site == self.home.site && self.sites.get(site).is_some_and(|at| at.data.is_some())
    }

    /// The data folder at this agent's own site, without looking for programs.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        let at = self.sites.get(&self.home.site)?;
        at.data.as_ref().map(|data| self.home.path(data))
    }

    /// PostgreSQL's programs at this agent's site, also where it does not own the cluster.
    pub(super) async fn programs(&self) -> Result<Programs, Cause> {
        let at = self.at(&self.home.site)?;
        let data = self.folder().unwrap_or_else(|| "/nonexistent".into());
        let bin = at.bin.as_ref().map(|bin| self.home.path(bin));
        Programs::find(bin.as_deref(), at.run_as.as_deref(), &data).await
    }

    /// The cluster that this agent owns.
    pub(super) async fn server(&self) -> Result<Server, Cause> {
        let site = &self.home.site;
        let at = self.at(site)?;
        let Some(data) = self.folder() else {
            return Err(lasting(
                "postgres-not-owned",
                format!(
                    "{} at {site} names no data folder: its agent does not own it",
                    self.name
                ),
            ));
        };
        let programs = self.programs().await?;
        let admin = self.admin(site).await?;
        Ok(Server {
            folder: Folder {
                path: data,
                owner: programs.owner,
            },
            config: at.config.as_ref().map(|config| self.home.path(config)),
            port: admin.address().1,
            user: at.user.clone(),
            copier: at.replication.as_ref().map(|role| role.user.clone()),
            programs,
        })
    }

    /// This component's folder in the agent's own state.
    pub(super) fn state(&self, name: &str) -> PathBuf {
        self.home
            .state
            .join("postgres")
            .join(self.name.as_str())
            .join(name)
    }

    /// The site that a standby's `primary_conninfo` leads to.
    pub(super) fn site_of(&self, conninfo: &str) -> Option<SiteId> {
        let host = keyword(conninfo, "host")?;
        let port = keyword(conninfo, "port").map_or(Some(5432), |port| port.parse().ok())?;
        let found = self.sites.iter().find(|(_, at)| {
            Login::new(&at.url, &at.user, None)
                .is_ok_and(|login| login.address() == (host.clone(), port))
        });
        found.map(|(site, _)| site.clone())
    }

    /// The replication slot that a site uses at its source.
    pub(super) fn slot(site: &SiteId) -> String {
        let name: String = site
            .as_str()
            .chars()
            .map(|c| match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() => c,
                _ => '_',
            })
            .take(50)
            .collect();
        format!("mainstay_{name}")
    }
}

/// The cause that stands for a server that does not answer.
pub(super) fn unreachable(error: &NoSession) -> Cause {
    match error {
        NoSession::Silent(what) | NoSession::NotNow(what) => {
            passing("store-unreachable", what.clone())
        }
        NoSession::Refused(what) => lasting("store-refuses-mainstay", what.clone()),
    }
}

/// The value of a keyword in a connection string (`host='a' port=1`), in libpq's syntax.
fn keyword(conninfo: &str, wanted: &str) -> Option<String> {
    let mut rest = conninfo.trim_start();
    while let Some((name, value)) = rest.split_once('=') {
        let quoted = value.starts_with('\'');
        let mut text = String::new();
        let mut chars = value.char_indices().skip(usize::from(quoted));
        let mut end = value.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                '\'' if quoted => {
                    end = at + 1;
                    break;
                }
                c if !quoted && c.is_whitespace() => {
                    end = at;
                    break;
                }
                c => text.push(c),
            }
        }
        if name.trim() == wanted {
            return Some(text);
        }
        rest = value.get(end..)?.trim_start();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found_in_connection_strings() {
        let text = r"host='a b' port=6432 user='it\'s' passfile='/x/y=z' dbname=d";
        for (name, value) in [
            ("host", "a b"),
            ("port", "6432"),
            ("user", "it's"),
            ("passfile", "/x/y=z"),
            ("dbname", "d"),
        ] {
            assert_eq!(keyword(text, name).as_deref(), Some(value));
        }
        assert_eq!(keyword(text, "y"), None);
        assert_eq!(keyword("", "host"), None);
    }
}
