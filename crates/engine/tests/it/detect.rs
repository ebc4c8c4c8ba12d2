//! The failure detector under outages, partitions, liars and load.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_engine::{
    Bugs,
    detect::{
        Answer, Automatic, DetectState, Part, Probe, Settings, SiteProbe, Stand, Verdict, Watched,
        detect,
    },
};
use mainstay_model::{ComponentId, Scenario, SiteId, Span, Timestamp};
use proptest::prelude::*;

const EVERY: u64 = 1_000;
const CONFIRM: u64 = 5_000;
const COOLDOWN: u64 = 60_000;

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn part(name: &str) -> ComponentId {
    name.parse().unwrap()
}

fn at(ms: u64) -> Timestamp {
    Timestamp(1_000_000_000) + Span::from_millis(ms)
}

fn settings(observers: usize) -> Settings {
    let parts = [
        (part("web"), Part::Application),
        (part("ledger"), Part::Database),
        (part("files"), Part::Storage),
    ];
    let watched = Watched {
        parts: BTreeMap::from(parts),
    };
    Settings {
        observers: (0..observers).map(|n| site(&format!("o{n}"))).collect(),
        every: Span::from_millis(EVERY),
        confirm: Span::from_millis(CONFIRM),
        cooldown: Span::from_millis(COOLDOWN),
        act: BTreeSet::from([Scenario::SiteLost]),
        sites: BTreeMap::from([(site("prod"), watched.clone()), (site("dr"), watched)]),
    }
}

fn well() -> Answer {
    Answer::Well {
        took: Span::from_millis(3),
    }
}

fn silent() -> Answer {
    Answer::Silent("connection refused".to_owned())
}

fn of_site(down: &[&str], all: bool) -> SiteProbe {
    let say = |name: &str| {
        if all || down.contains(&name) {
            silent()
        } else {
            well()
        }
    };
    SiteProbe {
        agent: say("agent"),
        health: Some(say("health")),
        parts: ["web", "ledger", "files"]
            .map(|name| (part(name), say(name)))
            .into(),
    }
}

fn probe(observer: usize, ms: u64, sites: [SiteProbe; 2]) -> Probe {
    let [prod, dr] = sites;
    Probe {
        observer: site(&format!("o{observer}")),
        at: at(ms),
        ended: at(ms + 10),
        controls: vec![well(), well()],
        sites: BTreeMap::from([(site("prod"), prod), (site("dr"), dr)]),
    }
}

/// A span of trouble, in milliseconds from the start.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    from: u64,
    to: u64,
}

impl Trouble {
    fn lasts(self, ms: u64) -> bool {
        (self.from..self.to).contains(&ms)
    }
}

/// What really happens.
#[derive(Debug, Clone, Default)]
struct World {
    observers: usize,
    /// Outages, by site.
    outages: Vec<(usize, Trouble)>,
    /// An observer cannot reach either site; its controls answer.
    partitions: Vec<(usize, Trouble)>,
    /// An observer sees nothing at all.
    isolated: Vec<(usize, Trouble)>,
    /// An observer that says that everything is down.
    liar: Option<usize>,
    length: u64,
}

fn play(world: &World, bugs: Bugs) -> Vec<Verdict> {
    let mut state = DetectState::new(settings(world.observers)).with_bugs(bugs);
    let mut verdicts = Vec::new();
    for round in 0..world.length / EVERY {
        for observer in 0..world.observers {
            // Observers do not look in step.
            let ms = round * EVERY + 137 * observer as u64 % EVERY;
            let hit =
                |list: &[(usize, Trouble)], who| list.iter().any(|(n, t)| *n == who && t.lasts(ms));
            let cut = hit(&world.partitions, observer) || world.liar == Some(observer);
            let alone = hit(&world.isolated, observer);
            let sees = |n| of_site(&[], cut || alone || hit(&world.outages, n));
            let mut probe = probe(observer, ms, [sees(0), sees(1)]);
            if alone {
                probe.controls = vec![silent(), silent()];
            }
            let now = at(ms + 10);
            let (next, verdict) = detect(&state, &probe, now);
            state = next;
            verdicts.extend(verdict);
        }
    }
    verdicts
}

