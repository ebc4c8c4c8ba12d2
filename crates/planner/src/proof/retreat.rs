//! I22: until commit, every effect can be taken back, in an order that never lets two sites write and that leaves
//! everything as it was. A retreat undoes a step when everything that waited for it was undone.
//! Must not know how a retreat is carried out.

use mainstay_model::{
    ComponentId, Epoch, OnFailure, SiteId, Step, StepId, Undo, WorkloadRole, Writers,
};

use super::{
    Act, Race, acts,
    meaning::{StoreActs, WorkloadActs},
    prove::Case,
    stores::initial,
    undo_acts,
};

/// A run that holds on failure leaves the next action to a person; any other one must be able to go back.
pub(crate) fn check(case: &Case<'_>) -> Result<(), Race> {
    if case.runbook.on_failure == OnFailure::Hold {
        return Ok(());
    }
    for step in &case.runbook.steps {
        if case.may_be_undone(step.id) {
            has_undo(case, step)?;
        }
    }
    for (name, store) in &case.reading.stores {
        store_goes_back(case, name, store)?;
    }
    for (name, workload) in &case.reading.workloads {
        works_again(case, name, workload)?;
        let declared = case.file.workloads.get(*name);
        if declared.is_some_and(|workload| workload.role == WorkloadRole::Scheduler) {
            scheduler_goes_back(case, name, workload)?;
        }
    }
    for (name, changes) in &case.reading.routes {
        route_goes_back(case, name, changes)?;
    }
    Ok(())
}

/// Everything that was so before the run is so again.
fn has_undo(case: &Case<'_>, step: &Step) -> Result<(), Race> {
    if step.undo == Undo::Irreversible {
        return Err(case.wrong(
            "I22",
            step.id,
            "it cannot be undone, and comes before commit",
        ));
    }
    let undo = undo_acts(step, case.file);
    for act in acts(step, case.file) {
        let back = match (&act, &undo) {
            (Act::Shut(name, site, _), undo) => {
                let was = initial(case, name).contains(site);
                !was || matches!(undo, Some(Act::Enable(_, at, _)) if at == site)
                    || !matches!(step.body, mainstay_model::Body::Act(_))
            }
            (Act::Enable(_, site, epoch), undo) => {
                matches!(undo, Some(Act::Shut(_, at, shut)) if at == site && shut.covers(*epoch))
            }
            (Act::Rest(name, site), undo) => {
                let was = initial(case, name).contains(site);
                !was || matches!(undo, Some(Act::Work(_, at)) if at == site)
            }
            (Act::Route(..), undo) => matches!(undo, Some(Act::Route(..))),
            _ => true,
        };
        if !back {
            return Err(case.wrong("I22", step.id, "a retreat could not take it back"));
        }
    }
    Ok(())
}

/// Its undo waits for the undo of `later`.
fn undone_after(case: &Case<'_>, step: StepId, later: StepId) -> bool {
    case.order.before(step, later)
}

fn store_goes_back(case: &Case<'_>, name: &ComponentId, acts: &StoreActs<'_>) -> Result<(), Race> {
    let sites = initial(case, name);
    let undoable = acts
        .enables
        .iter()
        .filter(|(id, ..)| case.may_be_undone(*id));
    let newest = undoable.clone().map(|(.., epoch)| *epoch).max();
    let single = case
        .file
        .stores
        .get(name)
        .is_none_or(|store| store.writers != Writers::Many);
    for (promote, site, _) in undoable.clone().filter(|(_, site, _)| sites.contains(site)) {
        let sealed_before = |shut: StepId| {
            let back = undo_acts(case.step(shut), case.file);
            matches!(back, Some(Act::Enable(_, at, _)) if at == *site)
                && case.order.before(shut, *promote)
        };
        let mut shuts = acts.shuts.iter().filter(|(_, at, _)| at == site);
        if !shuts.any(|(shut, ..)| sealed_before(*shut)) {
            let how = format!("its undo would leave {name} sealed at {site}");
            return Err(case.wrong("I22", *promote, &how));
        }
    }
    for (shut, ..) in acts.shuts.iter().filter(|(id, ..)| case.may_be_undone(*id)) {
        let Some(Act::Enable(_, site, epoch)) = undo_acts(case.step(*shut), case.file) else {
            continue;
        };
        if newest.is_some_and(|newest| epoch <= newest) || is_old(case, name, epoch) {
            return Err(case.wrong("I2", *shut, "its undo takes an epoch that is not new"));
        }
        if single && !sites.contains(&site) && !sites.is_empty() {
            return Err(case.wrong("I1", *shut, "its undo enables writes where there were none"));
        }
        for (promote, at, _) in undoable.clone().filter(|(_, at, _)| *at != site) {
            if single && !undone_after(case, *shut, *promote) {
                let how = format!("in a retreat {name} could be writable at {site} and at {at}");
                return Err(case.race("I1", *promote, *shut, &how));
            }
        }
    }
    Ok(())
}

