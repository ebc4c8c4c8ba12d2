//! I1 for schedulers: at most one site at which a scheduler may start work.
//! Must not know how a scheduler is held.

use mainstay_model::{ComponentId, MoveMode, SiteId, StepId, WorkloadRole};

use super::{Race, meaning::WorkloadActs, prove::Case, stores::initial};

/// Every scheduler that some step lets work.
pub(crate) fn check(case: &Case<'_>) -> Result<(), Race> {
    for (name, acts) in &case.reading.workloads {
        let declared = case.file.workloads.get(*name);
        if declared.is_some_and(|workload| workload.role == WorkloadRole::Scheduler) {
            one_site(case, name, acts)?;
        }
    }
    Ok(())
}

fn one_site(case: &Case<'_>, name: &ComponentId, acts: &WorkloadActs<'_>) -> Result<(), Race> {
    let first = initial(case, name).into_iter().map(|site| (None, site));
    let later = acts.works.iter().map(|(id, site)| (Some(*id), *site));
    let workers: Vec<(Option<StepId>, &SiteId)> = first.chain(later).collect();
    for (at, a) in workers.iter().enumerate() {
        for b in &workers[at + 1..] {
            if a.1 == b.1 || at_rest(case, name, acts, *a, *b) || at_rest(case, name, acts, *b, *a)
            {
                continue;
            }
            let Some(start) = b.0.or(a.0) else {
                continue;
            };
            let old = if b.0.is_some() { a } else { b };
            let how = format!("{name} could work at {} and at {}", a.1, b.1);
            let rest = acts
                .rests
                .iter()
                .find(|(id, site)| *site == old.1 && *id != start);
            return Err(match rest {
                Some((rest, _)) => case.race("I1", start, *rest, &how),
                None => case.wrong("I1", start, &how),
            });
        }
    }
    Ok(())
}

/// Whether the first is surely at rest when the second starts to work.
fn at_rest(
    case: &Case<'_>,
    name: &ComponentId,
    acts: &WorkloadActs<'_>,
    first: (Option<StepId>, &SiteId),
    second: (Option<StepId>, &SiteId),
) -> bool {
    let Some(start) = second.0 else {
        return false;
    };
    let rested = acts.rests.iter().any(|(rest, site)| {
        *site == first.1
            && first.0.is_none_or(|since| case.order.before(since, *rest))
            && case.order.before(*rest, start)
    });
    rested || (first.0.is_none() && cut_off(case, name, start))
}

/// In a failover: every store that it uses is fenced wherever it was writable.
fn cut_off(case: &Case<'_>, name: &ComponentId, start: StepId) -> bool {
    let Some(workload) = case.file.workloads.get(name) else {
        return false;
    };
    let fenced = |store: &ComponentId| {
        let acts = case.reading.stores.get(store);
        let from = case.runbook.epochs.get(store).map(|epochs| epochs.from);
        let mut sites = initial(case, store).into_iter();
        sites.all(|site| {
            let mut shuts = acts.into_iter().flat_map(|acts| &acts.shuts);
            shuts.any(|(shut, at, how)| {
                *at == site
                    && from.is_some_and(|from| how.covers(from))
                    && case.order.before(*shut, start)
            })
        })
    };
    case.runbook.mode == MoveMode::Failover
        && !workload.uses.is_empty()
        && workload.uses.iter().all(|used| fenced(&used.store))
}
