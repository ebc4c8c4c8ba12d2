//! Every refusal: what leads to it, and the way past it.

use mainstay_model::*;
use mainstay_planner::*;

use super::common::*;

fn refused(file: &PlanFile, observed: &Observed, request: &Request) -> Refusals {
    match plan(file, &kinds(), observed, request) {
        Err(refusals) => refusals,
        Ok(planned) => panic!("not refused\n{}", lines(&planned.runbook)),
    }
}

#[track_caller]
fn refuses(code: Code, file: &PlanFile, observed: &Observed, request: &Request) -> Refusal {
    let refusals = refused(file, observed, request);
    let found = refusals.list.iter().find(|refusal| refusal.code == code);
    found.unwrap_or_else(|| panic!("{refusals}")).clone()
}

fn to_dr() -> Request {
    Request::switchover(site("dr"))
}

fn only(component: &str, to: &str) -> Request {
    let target = Target::Only {
        component: id(component),
        to: site(to),
    };
    Request::new(MoveMode::Switchover, target)
}

#[test]
fn a_target_that_cannot_be() {
    let mut file = orders();
    let observed = all_at(&file, "prod");
    refuses(
        Code::UnknownSite,
        &file,
        &observed,
        &Request::switchover(site("moon")),
    );
    refuses(
        Code::WitnessTarget,
        &file,
        &observed,
        &Request::switchover(site("witness")),
    );
    refuses(
        Code::UnknownComponent,
        &file,
        &observed,
        &only("nothing", "dr"),
    );
    refuses(
        Code::NothingToMove,
        &file,
        &observed,
        &Request::switchover(site("prod")),
    );
    let nowhere = Target::Placement([(id("ledger"), Weights::new())].into());
    let nowhere = Request::new(MoveMode::Switchover, nowhere);
    refuses(Code::BadPlacement, &file, &observed, &nowhere);
    let twice = Weights::from([(site("prod"), 1), (site("dr"), 1)]);
    let twice = Target::Placement([(id("ledger"), twice)].into());
    let twice = Request::new(MoveMode::Switchover, twice);
    refuses(Code::BadPlacement, &file, &observed, &twice);
    file.workloads
        .get_mut("web")
        .unwrap()
        .declared
        .at
        .remove(&site("dr"));
    refuses(Code::NotDeployable, &file, &observed, &to_dr());
    file.workloads.get_mut("web").unwrap().required = false;
    let left = planned(&file, &observed, &to_dr());
    assert!(!left.runbook.target.contains_key(&id("web")));
}

#[test]
fn a_route_does_not_go_two_ways() {
    let mut file = orders();
    add_workload(&mut file, "api", &[], &[]);
    file.routes.get_mut("app").unwrap().serves.push(id("api"));
    refuses(
        Code::RouteSplit,
        &file,
        &all_at(&file, "prod"),
        &only("api", "dr"),
    );
}

#[test]
fn a_start_order_has_a_beginning() {
    let mut file = orders();
    add_workload(&mut file, "a", &[], &["b"]);
    add_workload(&mut file, "b", &[], &["a"]);
    refuses(
        Code::StartOrderCycle,
        &file,
        &all_at(&file, "prod"),
        &to_dr(),
    );
}

#[test]
fn kinds_are_known() {
    let mut file = orders();
    file.workloads.get_mut("web").unwrap().declared.kind = kind("magic");
    refuses(Code::UnknownKind, &file, &all_at(&file, "prod"), &to_dr());
}

#[test]
fn a_planned_move_needs_both_sides() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    dead(&mut observed, "prod");
    let refusal = refuses(Code::SiteSilent, &file, &observed, &to_dr());
    assert_eq!(
        refusal.flag.as_deref(),
        Some("mainstay plan failover --to dr")
    );
    let mut observed = all_at(&file, "prod");
    dead(&mut observed, "dr");
    let refusal = refuses(Code::SiteSilent, &file, &observed, &to_dr());
    assert_eq!(refusal.flag.as_deref(), Some("mainstay agent --site dr"));
}

#[test]
fn a_quarantined_site_is_reprotected_first() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    observed.sites.get_mut("dr").unwrap().standing = SiteStanding::Quarantined;
    let refusal = refuses(Code::SiteQuarantined, &file, &observed, &to_dr());
    assert_eq!(refusal.flag.as_deref(), Some("mainstay reprotect dr"));
}

