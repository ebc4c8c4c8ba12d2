//! Estimates, forecasts and renderings.

use mainstay_model::*;
use mainstay_planner::{render, *};

use super::common::*;

fn to_dr() -> Request {
    Request::switchover(site("dr"))
}

#[test]
fn measured_durations_take_the_place_of_first_guesses() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    let guessed = planned(&file, &observed, &to_dr());
    assert_eq!(guessed.forecast.measured, 0);
    observed.measured.push(Measured {
        phase: Phase::CatchUp,
        component: id("ledger"),
        site: site("dr"),
        median: Span::from_secs(60),
        samples: 3,
    });
    let measured = planned(&file, &observed, &to_dr());
    assert_eq!(measured.forecast.measured, 1);
    let longer = measured.forecast.rto.0 - guessed.forecast.rto.0;
    assert_eq!(Span(longer), Span::from_secs(55));
    assert_eq!(measured.runbook.estimate, measured.forecast.rto);
    let critical = measured.forecast.critical.iter();
    let titles: Vec<String> = critical
        .map(|step| measured.runbook.steps[step.index()].title())
        .collect();
    assert!(
        titles.contains(&"catch-up ledger at dr".to_owned()),
        "{titles:?}"
    );
}

#[test]
fn the_forecast_is_held_against_the_tightest_objective() {
    let mut file = orders();
    file.workloads.get_mut("web").unwrap().objectives.rto = Span::from_secs(1);
    let planned = planned(&file, &all_at(&file, "prod"), &to_dr());
    assert_eq!(planned.forecast.rto_objective, Span::from_secs(1));
    assert_eq!(planned.forecast.rto_verdict, Verdict::Misses);
    assert_eq!(planned.forecast.rpo_verdict, Verdict::Meets);
}

#[test]
fn a_lease_is_waited_out() {
    let mut file = orders();
    for store in file.stores.values_mut() {
        store.lease = Some(Span::from_secs(30));
    }
    let mut observed = all_at(&file, "prod");
    dead(&mut observed, "prod");
    let planned = failover(&file, &observed, "dr");
    assert!(planned.forecast.rto >= Span::from_secs(30));
}

/// Who fences: the agent that answers, else the lease, else another fencer, else a person.
#[test]
fn the_surest_fencer_that_is_left_is_chosen() {
    let mut file = orders();
    let alive = all_at(&file, "prod");
    let mut lost = alive.clone();
    dead(&mut lost, "prod");
    let fencer = |file: &PlanFile, observed: &Observed| {
        let planned = failover(file, observed, "dr");
        let steps = planned.runbook.steps.into_iter();
        let mut fences = steps.filter(|step| {
            step.phase == Phase::Fence && step.subject.component() == Some(&id("ledger"))
        });
        match fences.next().unwrap().body {
            Body::Act(action) => action.driver.to_string(),
            Body::Ask(_) => "a person".to_owned(),
            Body::Join | Body::Check => "nobody".to_owned(),
        }
    };
    assert_eq!(fencer(&file, &alive), "agent");
    assert_eq!(fencer(&file, &lost), "lease");
    file.stores.get_mut("ledger").unwrap().lease = None;
    assert_eq!(fencer(&file, &lost), "a person");
    file.sites.get_mut("prod").unwrap().fence.push(FencerSpec {
        kind: kind("exec"),
        options: serde_json::json!({}),
    });
    assert_eq!(fencer(&file, &lost), "exec");
}

#[test]
fn control_is_the_witness_while_it_answers() {
    let file = orders();
    let mut observed = all_at(&file, "prod");
    let route_at = |observed: &Observed| {
        let planned = planned(&file, observed, &to_dr());
        let mut steps = planned.runbook.steps.into_iter();
        steps.find(|step| step.phase == Phase::Shift).unwrap().at
    };
    assert_eq!(route_at(&observed), site("witness"));
    observed.sites.remove("witness");
    assert_eq!(route_at(&observed), site("dr"));
}

#[test]
fn a_plan_is_drawn_for_other_tools() {
    let mut file = empty();
    add_workload(&mut file, "static", &[], &[]);
    let planned = planned(&file, &all_at(&file, "prod"), &to_dr());
    insta::assert_snapshot!(render::dot(&planned), @r#"
    digraph runbook {
      rankdir=LR;
      node [shape=box, style=rounded];
      s0 [label="gate dr, 100ms"];
      s1 [label="gate prod, 100ms"];
      s2 [label="gate witness, 100ms", penwidth=3];
      s3 [label="gate", shape=ellipse, penwidth=3];
      s4 [label="activate static at dr, 2s", penwidth=3];
      s5 [label="verify static at dr, 200ms", penwidth=3];
      s6 [label="commit", shape=ellipse, penwidth=3];
      s7 [label="quiesce static at prod, 200ms", penwidth=3];
      s8 [label="sweep static at prod (advisory), 200ms"];
      s0 -> s3;
      s1 -> s3;
      s2 -> s3 [penwidth=3];
      s3 -> s4 [penwidth=3];
      s4 -> s5 [penwidth=3];
      s5 -> s6 [penwidth=3];
      s6 -> s7 [penwidth=3];
      s7 -> s8;
    }
    "#);
    insta::assert_snapshot!(render::mermaid(&planned), @r#"
    flowchart LR
      s0["gate dr, 100ms"]
      s1["gate prod, 100ms"]
      s2["gate witness, 100ms"]
      s3(["gate"])
      s4["activate static at dr, 2s"]
      s5["verify static at dr, 200ms"]
      s6(["commit"])
      s7["quiesce static at prod, 200ms"]
      s8["sweep static at prod (advisory), 200ms"]
      s0 --> s3
      s1 --> s3
      s2 --> s3
      s3 --> s4
      s4 --> s5
      s5 --> s6
      s6 --> s7
      s7 --> s8
      classDef longest stroke-width:3px
      class s2,s3,s4,s5,s6,s7 longest
    "#);
    let json: serde_json::Value = serde_json::from_str(&render::json(&planned).unwrap()).unwrap();
    assert_eq!(json["runbook"]["system"], "orders");
    let back: Planned = serde_json::from_value(json).unwrap();
    assert_eq!(back, planned);
}

#[test]
fn the_same_inputs_give_the_same_plan() {
    let file = orders();
    let observed = all_at(&file, "prod");
    let first = planned(&file, &observed, &to_dr());
    assert_eq!(
        first.runbook.hash().unwrap(),
        planned(&file, &observed, &to_dr()).runbook.hash().unwrap()
    );
}
