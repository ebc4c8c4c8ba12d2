//! Verbs that look at or move a system of which nothing runs.

use insta::assert_snapshot;

use crate::support::Desk;

#[test]
fn a_move_to_an_unknown_site_names_the_known_ones() {
    let desk = Desk::with_plan();
    assert_snapshot!(desk.says(&["switchover", "--to", "prd", "--yes"]), @r#"
    exit 2
    --- stderr
    error[MS0006]: the plan file has no site "prd"
    next: one of: dr, prod, witness
    "#);
    assert_snapshot!(desk.says(&["failover", "--to", "dr", "--only", "legder", "--yes"]), @r#"
    exit 2
    --- stderr
    error[MS0006]: the plan file has no component "legder"
    next: one of: attachments, ledger, jobs, web
    "#);
}

#[test]
fn a_move_without_agents_is_refused_with_what_to_start() {
    let desk = Desk::with_plan();
    assert_snapshot!(desk.says(&["switchover", "--to", "dr", "--yes"]), @r"
    exit 3
    --- stderr
    refused[MS2010]: the switchover was refused before any effect
      a move needs the agents of the sites that it acts on: the agent of dr does not answer
      a move needs the agents of the sites that it acts on: the agent of prod does not answer
      a store has an owner and an epoch before it is moved: attachments was never owned
      a planned move loses nothing: attachments at dr is not a proven copy of prod
      a store has an owner and an epoch before it is moved: ledger was never owned
      a planned move loses nothing: ledger at dr is not a proven copy of prod
    next: mainstay agent --site dr
    ");
}

#[test]
fn a_dry_run_changes_nothing_and_needs_no_yes() {
    let desk = Desk::with_plan();
    let said = desk.says(&["failover", "--to", "dr", "--dry-run"]);
    assert!(said.starts_with("exit 3"), "{said}");
    assert!(desk.says(&["run", "list"]).contains("no runs yet"));
}

#[test]
fn a_system_that_nothing_runs_for_has_a_status_and_a_next_step() {
    let desk = Desk::with_plan();
    let said = desk.says(&["status"]);
    assert!(said.starts_with("exit 0"), "{said}");
    assert!(said.contains("next: `mainstay"), "{said}");
}

#[test]
fn there_are_no_runs_yet() {
    let desk = Desk::with_plan();
    assert_snapshot!(desk.says(&["run", "list"]), @r"
    exit 0
    --- stdout
    no runs yet
    ");
    assert_snapshot!(desk.says(&["run", "show"]), @r"
    exit 2
    --- stderr
    error[MS0009]: there are no runs yet
    next: `mainstay run list`
    ");
    assert_snapshot!(desk.says(&["run", "resume", "20260101-000000000"]), @r"
    exit 2
    --- stderr
    error[MS0009]: there is no run 20260101-000000000
    next: `mainstay run list`
    ");
}

#[test]
fn an_agent_is_of_a_declared_site() {
    let desk = Desk::with_plan();
    assert_snapshot!(desk.says(&["agent", "--site", "prd"]), @r#"
    exit 2
    --- stderr
    error[MS0006]: the plan file has no site "prd"
    next: one of: dr, prod, witness
    "#);
}

#[test]
fn a_world_that_is_not_there_cannot_be_broken() {
    let desk = Desk::empty();
    assert_snapshot!(desk.says(&["demo", "break", "prod", "--dir", "w"]), @r"
    exit 1
    --- stderr
    error[demo-file]: failed to read w/world.json: No such file or directory (os error 2)
    next: `mainstay demo up --dir DIR` makes a world
    ");
    assert_snapshot!(desk.says(&["demo", "break", "mars", "--dir", "w"]), @r#"
    exit 2
    --- stderr
    error: invalid value 'mars' for '<SITE>': use option site: there is no site "mars"; write prod, dr or witness

    For more information, try '--help'.
    "#);
    assert_snapshot!(desk.says(&["demo", "--database", "oracle"]), @r"
    exit 2
    --- stderr
    error: invalid value 'oracle' for '--database <sqlite|postgres>': use option database: write sqlite or postgres

    For more information, try '--help'.
    ");
}