#[test]
fn a_store_is_where_mainstay_left_it() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    observed.stores.remove("ledger");
    let refusal = refuses(Code::NotAdopted, &file, &observed, &to_dr());
    assert_eq!(refusal.flag.as_deref(), Some("mainstay adopt ledger"));
    let mut observed = all_at(&file, "prod");
    let moved = sample("prod", store_facts(Access::Open, "prod", 9));
    observed
        .stores
        .get_mut("ledger")
        .unwrap()
        .at
        .insert(site("prod"), moved);
    refuses(Code::MovedExternally, &file, &observed, &to_dr());
    let open = sample("dr", store_facts(Access::Open, "dr", 3));
    let mut observed = all_at(&file, "prod");
    observed
        .stores
        .get_mut("ledger")
        .unwrap()
        .at
        .insert(site("dr"), open);
    refuses(Code::MovedExternally, &file, &observed, &to_dr());
}

#[test]
fn a_planned_move_needs_a_copy() {
    let mut file = orders();
    let mut observed = all_at(&file, "prod");
    observed
        .stores
        .get_mut("ledger")
        .unwrap()
        .at
        .remove(&site("dr"));
    refuses(Code::CopyMissing, &file, &observed, &to_dr());
    let observed = all_at(&file, "prod");
    file.stores.get_mut("ledger").unwrap().copy = None;
    refuses(Code::CopyMissing, &file, &observed, &to_dr());
    file.stores.get_mut("ledger").unwrap().disposable = true;
    planned(&file, &observed, &to_dr());
}

#[test]
fn nothing_is_not_promoted_unless_that_is_wanted() {
    let mut file = orders();
    let mut observed = all_at(&file, "prod");
    observed.stores.get_mut("ledger").unwrap().at.clear();
    dead(&mut observed, "prod");
    let request = Request::failover(site("dr"), None);
    refuses(Code::NothingToPromote, &file, &observed, &request);
    file.stores.get_mut("ledger").unwrap().on_loss = OnLoss::StartEmpty;
    let planned = failover(&file, &observed, "dr");
    assert_eq!(planned.forecast.loss, Span::MAX);
    assert!(
        planned
            .warnings
            .iter()
            .any(|warning| warning.code == Code::NothingToPromote)
    );
}

fn dead_prod(file: &PlanFile) -> Observed {
    let mut observed = all_at(file, "prod");
    dead(&mut observed, "prod");
    observed
}

fn acceptance(file: &PlanFile, observed: &Observed, limit: Span) -> Acceptance {
    let refusals = refused(file, observed, &Request::failover(site("dr"), None));
    let by = PersonId::new("ada").unwrap();
    accept(
        &refusals.loss.unwrap(),
        limit,
        by,
        NOW + Span::from_secs(60),
    )
}

#[test]
fn a_failover_starts_only_with_an_acceptance_that_covers_its_loss() {
    let file = orders();
    let observed = dead_prod(&file);
    let request = |acceptance| Request::failover(site("dr"), Some(acceptance));
    let none = Request::failover(site("dr"), None);
    let refusal = refuses(Code::LossNotAccepted, &file, &observed, &none);
    assert_eq!(refusal.flag.as_deref(), Some("--accept-loss 2s"));
    let small = acceptance(&file, &observed, Span::from_secs(1));
    refuses(Code::LossAboveAcceptance, &file, &observed, &request(small));
    let enough = acceptance(&file, &observed, Span::from_secs(2));
    let planned = planned(&file, &observed, &request(enough.clone()));
    assert_eq!(planned.runbook.acceptance.as_ref(), Some(&enough));

    let mut later = observed.clone();
    later.now = NOW + Span::from_secs(61);
    refuses(
        Code::AcceptanceExpired,
        &file,
        &later,
        &request(enough.clone()),
    );

    // Time passes, nothing gets worse: still good, and the bound that is reported grows.
    later.now = NOW + Span::from_secs(30);
    let planned = plan(&file, &kinds(), &later, &request(enough.clone())).unwrap();
    assert_eq!(planned.forecast.loss, Span::from_secs(32));

    let mut worse = observed;
    let ledger = worse.stores.get_mut("ledger").unwrap();
    let mut facts = store_facts(Access::Replica, "prod", 3);
    facts.recovery = Some(RecoveryPoint {
        source: site("prod"),
        taken_at: NOW - Span::from_secs(2),
        position: Position::Counter(4),
    });
    ledger.at.insert(site("dr"), sample("dr", facts));
    refuses(Code::RecoveryPointWorse, &file, &worse, &request(enough));
}

