//! Single values: fields, types, words, units, secrets, kinds. Each problem has its code, its place and its help.

use crate::{
    common::{EXAMPLE, check},
    pages::whole,
};

#[test]
fn everything_is_told_at_once() {
    let text = EXAMPLE
        .replace("rpo: 5m", "rpo: 5")
        .replace("copy:   { by: streaming }", "copie: {}")
        .replace("standby: warm", "standby: tepid");
    insta::assert_snapshot!(
        check(&text)
            .unwrap_err()
            .render(mainstay_model::Style::Plain)
    );
}

/// The messages of a piece of a plan file, with their help.
fn told(piece: &str) -> Vec<(String, String)> {
    let problems = check(&whole(piece)).err();
    let list = problems.iter().flat_map(mainstay_model::Diagnostics::list);
    list.map(|one| (one.message.clone(), one.help.clone().unwrap_or_default()))
        .collect()
}

#[track_caller]
fn says(piece: &str, message: &str, help: &str) {
    let told = told(piece);
    let found = told
        .iter()
        .any(|(m, h)| m.contains(message) && h.contains(help));
    assert!(found, "{told:#?}");
}

#[test]
fn units() {
    says(
        "objectives: { rpo: 5 }",
        "`5` has no unit",
        "`5s`, `5m` or `5h`",
    );
    says(
        "objectives: { rpo: 5 min }",
        "`5 min` is not a length of time",
        "write `5m`",
    );
    says(
        "objectives: { rpo: 10 Seconds }",
        "is not a length of time",
        "write `10s`",
    );
    says(
        "objectives: { rpo: soon }",
        "is not a length of time",
        "a number and a unit",
    );
    let cache = |size: &str| {
        format!(
            "stores:\n  s: {{ kind: sqlite, copy: {{ every: 1s }}, at: {{ prod: {{ url: x, cache: {size} }}, dr: {{ url: x }} }} }}"
        )
    };
    says(&cache("64"), "`64` has no unit", "`64MiB`");
    says(&cache("64 megs"), "is not an amount of data", "`64MiB`");
    says(
        "windows: [ { from: tomorrow, until: 2026-12-01 } ]",
        "is not a point in time",
        "2027-12-31T18:00:00Z",
    );
}

#[test]
fn types_and_words() {
    says("system: [a]", "expected text, found a list", "");
    says("system: 5", "expected text, found a number", "\"5\"");
    says(
        "workloads: { w: { kind: process, at: { prod: { command: run } } } }",
        "expected a list, found text",
        "[run]",
    );
    says(
        "workloads: { w: { kind: process, at: { prod: { command: [a, 1] } } } }",
        "found a number",
        "\"1\"",
    );
    says(
        "workloads: { w: { kind: process, at: { prod: { command: [a], replicas: -1 } } } }",
        "at least 0",
        "",
    );
    says(
        "workloads: { w: { kind: process, at: { prod: { command: [a], replicas: 1.5 } } } }",
        "a whole number",
        "",
    );
    says(
        "workloads: { w: { kind: process, at: {} } }",
        "at least 1 entries",
        "",
    );
    says(
        "placement: { default: [prod] }",
        "expected text or a mapping, found a list",
        "",
    );
    says(
        "detect: { observers: [prod, prod, dr] }",
        "in the list twice",
        "",
    );
    says(
        "repositories: { r: { url: \"ftp://x\" } }",
        "`ftp://x` is not possible here",
        "s3",
    );
    says("sites: { prod: { domain: \"\" } }", "too short", "");
    says(
        "tenants: { isolation: rows, key: k }",
        "`rows` is not possible here",
        "did you mean `row`?",
    );
    says("mainstay: yes", "version", "mainstay: 1");
}

#[test]
fn short_and_long_forms() {
    let uses = |uses: &str| {
        format!(
            "workloads: {{ w: {{ kind: process, at: {{ prod: {{ command: [a] }}, dr: {{ command: [a] }} }}, uses: {uses} }} }}"
        )
    };
    says(
        &uses("[5]"),
        "expected text or `{ store: ... }`, found a number",
        "",
    );
    says(
        &uses("[ { stor: a } ]"),
        "unknown field `stor`",
        "did you mean `store`?",
    );
    says(&uses("[ { stor: a } ]"), "the field `store` is missing", "");
    says(&uses("[ a ]"), "there is no store `a`", "");
    says(
        &uses("[ w ]"),
        "there is no store `w`",
        "`w` is one of the workloads",
    );
    says(
        "placement: { default: { prod: many } }",
        "expected a whole number",
        "",
    );
    says(
        "sites: { prod: { domain: a, fence: [ { kind: pwer } ] }, dr: { domain: b } }",
        "unknown kind `pwer`",
        "`power`",
    );
    says(
        "sites: { prod: { domain: a, fence: [ {} ] }, dr: { domain: b } }",
        "the field `kind` is missing",
        "",
    );
    says(
        "sites: { prod: { domain: a, fence: [ { kind: agent, x: 1 } ] }, dr: { domain: b } }",
        "unknown field `x`",
        "",
    );
    says(
        "steps: { s: { kind: htp, before: shift } }",
        "unknown kind `htp`",
        "`http`",
    );
}

#[test]
fn secrets() {
    let repository = |password: &str| {
        format!("repositories: {{ r: {{ url: \"s3://x/y\", password: {password} }} }}")
    };
    says(
        &repository("hunter2"),
        "`password` holds a secret",
        "{ env: NAME }",
    );
    says(
        &repository("12345678"),
        "`password` holds a secret",
        "{ env: NAME }",
    );
    says(
        &repository("{ value: hunter2 }"),
        "unknown field `value`",
        "",
    );
    says(&repository("{}"), "", "");
    assert_eq!(told(&repository("{ env: KEY }")), []);
    assert_eq!(told("tenants: { isolation: row, key: tenant_id }"), []);
    let once = told(&repository("hunter2"));
    assert_eq!(
        once.len(),
        1,
        "the type of a secret is not told too: {once:?}"
    );
}

#[test]
fn kinds_complain_at_the_place() {
    let text = whole(
        "stores:
  s:
    kind: files
    copy: { every: 1s }
    at:
      prod: { url: \"file:/nowhere\" }
      dr: { url: \"file:./x\" }
",
    );
    let problems = check(&text).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "mainstay.yaml:9:20: error[MS1110]: nothing is ever nowhere"
    );
    assert_eq!(problems.to_json()["problems"][0]["help"], "name a place");
}

#[test]
fn columns_count_characters_and_windows_line_ends_are_fine() {
    let text = whole("contacts: { ops: { notify: \"mäil\", nötify: 1 } }\n").replace('\n', "\r\n");
    let problems = check(&text).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "mainstay.yaml:4:36: error[MS1101]: unknown field `nötify`"
    );
    let place = problems.list()[0].place;
    assert_eq!(&problems.source()[place.start..place.end], "nötify");
}
