//! Backups as the control plane sees them: restore points, how far each is proven, which may go; proofs leave receipts.
//! What touches a store is done by the agents; what touches only a repository is done here.
//! Must not know how a store is saved, nor how anything is shown.

mod error;
mod keep;
mod keeper;
mod mirrors;
mod prove;
mod validate;
mod vault;
mod work;

pub use error::BackupsError;
pub use keep::{Forgotten, Kept, forget, retention};
pub use keeper::{KeeperNotice, keep};
pub use mirrors::{Cure, cure, heal, mirror_to, mirrors_of};
pub use prove::{Proof, Proven, prove_stored, prove_tested};
pub use validate::{Period, validate};
pub use vault::{Point, Vault, position_text};
pub use work::{Follow, follow, owner_of, tester_of};
