//! What a plan means where it says nothing, and that what `docs/plan-file.md` shows is true.

use mainstay_model::{ComponentId, OnLoss, PlanFile, SiteId, Span, Standby, Weights};

use crate::{
    common::{check, found},
    pages::{blocks, read, whole},
};

fn plan(piece: &str) -> PlanFile {
    let text = whole(piece);
    check(&text)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .plan
}

fn weights(pairs: &[(&str, u32)]) -> Weights {
    pairs
        .iter()
        .filter_map(|(site, weight)| Some((SiteId::new(site).ok()?, *weight)))
        .collect()
}

fn names(ids: &[ComponentId]) -> Vec<&str> {
    ids.iter().map(ComponentId::as_str).collect()
}

#[test]
fn what_the_documentation_shows_passes() {
    let page = read("docs/plan-file.md");
    let blocks = blocks(&page);
    assert!(blocks.len() >= 8);
    for block in blocks {
        let told = found(&whole(block));
        assert!(!told.contains("error["), "{block}\n{told}");
    }
}

#[test]
fn without_a_placement_all_is_at_the_first_data_site() {
    let plan = plan(
        "sites: { w: { domain: w, role: witness }, two: { domain: a }, one: { domain: b } }
workloads:
  both: { kind: process, at: { one: { command: [x] }, two: { command: [x] } } }
  only: { kind: process, at: { one: { command: [x] } } }
routes:
  r: { kind: dns, name: x, to: { one: [a], two: [b] }, serves: [only] }
",
    );
    assert_eq!(plan.placement["both"], weights(&[("two", 100)]));
    assert_eq!(plan.placement["only"], weights(&[("one", 100)]));
    assert_eq!(plan.placement["r"], weights(&[("one", 100)]));
    assert_eq!(plan.objectives.rpo, Span::from_secs(300));
    assert_eq!(plan.control.state, "file:/plan/.mainstay");
}

#[test]
fn several_sites_make_a_hot_standby() {
    let plan = plan(
        "placement: { default: dr, web: { prod: 50, dr: 50 }, idle: { prod: 0, dr: 10 } }
workloads:
  web: { kind: process, at: { prod: { command: [x] }, dr: { command: [x] } } }
  idle: { kind: process, at: { prod: { command: [x] }, dr: { command: [x] } } }
routes:
  app: { kind: dns, name: x, ttl: 7s, to: { prod: [a], dr: [b] }, serves: [web] }
",
    );
    assert_eq!(plan.workloads["web"].standby, Standby::Hot);
    assert_eq!(plan.workloads["idle"].standby, Standby::Warm);
    assert_eq!(plan.placement["idle"], weights(&[("dr", 10)]));
    assert_eq!(plan.placement["app"], weights(&[("prod", 50), ("dr", 50)]));
    assert_eq!(plan.routes["app"].ttl, Some(Span::from_secs(7)));
}

#[test]
fn stores_that_are_used_together_form_a_group() {
    let store = |name: &str| {
        format!(
            "  {name}: {{ kind: redis, at: {{ prod: {{}}, dr: {{}} }}, copy: {{ every: 1s }} }}\n"
        )
    };
    let stores: String = ["a", "b", "c", "d", "e", "f"].map(store).concat();
    let plan = plan(&format!(
        "stores:
{stores}  gone: {{ kind: redis, at: {{ prod: {{}}, dr: {{}} }}, disposable: rebuild }}
groups: {{ named: {{ stores: [f, e] }} }}
workloads:
  named: {{ kind: process, at: {{ prod: {{ command: [x] }}, dr: {{ command: [x] }} }}, uses: [a, b, gone] }}
  more: {{ kind: process, at: {{ prod: {{ command: [x] }}, dr: {{ command: [x] }} }}, uses: [c, b, f] }}
  single: {{ kind: process, at: {{ prod: {{ command: [x] }}, dr: {{ command: [x] }} }}, uses: [d, gone] }}
"
    ));
    let groups: Vec<_> = plan
        .groups
        .iter()
        .map(|(name, group)| (name.as_str(), names(&group.stores)))
        .collect();
    assert_eq!(
        groups,
        [("more", vec!["a", "b", "c"]), ("named", vec!["f", "e"])]
    );
    assert_eq!(plan.stores["gone"].on_loss, OnLoss::StartEmpty);
    assert_eq!(plan.stores["a"].on_loss, OnLoss::LastCopy);
}

#[test]
fn options_are_what_stands_beside_the_common_fields() {
    let plan = plan(
        "sites:
  prod: { domain: a, fence: [ { kind: power, name: rack-7 }, { kind: agent } ], agent: \"unix:./a.sock\" }
  dr: { domain: b }
stores:
  s: { kind: postgres, at: { prod: { url: \"file:x\", password: { file: k } }, dr: { url: \"file:y\", cache: 64MiB } }, copy: { by: streaming }, objectives: { rpo: 1s } }
steps:
  tell: { kind: http, after: commit, post: \"http://x/\", timeout: 3s }
",
    );
    let prod = &plan.sites["prod"];
    assert_eq!(prod.agent, "unix:/plan/a.sock");
    assert_eq!(prod.fence[0].kind.as_str(), "power");
    assert_eq!(
        prod.fence[0].options,
        serde_json::json!({ "name": "rack-7" })
    );
    let store = &plan.stores["s"].declared;
    assert_eq!(store.options, serde_json::json!({}));
    assert_eq!(
        store.at["prod"],
        serde_json::json!({ "url": "file:/plan/x", "password": { "file": "/plan/k" } })
    );
    assert_eq!(plan.stores["s"].objectives.rpo, Span::from_secs(1));
    assert_eq!(plan.stores["s"].objectives.rto, Span::from_secs(900));
    assert_eq!(
        plan.steps["tell"].options,
        serde_json::json!({ "post": "http://x/" })
    );
    assert_eq!(plan.steps["tell"].timeout, Some(Span::from_secs(3)));
}
