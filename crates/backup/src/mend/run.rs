//! Carrying out a plan to mend. Nothing is replaced before what replaces it was proven, and nothing damaged is removed
//! before it is kept elsewhere and what takes its place is durable and was read back.
//! Must not know how the plan was made.

use std::collections::BTreeSet;

use mainstay_storage::{Created, ObjectName, Part, StorageError};

use super::{
    MendPlan, Mended,
    supply::sealed,
    survey::{Survey, survey},
};
use crate::{
    BackupError, FileKind, Id, Index, Lock, Progress, Repository, Sharing, Stored,
    check::{is_gone, whole},
    index::Listed,
    layout,
    saver::{Saver, Stopped, with_saver},
};

/// Where damaged files are kept. restic and Mainstay never look there.
const KEPT: &str = "damaged";

/// Finds out what is damaged and how it can be mended. Nothing is changed. `suspects` are packs that a check or a
/// scrub named: they are read to the last byte; of all other packs only the length is compared. `other` is another
/// copy of the same repository, whole or not.
pub fn plan_mend(
    repository: &Repository,
    other: Option<&Repository>,
    suspects: &BTreeSet<Id>,
    progress: &dyn Progress,
) -> Result<MendPlan, BackupError> {
    let _lock = Lock::take(repository, Sharing::Shared)?;
    Ok(survey(repository, other, suspects, progress)?.plan)
}

/// Carries out a plan, if it is still the right one for these suspects. What is lost is in the plan. It can be
/// repeated after a crash at any moment, with a new plan.
pub fn mend(
    repository: &Repository,
    other: Option<&Repository>,
    suspects: &BTreeSet<Id>,
    plan: &MendPlan,
    progress: &dyn Progress,
) -> Result<Mended, BackupError> {
    let lock = Lock::take(repository, Sharing::Exclusive)?;
    let survey = survey(repository, other, suspects, progress)?;
    if survey.plan != *plan {
        return Err(BackupError::MendRefused {
            why: "what is damaged is not what was planned for",
        });
    }
    let mut work = Work {
        repository,
        lock: &lock,
        mended: Mended::default(),
    };
    if let Some(other) = other {
        work.replace(other, plan)?;
    }
    work.mended.stored = save(repository, other, &survey, &lock, progress)?;
    let old = work.list_anew(&survey)?;
    work.remove(&survey, old)?;
    Ok(work.mended)
}

struct Work<'a> {
    repository: &'a Repository,
    lock: &'a Lock,
    mended: Mended,
}

/// What came of keeping a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    /// There was nothing.
    Nothing,
    /// It cannot be read.
    No,
}

