//! Wrong calls: each says what is wrong and what to type.

use insta::assert_snapshot;

use crate::support::Desk;

#[test]
fn an_unknown_verb_gets_the_nearest() {
    assert_snapshot!(Desk::empty().says(&["switchovr"]), @r"
    exit 2
    --- stderr
    error: unrecognized subcommand 'switchovr'

      tip: a similar subcommand exists: 'switchover'

    Usage: mainstay [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn an_unknown_option_is_named() {
    assert_snapshot!(Desk::empty().says(&["status", "--jsn"]), @r"
    exit 2
    --- stderr
    error: unexpected argument '--jsn' found

      tip: a similar argument exists: '--json'

    Usage: mainstay status --json

    For more information, try '--help'.
    ");
}

#[test]
fn a_move_needs_its_site() {
    assert_snapshot!(Desk::empty().says(&["plan", "switchover"]), @r"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      --to <SITE>

    Usage: mainstay plan --to <SITE> <WHICH>

    For more information, try '--help'.
    ");
}

#[test]
fn a_span_has_a_unit() {
    assert_snapshot!(Desk::empty().says(&["failover", "--to", "dr", "--accept-loss", "12"]), @r#"
    exit 2
    --- stderr
    error: invalid value '12' for '--accept-loss <SPAN>': "12" is not a length of time: write a number and a unit, such as 500ms, 90s, 5m, 12h, 14d or 2w

    For more information, try '--help'.
    "#);
}

#[test]
fn without_a_plan_file_it_says_how_to_get_one() {
    assert_snapshot!(Desk::empty().says(&["status"]), @r"
    exit 2
    --- stderr
    error[MS0002]: failed to read the plan file mainstay.yaml: No such file or directory (os error 2)
    next: `mainstay init` writes one; `--plan FILE` names another
    ");
    assert_snapshot!(Desk::empty().says(&["--plan", "nowhere/x.yaml", "check"]), @r"
    exit 2
    --- stderr
    error[MS0002]: failed to read the plan file nowhere/x.yaml: No such file or directory (os error 2)
    next: `mainstay init` writes one; `--plan FILE` names another
    ");
}

#[test]
fn a_folder_is_no_plan_file() {
    assert_snapshot!(Desk::empty().says(&["--plan", ".", "check"]), @r"
    exit 2
    --- stderr
    error[MS0002]: failed to read the plan file .: Is a directory (os error 21)
    next: `mainstay init` writes one; `--plan FILE` names another
    ");
}

#[test]
fn a_failure_is_one_value_for_programs() {
    assert_snapshot!(Desk::empty().says(&["status", "--json"]), @r#"
    exit 2
    --- stdout
    {
      "error": {
        "code": "MS0002",
        "what": "failed to read the plan file mainstay.yaml: No such file or directory (os error 2)",
        "evidence": [],
        "next": "`mainstay init` writes one; `--plan FILE` names another",
        "exit": "usage"
      }
    }
    "#);
}

#[test]
fn an_error_code_is_explained() {
    assert_snapshot!(Desk::empty().says(&["explain", "MS0004"]), @r"
    exit 0
    --- stdout
    # MS0004: a verb that changes the world needs a yes

    A verb such as `switchover` was called where there is no terminal, for example from a script, and without `--yes`.

    ## Why it matters

    Mainstay shows its plan and asks before it changes anything. Where it cannot ask it must have been told.

    ## What to do

    Look at the plan with `mainstay plan ...` or `--dry-run`, then add `--yes`.
    ");
    let json = Desk::empty().says(&["explain", "STORE-OPEN", "--json"]);
    assert!(json.contains(r#""code": "store-open""#), "{json}");
    assert_snapshot!(Desk::empty().says(&["explain", "MS9999"]), @r#"
    exit 2
    --- stderr
    error[MS0007]: no error has the code "MS9999"
    next: `mainstay explain --list` lists every code
    "#);
}

#[test]
fn a_shell_gets_its_completions() {
    let said = Desk::empty().says(&["completions", "bash"]);
    assert!(said.starts_with("exit 0"), "{said}");
    assert!(said.contains("switchover"), "{said}");
    let wrong = Desk::empty().says(&["completions", "cmd"]);
    assert!(wrong.starts_with("exit 2"), "{wrong}");
}

#[test]
fn help_names_every_settled_verb_and_the_exit_codes() {
    let said = Desk::empty().says(&["--help"]);
    for verb in [
        "init",
        "check",
        "status",
        "plan",
        "switchover",
        "failover",
        "failback",
        "reprotect",
        "adopt",
        "run",
        "serve",
        "agent",
        "explain",
        "completions",
        "demo",
    ] {
        assert!(said.contains(&format!("\n  {verb} ")), "{verb}:\n{said}");
    }
    assert!(said.contains("3 refused by a"), "{said}");
}
