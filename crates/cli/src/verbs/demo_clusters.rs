//! Makes the demo's database clusters, with what Mainstay knows about PostgreSQL.
//! Must not know what happens to them.

use async_trait::async_trait;
use mainstay_demo::{
    PartError,
    world::{self, World},
};

/// The demo's clusters.
pub(crate) struct Clusters;

#[async_trait]
impl world::Clusters for Clusters {
    async fn make(&self, _: &World) -> Result<(), PartError> {
        Err(PartError::Database("not yet".to_owned()))
    }
}