#[test]
fn an_unknown_loss_is_unbounded_and_a_stale_look_widens_it() {
    let file = orders();
    let mut observed = dead_prod(&file);
    let bound = |observed: &Observed| {
        refused(&file, observed, &Request::failover(site("dr"), None))
            .loss
            .unwrap()
    };
    assert_eq!(bound(&observed).worst, Span::from_secs(2));
    observed.now = NOW + Span::from_secs(60);
    assert_eq!(bound(&observed).worst, Span::from_secs(62));
    let fence = Fenced {
        below: Epoch(4),
        class: FenceClass::F2,
        at: NOW + Span::from_secs(1),
    };
    for store in observed.stores.values_mut() {
        store.fenced.insert(site("prod"), fence.clone());
    }
    assert_eq!(bound(&observed).worst, Span::from_secs(3));
    // A copy that claims to be younger than the look at it cannot be believed beyond the look.
    let mut facts = store_facts(Access::Replica, "prod", 3);
    facts.recovery = Some(RecoveryPoint {
        source: site("prod"),
        taken_at: NOW + Span::from_secs(40),
        position: Position::Counter(5),
    });
    let young = sample("dr", facts);
    observed
        .stores
        .get_mut("ledger")
        .unwrap()
        .at
        .insert(site("dr"), young);
    assert_eq!(
        bound(&observed).stores[&id("ledger")].time,
        Span::from_secs(2)
    );
    // Neither a copy of another source nor a copy that was not seen says anything.
    let mut facts = store_facts(Access::Replica, "prod", 3);
    facts.recovery = Some(RecoveryPoint {
        source: site("witness"),
        taken_at: NOW,
        position: Position::Counter(5),
    });
    observed
        .stores
        .get_mut("ledger")
        .unwrap()
        .at
        .insert(site("dr"), sample("dr", facts));
    let unknown = bound(&observed);
    assert_eq!(unknown.stores[&id("ledger")].time, Span::MAX);
    assert_eq!((unknown.worst, unknown.skew), (Span::MAX, Span::MAX));
}

#[test]
fn a_forced_move_away_from_a_site_that_could_hand_over_is_warned_of() {
    let file = orders();
    let warned = |observed: &Observed| {
        let loss = Request::failover(site("dr"), Some(acceptance(&file, observed, Span::MAX)));
        let planned = planned(&file, observed, &loss);
        let mut warnings = planned.warnings.into_iter();
        warnings.find(|warning| warning.code == Code::SourceAnswers)
    };
    let warning = warned(&all_at(&file, "prod")).unwrap();
    assert!(warning.evidence.contains("ledger"), "{warning}");
    assert_eq!(warning.flag.as_deref(), Some("mainstay switchover --to dr"));
    assert_eq!(warned(&dead_prod(&file)), None);
}

#[test]
fn i13_clocks_that_may_be_wrong_widen_the_bound_and_what_has_to_be_accepted() {
    let file = orders();
    let mut observed = dead_prod(&file);
    observed.clocks = Clocks {
        ahead: [(site("dr"), Span::from_millis(300))].into(),
        per_mille: 10,
        least: Span::from_millis(50),
    };
    let none = Request::failover(site("dr"), None);
    let loss = refused(&file, &observed, &none).loss.unwrap();
    // 2 s by the clocks, 20 ms if one of them is slow, 300 ms if it is ahead, and 50 ms whatever it is.
    assert_eq!(loss.worst, Span::from_millis(2_370));
    let with = |limit| Request::failover(site("dr"), Some(acceptance(&file, &observed, limit)));
    refuses(
        Code::LossAboveAcceptance,
        &file,
        &observed,
        &with(Span::from_secs(2)),
    );
    planned(&file, &observed, &with(Span::from_millis(2_370)));
    // What is unknown stays unknown.
    assert!(
        observed
            .clocks
            .at_most(&site("dr"), Span::MAX)
            .is_unbounded()
    );
}