fn trouble(longest: u64) -> impl Strategy<Value = Trouble> {
    (0..50_000_u64, 1..longest).prop_map(|(from, length)| Trouble {
        from,
        to: from + length,
    })
}

fn base(observers: usize) -> World {
    World {
        observers,
        length: 110_000,
        ..World::default()
    }
}

/// Fewer observers than a quorum see the sites fail, for as long as they like.
fn minority() -> impl Strategy<Value = World> {
    (2..6_usize).prop_flat_map(|observers| {
        let few = settings(observers).quorum() - 1;
        let of = (0..few, trouble(90_000));
        // Some of the others abstain, which must not make the few more.
        let alone = (few..observers, trouble(90_000));
        (
            prop::collection::vec(of, 1..6),
            prop::collection::vec(alone, 0..4),
        )
            .prop_map(move |(partitions, isolated)| World {
                partitions,
                isolated,
                ..base(observers)
            })
    })
}

fn one_liar() -> impl Strategy<Value = World> {
    (2..6_usize, 0..5_usize).prop_map(|(observers, liar)| World {
        liar: Some(liar % observers),
        ..base(observers)
    })
}

/// Everybody but a bare minority is cut off from the world and from its controls.
fn isolation() -> impl Strategy<Value = World> {
    (
        2..6_usize,
        prop::collection::vec((0..5_usize, trouble(90_000)), 1..8),
    )
        .prop_map(|(observers, isolated)| World {
            isolated: isolated
                .into_iter()
                .map(|(n, t)| (n % observers, t))
                .collect(),
            ..base(observers)
        })
}

fn short_outages() -> impl Strategy<Value = World> {
    (
        2..6_usize,
        prop::collection::vec((0..2_usize, trouble(CONFIRM)), 1..8),
    )
        .prop_map(|(observers, mut outages)| {
            // Two that overlap or meet would be one long outage.
            outages.sort_by_key(|(_, trouble)| trouble.from);
            let mut end = 0;
            outages.retain(|(_, trouble)| {
                let apart = trouble.from >= end + 3 * EVERY;
                if apart {
                    end = trouble.to;
                }
                apart
            });
            World {
                outages,
                ..base(observers)
            }
        })
}

fn long_outages() -> impl Strategy<Value = World> {
    (
        2..6_usize,
        prop::collection::vec((0..2_usize, trouble(60_000)), 1..8),
    )
        .prop_map(|(observers, outages)| World {
            outages,
            ..base(observers)
        })
}

fn crowded(verdicts: &[Verdict]) -> bool {
    let acts: Vec<_> = verdicts
        .iter()
        .filter(|v| v.automatic == Automatic::Allowed)
        .collect();
    acts.windows(2)
        .any(|pair| pair[1].at.since(pair[0].at) < Span::from_millis(COOLDOWN))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i5_a_minority_never_gives_a_verdict(world in minority()) {
        prop_assert_eq!(play(&world, Bugs::NONE), []);
    }

    #[test]
    fn i6_one_liar_triggers_nothing(world in one_liar()) {
        prop_assert_eq!(play(&world, Bugs::NONE), []);
    }

    #[test]
    fn i6_isolated_observers_trigger_nothing(world in isolation()) {
        prop_assert_eq!(play(&world, Bugs::NONE), []);
    }

    #[test]
    fn i7_an_outage_shorter_than_the_confirmation_time_triggers_nothing(world in short_outages()) {
        prop_assert_eq!(play(&world, Bugs::NONE), []);
    }

    #[test]
    fn i8_at_most_one_automatic_failover_per_cooldown(world in long_outages()) {
        prop_assert!(!crowded(&play(&world, Bugs::NONE)));
    }

    #[test]
    fn an_outage_that_lasts_is_always_found(observers in 2..6_usize, from in 0..50_000_u64) {
        let to = from + CONFIRM + 3 * EVERY;
        let world = World { outages: vec![(0, Trouble { from, to })], ..base(observers) };
        let verdicts = play(&world, Bugs::NONE);
        prop_assert_eq!(verdicts.len(), 1);
        let verdict = &verdicts[0];
        prop_assert_eq!((verdict.scenario, &verdict.site), (Scenario::SiteLost, &site("prod")));
        prop_assert!(verdict.at.since(at(from)) <= Span::from_millis(CONFIRM + 3 * EVERY));
    }
}