impl Work<'_> {
    /// Takes files from the other copy: those that everything else needs first.
    fn replace(&mut self, other: &Repository, plan: &MendPlan) -> Result<(), BackupError> {
        let order = |name: &&ObjectName| match name.as_str().split('/').next() {
            Some("config") => 0,
            Some("keys") => 1,
            Some("data") => 2,
            Some("index") => 3,
            _ => 4,
        };
        let mut names: Vec<&ObjectName> = plan.replace.iter().collect();
        names.sort_by_key(order);
        for name in names {
            let bytes = whole(other, name)?;
            self.keep(name)?;
            self.lock.check()?;
            let storage = self.repository.storage();
            storage.write(name, &bytes)?;
            storage.flush()?;
            whole(self.repository, name)?;
        }
        Ok(())
    }

    /// Keeps what there is of a damaged file under another name.
    fn keep(&mut self, name: &ObjectName) -> Result<Kept, BackupError> {
        let storage = self.repository.storage();
        let mut bytes = Vec::new();
        match storage.read(name, Part::Whole, &mut bytes) {
            Ok(()) => {}
            Err(StorageError::Absent { .. }) => return Ok(Kept::Nothing),
            Err(error) if is_gone(&error) => {
                self.mended.not_kept.insert(name.clone());
                return Ok(Kept::No);
            }
            Err(error) => return Err(error.into()),
        }
        self.lock.check()?;
        // Another damage of the same file gets another name.
        let short = Id::of(&bytes).short();
        let flat = name.as_str().replace('/', "-");
        let kept = ObjectName::new(format!("{KEPT}/{flat}.{short}"))?;
        if storage.create(&kept, &bytes)? == Created::ThereAlready {
            // Perhaps half of it, by a container that does not keep its word.
            storage.write(&kept, &bytes)?;
        }
        storage.flush()?;
        let mut back = Vec::new();
        storage.read(&kept, Part::Whole, &mut back)?;
        if back != bytes {
            return Err(BackupError::Damaged {
                name: kept,
                how: "it was just written and reads back otherwise".to_owned(),
            });
        }
        self.mended.kept.insert(kept);
        Ok(Kept::Yes)
    }

    /// Writes the indexes that list damaged packs again, without them, and with what is to be listed again. Answers
    /// those that they take the place of.
    fn list_anew(&self, survey: &Survey) -> Result<Vec<Id>, BackupError> {
        let goes = |pack: &Id| survey.plan.salvage.contains_key(pack);
        let (mut old, mut packs) = (Vec::new(), survey.list.clone());
        for (id, listed) in &survey.indexes {
            if listed.iter().any(|(pack, _)| goes(pack)) {
                old.push(*id);
                let stays = listed.iter().filter(|(pack, _)| !goes(pack));
                packs.extend(stays.cloned());
            }
        }
        if packs.is_empty() {
            return Ok(old);
        }
        self.lock.check()?;
        let written = self.repository.write_index(&packs, &old)?;
        self.repository.storage().flush()?;
        let back: Vec<Listed> = self.repository.index_file(written)?;
        if back != packs {
            return Err(BackupError::MendRefused {
                why: "a new index reads back otherwise than it was written",
            });
        }
        Ok(old)
    }

    /// Removes what nothing refers to any more. Damaged files are kept first; one that cannot be read stays.
    fn remove(&mut self, survey: &Survey, old: Vec<Id>) -> Result<(), BackupError> {
        let mut names = Vec::new();
        for id in old {
            names.push(FileKind::Index.name(id)?);
        }
        self.delete(&names)?;
        let mut names = Vec::new();
        for name in &survey.plan.aside {
            if self.keep(name)? == Kept::Yes {
                names.push(name.clone());
            }
        }
        for pack in survey.plan.salvage.keys() {
            let name = FileKind::Pack.name(*pack)?;
            if self.keep(&name)? == Kept::Yes {
                names.push(name);
            }
        }
        self.delete(&names)
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), BackupError> {
        debug_assert!(layout::config().is_ok_and(|config| !names.contains(&config)));
        self.lock.check()?;
        self.repository.storage().delete(names)?;
        Ok(self.repository.storage().flush()?)
    }
}

/// Writes new packs of what can still be read and of what the other copy has, and an index of them.
fn save(
    repository: &Repository,
    other: Option<&Repository>,
    survey: &Survey,
    lock: &Lock,
    progress: &dyn Progress,
) -> Result<Stored, BackupError> {
    // Nothing counts as there already: what is copied must be in new packs.
    let empty = Index::default();
    let work = |saver: &Saver<'_>| -> Result<(), Stopped> {
        let mut hand = saver.hand()?;
        let here = survey.salvage.iter();
        let here =
            here.flat_map(|(pack, entries)| entries.iter().map(|one| (repository, *pack, *one)));
        let there = survey.fetch.iter();
        let there = there.filter_map(|(pack, entry)| Some((other?, *pack, *entry)));
        for (from, pack, entry) in here.chain(there) {
            saver.check()?;
            let bytes = sealed(from, pack, &entry).map_err(|error| saver.fail(error))?;
            hand.save_sealed(entry, &bytes)?;
        }
        hand.close()
    };
    Ok(with_saver(repository, &empty, lock, progress, work)?.1)
}
