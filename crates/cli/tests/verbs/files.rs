//! `init` and `check`: a plan file is written, found good, and what is wrong with one is shown where it is.

use insta::assert_snapshot;

use crate::support::Desk;

#[test]
fn what_init_writes_passes_check() {
    let desk = Desk::empty();
    assert_snapshot!(desk.says(&["init"]), @r"
    exit 0
    --- stdout
    wrote mainstay.yaml
    next: edit it, then `mainstay check`
    ");
    assert_snapshot!(desk.says(&["check"]), @r"
    exit 0
    --- stdout
    mainstay.yaml: no errors, no warnings
    next: `mainstay agent --site SITE` at each site, then `mainstay adopt`
    ");
}

#[test]
fn init_never_writes_over_a_file() {
    let desk = Desk::with_plan();
    desk.edit("system:", "system: kept # ");
    let before = std::fs::read(desk.path().join("mainstay.yaml")).unwrap();
    assert_snapshot!(desk.says(&["init"]), @r"
    exit 2
    --- stderr
    error[MS0005]: mainstay.yaml exists already
    next: name another file with `--plan FILE`, or print it with `--stdout`
    ");
    assert_eq!(
        std::fs::read(desk.path().join("mainstay.yaml")).unwrap(),
        before
    );
}

#[test]
fn an_unknown_field_is_shown_where_it_is_with_the_nearest_name() {
    let desk = Desk::with_plan();
    desk.edit("objectives:", "objektives:");
    assert_snapshot!(desk.says(&["check"]), @r"
    exit 2
    --- stdout
    error[MS1101]: unknown field `objektives`
      --> mainstay.yaml:23:1
       |
    23 | objektives: { rpo: 5m, rto: 15m }
       | ^^^^^^^^^^
       |
       = help: did you mean `objectives`?
    mainstay.yaml: 1 error, no warnings
    next: `mainstay explain CODE` says more about one of them
    ");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let desk = Desk::empty();
    desk.write("mainstay.yaml", &[0xff, 0xfe, 0, 1, 2]);
    assert_snapshot!(desk.says(&["check"]), @r"
    exit 2
    --- stdout
    error[MS1002]: byte 0, on line 1, is not UTF-8 text
     --> mainstay.yaml:1:1
      |
    1 |
      | ^
      |
      = help: save the file as UTF-8
    mainstay.yaml: 1 error, no warnings
    next: `mainstay explain CODE` says more about one of them
    ");
}

#[test]
fn an_empty_file_is_refused() {
    let desk = Desk::empty();
    desk.write("mainstay.yaml", b"");
    assert_snapshot!(desk.says(&["check"]), @r"
    exit 2
    --- stdout
    error[MS1103]: expected a mapping, found nothing
     --> mainstay.yaml:1:1
      |
    1 |
      | ^
    mainstay.yaml: 1 error, no warnings
    next: `mainstay explain CODE` says more about one of them
    ");
}

#[test]
fn a_bad_plan_file_stops_every_verb_the_same_way() {
    let desk = Desk::with_plan();
    desk.edit("objectives:", "objektives:");
    let checked = desk.says(&["status"]);
    for args in [
        &["adopt", "--yes"][..],
        &["switchover", "--to", "dr", "--yes"],
        &["plan", "failback"],
        &["run", "list"],
        &["serve"],
        &["agent", "--site", "prod"],
    ] {
        assert_eq!(desk.says(args), checked, "{args:?}");
    }
    assert!(checked.starts_with("exit 2"), "{checked}");
}