/// Feeds the same observation to both observers every second.
fn watch(state: &mut DetectState, seconds: std::ops::Range<u64>, prod: &SiteProbe) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for second in seconds {
        for observer in 0..2 {
            let ms = second * 1_000 + observer as u64;
            let probe = probe(observer, ms, [prod.clone(), of_site(&[], false)]);
            let (next, verdict) = detect(state, &probe, at(ms + 10));
            *state = next;
            verdicts.extend(verdict);
        }
    }
    verdicts
}

#[test]
fn the_scenario_is_named_after_what_fails_while_the_site_answers() {
    let cases: [(&[&str], Scenario, &[&str]); 4] = [
        (&["web"], Scenario::ApplicationDown, &["web"]),
        (
            &["web", "ledger"],
            Scenario::DatabaseDown,
            &["ledger", "web"],
        ),
        (&["web", "files"], Scenario::StorageDown, &["files", "web"]),
        (
            &["web", "ledger", "files", "agent", "health"],
            Scenario::SiteLost,
            &["files", "ledger", "web"],
        ),
    ];
    for (down, scenario, components) in cases {
        let mut state = DetectState::new(settings(2));
        let verdicts = watch(&mut state, 0..20, &of_site(down, false));
        assert_eq!(verdicts.len(), 1, "{down:?}: a verdict is given once");
        assert_eq!(verdicts[0].scenario, scenario);
        let names: Vec<_> = verdicts[0]
            .components
            .iter()
            .map(ComponentId::as_str)
            .collect();
        assert_eq!(names, components);
        assert!(
            verdicts[0]
                .votes
                .iter()
                .all(|vote| matches!(vote.stand, Stand::For { .. }))
        );
        assert!(
            verdicts[0].votes[0].saw.contains("web is silent"),
            "{:?}",
            verdicts[0].votes[0]
        );
    }
}

#[test]
fn a_dead_agent_alone_is_no_disaster() {
    let mut state = DetectState::new(settings(2));
    assert_eq!(watch(&mut state, 0..30, &of_site(&["agent"], false)), []);
    assert_eq!(
        watch(&mut state, 30..60, &of_site(&["agent", "health"], false)),
        []
    );
}

#[test]
fn load_is_not_death() {
    let mut slow = of_site(&[], false);
    let crawl = Answer::Well {
        took: Span::from_secs(25),
    };
    (slow.agent, slow.health) = (crawl.clone(), Some(crawl.clone()));
    slow.parts
        .values_mut()
        .for_each(|answer| *answer = crawl.clone());
    assert_eq!(watch(&mut DetectState::new(settings(2)), 0..60, &slow), []);
}

#[test]
fn i7_a_partition_of_43_seconds_triggers_nothing_if_a_minute_is_asked_for() {
    let mut patient = settings(2);
    patient.confirm = Span::from_secs(60);
    let mut state = DetectState::new(patient);
    assert_eq!(watch(&mut state, 0..43, &of_site(&[], true)), []);
    assert_eq!(watch(&mut state, 43..200, &of_site(&[], false)), []);
    // It was no near miss of something that never fires.
    assert_eq!(watch(&mut state, 200..262, &of_site(&[], true)).len(), 1);
}

