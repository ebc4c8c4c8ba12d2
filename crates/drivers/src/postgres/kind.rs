//! The pure half of `postgres`: its options and its promises. Its steps and goals are the standard ones of a store.
//! Must not know how a cluster is operated.

use mainstay_model::{
    Class, Complaint, Declared, FenceClass, Idempotence, Kind, KindSchema, LossMode, SealStrength,
    Traits,
};
use tokio_postgres::Config;

use super::options::{PostgresAt, PostgresOptions, sites};
use crate::shared::schema_of;

/// Databases on PostgreSQL with streaming replication.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresKind;

impl Kind for PostgresKind {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Store]
    }

    fn schema(&self, _class: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<PostgresAt>(),
            options: schema_of::<PostgresOptions>(),
        }
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let sites = sites(declared);
        let mut complaints = Vec::new();
        for (site, at) in &sites {
            let mut complain = |key: &str, what: String, help: &str| {
                complaints.push(Complaint {
                    path: vec!["at".to_owned(), site.to_string(), key.to_owned()],
                    what,
                    help: Some(help.to_owned()),
                });
            };
            match at.url.parse::<Config>() {
                Err(error) => complain(
                    "url",
                    format!("that is no connection URL: {error}"),
                    "write postgres://HOST:PORT/DATABASE",
                ),
                Ok(config) => {
                    if config.get_password().is_some() {
                        complain(
                            "url",
                            "a password is written in the URL".to_owned(),
                            "write password: { env: NAME } or password: { file: PATH } beside it",
                        );
                    }
                    if config.get_hosts().len() != 1 || config.get_dbname().is_none() {
                        complain(
                            "url",
                            "one host and a database are needed".to_owned(),
                            "write postgres://HOST:PORT/DATABASE",
                        );
                    }
                }
            }
            if at.data.is_some() && at.replication.is_none() && sites.len() > 1 {
                complain(
                    "replication",
                    "the other site cannot copy from here: no replication role".to_owned(),
                    "write replication: { user: replicator, password: { file: PATH } }",
                );
            }
        }
        complaints
    }

    fn traits(&self, declared: &Declared) -> Traits {
        let owned = sites(declared).values().all(|at| at.data.is_some());
        Traits {
            // A lease, where the plan file has one, is the planner's to count; by itself a lost primary is not fenced.
            fence: FenceClass::F0,
            loss: LossMode::Lag,
            seal: if owned {
                SealStrength::Enforced
            } else {
                SealStrength::Observed
            },
            idempotence: Idempotence::Conditional,
        }
    }
}