#[test]
fn a_groups_skew_is_reported() {
    let file = orders();
    let mut observed = dead_prod(&file);
    let mut facts = store_facts(Access::Replica, "prod", 3);
    facts.recovery = Some(RecoveryPoint {
        source: site("prod"),
        taken_at: NOW - Span::from_secs(9),
        position: Position::Counter(5),
    });
    observed
        .stores
        .get_mut("ledger")
        .unwrap()
        .at
        .insert(site("dr"), sample("dr", facts));
    let refusals = refused(&file, &observed, &Request::failover(site("dr"), None));
    let loss = refusals.loss.unwrap();
    assert_eq!(
        (loss.worst, loss.skew),
        (Span::from_secs(9), Span::from_secs(7))
    );
}

#[test]
fn only_what_was_left_is_reprotected() {
    let file = orders();
    refuses(
        Code::NothingToReprotect,
        &file,
        &all_at(&file, "prod"),
        &Request::reprotect(site("dr")),
    );
    let mut observed = all_at(&file, "dr");
    observed.sites.get_mut("prod").unwrap().standing = SiteStanding::Quarantined;
    dead(&mut observed, "prod");
    observed.sites.insert(
        site("prod"),
        SiteNow {
            agent: SiteAgent::Silent,
            standing: SiteStanding::Quarantined,
        },
    );
    refuses(
        Code::SiteSilent,
        &file,
        &observed,
        &Request::reprotect(site("prod")),
    );
}

#[test]
fn i23_only_what_was_shown_is_given_up() {
    let file = orders();
    let mut observed = all_at(&file, "dr");
    for store in observed.stores.values_mut() {
        store.protection = Protection::NotProtected;
    }
    observed.sites.get_mut("prod").unwrap().standing = SiteStanding::Quarantined;
    let discard = |hash: &str| Request {
        divergence: Divergence::Discard {
            hash: hash.to_owned(),
        },
        ..Request::reprotect(site("prod"))
    };
    let saves = planned(&file, &observed, &Request::reprotect(site("prod")));
    let hash = saves.left_behind.unwrap().hash.unwrap();
    assert_eq!(saves.runbook.discards, None);
    let gives_up = planned(&file, &observed, &discard(&hash));
    assert_eq!(gives_up.runbook.discards.as_ref(), Some(&hash));
    let guessed = refuses(Code::NotWhatWasShown, &file, &observed, &discard("yes"));
    assert_eq!(
        guessed.flag.as_deref(),
        Some("mainstay plan reprotect --to prod")
    );
    // Something was written there since it was shown.
    let mut later = observed.clone();
    let mut facts = store_facts(Access::Sealed, "prod", 3);
    facts.position = Some(Position::Counter(8));
    let at = &mut later.stores.get_mut("ledger").unwrap().at;
    at.insert(site("prod"), sample("prod", facts.clone()));
    refuses(Code::NotWhatWasShown, &file, &later, &discard(&hash));
    // Nobody can see what is there.
    facts.position = None;
    let at = &mut later.stores.get_mut("ledger").unwrap().at;
    at.insert(site("prod"), sample("prod", facts));
    let blind = planned(&file, &later, &Request::reprotect(site("prod")));
    assert_eq!(blind.left_behind.unwrap().hash, None);
    refuses(Code::NotWhatWasShown, &file, &later, &discard(&hash));
}

struct Unstoppable;

impl Kind for Unstoppable {
    fn name(&self) -> &'static str {
        "unstoppable"
    }
    fn classes(&self) -> &'static [Class] {
        &[Class::Workload]
    }
    fn schema(&self, class: Class) -> KindSchema {
        Plain("app").schema(class)
    }
    fn traits(&self, declared: &Declared) -> Traits {
        Plain("app").traits(declared)
    }
    fn lower(&self, _: &Declared, _: Phase, _: &Move) -> Vec<Draft> {
        Vec::new()
    }
}

#[test]
fn a_kind_that_contributes_too_little_makes_no_plan() {
    let mut file = orders();
    file.workloads.get_mut("web").unwrap().declared.kind = kind("unstoppable");
    let kinds = kinds().with(Unstoppable);
    let refusals = plan(&file, &kinds, &all_at(&file, "prod"), &to_dr()).unwrap_err();
    assert!(refusals.has(Code::UnsafePlan));
    assert!(
        refusals
            .to_string()
            .contains("nothing stops web at prod first"),
        "{refusals}"
    );
}
