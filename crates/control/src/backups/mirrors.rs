//! The copies of a repository in other containers: kept up to date, and what is damaged is mended from them.
//! Must not know when.

use std::collections::BTreeSet;

use mainstay_backup::{
    Id, IfMissing, MendPlan, Mended, Mirrored, Quiet, Repository, ScrubMemory, mend, mirror,
    open_container, plan_mend,
};
use mainstay_model::RepositoryId;

use super::{
    BackupsError,
    vault::{Vault, blocking},
};
use crate::desk::Desk;

/// What would mend a repository, and from which of its copies.
#[derive(Debug, Clone)]
pub struct Cure {
    /// The copy; none if what is left here is all there is.
    pub from: Option<RepositoryId>,
    /// What would be done.
    pub plan: MendPlan,
    suspects: BTreeSet<Id>,
    other: Option<Repository>,
}

/// The declared copies of a repository.
#[must_use]
pub fn mirrors_of(desk: &Desk, name: &RepositoryId) -> Vec<RepositoryId> {
    let declared = desk.plan.repositories.get(name);
    declared.map_or_else(Vec::new, |declared| declared.mirrors.clone())
}

/// Brings a copy up to date. Nothing is ever removed from it.
pub async fn mirror_to(
    desk: &Desk,
    vault: &Vault,
    to: &RepositoryId,
) -> Result<Mirrored, BackupsError> {
    let declared = desk.plan.repositories.get(to).cloned();
    let declared = declared.ok_or_else(|| BackupsError::NoRepository(to.clone()))?;
    let (path, from) = (desk.places.scrubbed(to), vault.repository.clone());
    blocking(move || {
        let container = open_container(&declared, IfMissing::Create)?;
        let mut memory = ScrubMemory::read(&path);
        let done = mirror(&from, container, &mut memory, &Quiet);
        let folder = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(folder).map_err(BackupsError::Memory)?;
        memory.write(&path).map_err(BackupsError::Memory)?;
        Ok(done?)
    })
    .await?
}

/// Finds out what would mend these packs, and whatever else is damaged: from the first copy that has all of it, else
/// from what can still be read here.
pub async fn cure(
    desk: &Desk,
    vault: &Vault,
    suspects: BTreeSet<Id>,
) -> Result<Cure, BackupsError> {
    let mut best: Option<Cure> = None;
    for from in mirrors_of(desk, &vault.name) {
        let declared = desk.plan.repositories.get(&from).cloned();
        let declared = declared.ok_or_else(|| BackupsError::NoRepository(from.clone()))?;
        let (repository, packs) = (vault.repository.clone(), suspects.clone());
        let planned = blocking(move || {
            let other = repository.on(open_container(&declared, IfMissing::Refuse)?);
            let plan = plan_mend(&repository, Some(&other), &packs, &Quiet)?;
            Ok::<_, BackupsError>((plan, other))
        });
        // A copy that cannot be reached, or is another repository, helps nobody.
        let Ok((plan, other)) = planned.await? else {
            continue;
        };
        let found = Cure {
            from: Some(from),
            suspects: suspects.clone(),
            other: Some(other),
            plan,
        };
        if found.plan.mends_all() {
            return Ok(found);
        }
        best.get_or_insert(found);
    }
    if let Some(best) = best {
        return Ok(best);
    }
    let (repository, packs) = (vault.repository.clone(), suspects.clone());
    let plan = blocking(move || plan_mend(&repository, None, &packs, &Quiet)).await??;
    Ok(Cure {
        from: None,
        plan,
        suspects,
        other: None,
    })
}

/// Carries out what was found. The packs count as unread afterwards.
pub async fn heal(desk: &Desk, vault: &Vault, cure: Cure) -> Result<Mended, BackupsError> {
    let (repository, path) = (vault.repository.clone(), desk.places.scrubbed(&vault.name));
    blocking(move || {
        let Cure {
            plan,
            suspects,
            other,
            ..
        } = cure;
        let mended = mend(&repository, other.as_ref(), &suspects, &plan, &Quiet)?;
        let mut memory = ScrubMemory::read(&path);
        memory.forget(&suspects);
        memory.write(&path).map_err(BackupsError::Memory)?;
        Ok(mended)
    })
    .await?
}