#[test]
fn a_cause_that_shows_later_is_waited_for() {
    let mut state = DetectState::new(settings(2));
    assert_eq!(watch(&mut state, 0..3, &of_site(&["web"], false)), []);
    let verdicts = watch(&mut state, 3..20, &of_site(&["web", "ledger"], false));
    assert_eq!(verdicts.len(), 1);
    assert_eq!(verdicts[0].scenario, Scenario::DatabaseDown);
}

#[test]
fn only_declared_scenarios_may_be_acted_on_and_start_the_cooldown() {
    let mut state = DetectState::new(settings(2));
    let first = watch(&mut state, 0..10, &of_site(&["web"], false));
    assert_eq!(first[0].automatic, Automatic::NotDeclared);
    // The rest of the site follows: that is news, and no cool-down stands in the way.
    let second = watch(&mut state, 10..20, &of_site(&[], true));
    assert_eq!(
        (second[0].scenario, second[0].automatic),
        (Scenario::SiteLost, Automatic::Allowed)
    );
}

#[test]
fn i8_a_verdict_in_the_cooldown_is_given_again_when_it_ends_also_after_a_restart() {
    let mut state = DetectState::new(settings(2));
    let first = watch(&mut state, 0..10, &of_site(&[], true));
    assert_eq!(first[0].automatic, Automatic::Allowed);
    let stored = serde_json::to_string(&state).unwrap();
    let restored: DetectState = serde_json::from_str(&stored).unwrap();
    assert_eq!(restored, state);
    let mut state = restored.watch(settings(2));
    let again = watch(&mut state, 20..100, &of_site(&[], true));
    assert_eq!(again.len(), 2);
    let until = first[0].at + Span::from_millis(COOLDOWN);
    assert_eq!(again[0].automatic, Automatic::CoolingDown { until });
    assert_eq!(again[1].automatic, Automatic::Allowed);
    assert!(again[1].at >= until);
}

#[test]
fn stale_and_repeated_probes_do_not_count() {
    let mut state = DetectState::new(settings(2));
    // Two probes of each observer, too far apart to be without a break.
    assert_eq!(watch(&mut state, 0..1, &of_site(&[], true)), []);
    assert_eq!(watch(&mut state, 30..31, &of_site(&[], true)), []);
    // One observer goes on, the other has fallen silent.
    for second in 31..60 {
        let probe = probe(0, second * 1_000, [of_site(&[], true), of_site(&[], false)]);
        let (next, verdict) = detect(&state, &probe, at(second * 1_000));
        assert_eq!(verdict, None);
        // Delivered twice, it still counts once.
        let (twice, verdict) = detect(&next, &probe, at(second * 1_000));
        assert_eq!((verdict, &twice), (None, &next));
        state = next;
    }
    let stranger = Probe {
        observer: site("stranger"),
        ..probe(0, 61_000, [of_site(&[], true), of_site(&[], true)])
    };
    assert_eq!(detect(&state, &stranger, at(61_000)).0, state);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_detector_bugs_are_caught() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    fn caught(
        name: &str,
        worlds: impl Strategy<Value = World>,
        wrong: impl Fn(&[Verdict]) -> bool,
    ) {
        let bugs = Bugs::named(name).unwrap();
        let mut runner = TestRunner::deterministic();
        let found = (0..64).any(|_| {
            let world = worlds.new_tree(&mut runner).unwrap().current();
            wrong(&play(&world, bugs))
        });
        assert!(found, "{name}");
    }
    let any = |verdicts: &[Verdict]| !verdicts.is_empty();
    caught("minority-suffices", minority(), any);
    caught("abstentions-shrink-quorum", minority(), any);
    caught("one-observer-suffices", one_liar(), any);
    caught("ignores-control-probes", isolation(), any);
    caught("no-confirmation", short_outages(), any);
    caught("forgets-recovery", short_outages(), any);
    caught("no-cooldown", long_outages(), crowded);
    caught("cooldown-per-site", long_outages(), crowded);
}
