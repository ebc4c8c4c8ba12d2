//! What the watch remembers: its detector, and the moves that it proposed.
//! Must not know how a failure is detected.

use mainstay_model::{RunId, Scenario, SiteId, Timestamp};
use rusqlite::params;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    State, StateError,
    rows::{self, decode, encode, number, unsigned},
};

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProposalState {
    /// A person decides.
    Open,
    /// Mainstay acted by itself, under a standing acceptance.
    Acted {
        /// The run.
        run: RunId,
    },
    /// It would have acted, and a rule forbade it.
    Refused {
        /// The rule and its evidence, in words.
        why: String,
    },
}

/// A move that the watch proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// When.
    pub at: Timestamp,
    /// What was detected.
    pub scenario: Scenario,
    /// The site it is about.
    pub site: SiteId,
    /// What was seen, in words.
    pub evidence: Vec<String>,
    /// Where to move; none if there is nowhere.
    pub to: Option<SiteId>,
    /// The command that would do it.
    pub command: String,
    /// What became of it.
    pub state: ProposalState,
}

impl State {
    /// What the detector remembered.
    pub fn detector<T: DeserializeOwned>(&self) -> Result<Option<T>, StateError> {
        let body = self.db.read(|c| rows::meta(c, "detector"))?;
        body.map(|body| decode("the detector's state", &body))
            .transpose()
    }

    /// Remembers the detector's state.
    pub async fn keep_detector<T: Serialize>(&self, detector: &T) -> Result<(), StateError> {
        let body = encode("the detector's state", detector)?;
        self.db
            .write(move |c| rows::set_meta(c, "detector", &body))
            .await?;
        Ok(())
    }

    /// Stores a proposal and returns its number.
    pub async fn propose(&self, proposal: &Proposal) -> Result<u64, StateError> {
        let (at, body) = (proposal.at.0, encode("a proposal", proposal)?);
        let seq = self
            .db
            .write(move |c| {
                c.execute(
                    "INSERT INTO proposals (at, body) VALUES (?1, ?2)",
                    params![at, body],
                )?;
                Ok(c.last_insert_rowid())
            })
            .await?;
        Ok(unsigned(seq))
    }

    /// Writes down what became of a proposal.
    pub async fn settle(&self, seq: u64, proposal: &Proposal) -> Result<(), StateError> {
        let body = encode("a proposal", proposal)?;
        self.db
            .write(move |c| {
                c.execute(
                    "UPDATE proposals SET body = ?2 WHERE seq = ?1",
                    params![number(seq), body],
                )
                .map(|_| ())
            })
            .await?;
        Ok(())
    }

    /// Proposals, the newest first.
    pub fn proposals(&self) -> Result<Vec<Proposal>, StateError> {
        let rows: Vec<Vec<u8>> = self.db.read(|c| {
            let mut rows =
                c.prepare_cached("SELECT body FROM proposals ORDER BY seq DESC LIMIT 100")?;
            let found = rows.query_map([], |row| row.get(0))?;
            found.collect()
        })?;
        rows.iter().map(|body| decode("a proposal", body)).collect()
    }
}