fn is_old(case: &Case<'_>, name: &ComponentId, epoch: Epoch) -> bool {
    let epochs = case.runbook.epochs.get(name);
    epochs.is_none_or(|epochs| epoch <= epochs.from)
}

/// Who worked at a site before the run, and is stopped there by an undo, is started by a later one.
fn works_again(case: &Case<'_>, name: &ComponentId, acts: &WorkloadActs<'_>) -> Result<(), Race> {
    let sites = initial(case, name);
    let started = acts.works.iter().filter(|(id, _)| case.may_be_undone(*id));
    for (start, site) in started.filter(|(_, site)| sites.contains(site)) {
        let stopped_before = |rest: StepId| {
            let back = undo_acts(case.step(rest), case.file);
            matches!(back, Some(Act::Work(_, at)) if at == *site) && case.order.before(rest, *start)
        };
        let mut rests = acts.rests.iter().filter(|(_, at)| at == site);
        if rests_again(case, *start, site) && !rests.any(|(rest, _)| stopped_before(*rest)) {
            let how = format!("its undo would leave {name} stopped at {site}");
            return Err(case.wrong("I22", *start, &how));
        }
    }
    Ok(())
}

fn scheduler_goes_back(
    case: &Case<'_>,
    name: &ComponentId,
    acts: &WorkloadActs<'_>,
) -> Result<(), Race> {
    let sites = initial(case, name);
    let started = acts.works.iter().filter(|(id, _)| case.may_be_undone(*id));
    for (rest, _) in acts.rests.iter().filter(|(id, _)| case.may_be_undone(*id)) {
        let Some(Act::Work(_, site)) = undo_acts(case.step(*rest), case.file) else {
            continue;
        };
        if !sites.contains(&site) && !sites.is_empty() {
            return Err(case.wrong(
                "I1",
                *rest,
                "its undo lets a scheduler work where it did not",
            ));
        }
        for (start, at) in started.clone().filter(|(_, at)| *at != site) {
            let stops = rests_again(case, *start, at);
            if !stops || !undone_after(case, *rest, *start) {
                let how = format!("in a retreat {name} could work at {site} and at {at}");
                return Err(case.race("I1", *start, *rest, &how));
            }
        }
    }
    Ok(())
}

fn rests_again(case: &Case<'_>, start: StepId, site: &SiteId) -> bool {
    matches!(undo_acts(case.step(start), case.file), Some(Act::Rest(_, at)) if at == site)
}

fn route_goes_back(
    case: &Case<'_>,
    name: &ComponentId,
    changes: &[(StepId, &mainstay_model::Weights, Epoch)],
) -> Result<(), Race> {
    let mut back: Vec<_> = changes
        .iter()
        .filter(|(id, ..)| case.may_be_undone(*id))
        .collect();
    back.sort_by_key(|(.., epoch)| *epoch);
    let newest = back.last().map(|(.., epoch)| *epoch);
    let mut earlier: Option<Epoch> = None;
    for (at, (id, ..)) in back.into_iter().enumerate() {
        let Some(Act::Route(_, weights, epoch)) = undo_acts(case.step(*id), case.file) else {
            continue;
        };
        let grows = earlier.is_none_or(|earlier| epoch < earlier);
        if newest.is_some_and(|newest| epoch <= newest) || !grows {
            return Err(case.wrong("I21", *id, "its undo writes an epoch that is not new"));
        }
        if weights.values().all(|weight| *weight == 0) {
            return Err(case.wrong("I21", *id, "its undo would leave the route empty"));
        }
        if at == 0
            && case
                .runbook
                .before
                .get(name)
                .is_some_and(|before| before != weights)
        {
            return Err(case.wrong("I22", *id, "its undo does not bring the old weights back"));
        }
        earlier = Some(epoch);
    }
    Ok(())
}
