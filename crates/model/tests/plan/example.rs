//! The design's example parses, and means what the design says.

use crate::common::{EXAMPLE, check};
use mainstay_model::{ComponentId, Role, Secret, SiteId, Span, Standby};

#[test]
fn the_example_parses() {
    let parsed = check(EXAMPLE).unwrap_or_else(|problems| panic!("{problems}"));
    let plan = parsed.plan;
    insta::assert_snapshot!(parsed.warnings.to_string(), @r"
    mainstay.yaml:46:3: warning[MS1306]: 1 of 2 observers would outlive the loss of `dr`; 2 must agree, so that after a move nobody notices it
    mainstay.yaml:50:3: warning[MS1307]: Mainstay will ask instead of acting: nothing would surely shut out the writers of `attachments` at a site that is lost
    ");
    assert_eq!(plan.system, "orders");
    assert_eq!(plan.hash.len(), 64);
    assert_eq!(plan.sites["witness"].role, Role::Witness);
    assert_eq!(
        plan.sites["prod"].agent,
        "unix:/plan/.mainstay/agents/prod.sock"
    );
    assert_eq!(plan.control.state, "file:/plan/.mainstay");
    assert_eq!(plan.objectives.rpo, Span::from_secs(300));
    let offsite = &plan.repositories["offsite"];
    assert_eq!(offsite.url, "file:/plan/offsite");
    assert_eq!(
        offsite.password,
        Some(Secret::File("/plan/offsite.key".to_owned()))
    );
    let prod = SiteId::new("prod").unwrap();
    assert_eq!(
        plan.stores["attachments"].declared.at[&prod]["url"],
        "file:/plan/prod/files"
    );
    for name in ["ledger", "attachments", "sessions", "web", "jobs", "app"] {
        assert_eq!(plan.placement[name], [(prod.clone(), 100)].into(), "{name}");
        assert!(
            plan.declared(&ComponentId::new(name).unwrap()).is_some(),
            "{name}"
        );
    }
    assert!(plan.stores["sessions"].disposable);
    assert_eq!(plan.workloads["web"].standby, Standby::Warm);
    assert_eq!(plan.routes["app"].ttl, Some(Span::from_secs(5)));
    assert_eq!(
        plan.routes["app"].declared.options,
        serde_json::json!({ "name": "app.orders.test" })
    );
    assert_eq!(
        plan.groups
            .keys()
            .map(mainstay_model::GroupId::as_str)
            .collect::<Vec<_>>(),
        ["orders"]
    );
    let detect = plan.detect.unwrap();
    assert_eq!(detect.act[0].until.to_string(), "2027-12-31T00:00:00.000Z");
}
