//! Plan files with the network kinds: what is right passes, what is wrong is found at its place.

use mainstay_drivers::kinds;
use mainstay_model::{Diagnostics, Origin, Parsed, Span, Timestamp, parse};

const PLAN: &str = r#"
mainstay: 1
system: orders
sites:
  prod: { domain: eu-north }
  dr: { domain: eu-west }
  witness: { domain: us-east, role: witness }
placement: { default: prod }
objectives: { rpo: 5m, rto: 15m }
stores:
  ledger:
    kind: postgres
    app_roles: [app]
    at:
      prod:
        url: "postgres://127.0.0.1:6432/ledger"
        password: { file: ./mainstay }
        data: /var/lib/postgresql/15/main
        replication: { user: copier, password: { env: COPIER } }
      dr:
        url: "postgres://127.0.0.1:6433/ledger"
        password: { file: ./mainstay }
        data: ./dr
        bin: /usr/lib/postgresql/15/bin
        run_as: postgres
        replication: { user: copier }
    copy: { by: streaming }
workloads:
  web:
    kind: process
    at: { prod: { command: [./web] }, dr: { command: [./web] } }
    uses: [ledger]
routes:
  app:
    kind: dns
    name: app.orders.test
    ttl: 5s
    server: "127.0.0.1:53"
    tsig: { name: mover, secret: { file: ./key } }
    resolvers: ["127.0.0.2:53"]
    to: { prod: ["127.0.0.11", "2001:db8::1"], dr: ["127.0.0.12"] }
    serves: [web]
  edge:
    kind: haproxy
    sockets: ["unix:/run/haproxy/admin.sock", "tcp:127.0.0.1:9999"]
    grace: 2s
    sessions: cut
    to: { prod: [app/prod1, app/prod2], dr: [app/dr1] }
    serves: [web]
"#;

fn read(text: &str) -> Result<Parsed, Diagnostics> {
    let origin = Origin {
        file: "mainstay.yaml",
        folder: "/srv",
        now: Timestamp(0),
    };
    parse(text.as_bytes(), &origin, &kinds())
}

#[test]
fn a_plan_with_every_option_passes() {
    let parsed = match read(PLAN) {
        Ok(parsed) => parsed,
        Err(problems) => panic!("{:?}", problems.list()),
    };
    let (_, route) = parsed.plan.routes.first_key_value().unwrap();
    assert_eq!(route.ttl, Some(Span::from_secs(5)));
}

#[test]
fn what_is_wrong_is_found() {
    let cases = [
        (
            "127.0.0.1:6432/ledger",
            "u:hidden@127.0.0.1:6432/ledger",
            "password",
        ),
        (
            "postgres://127.0.0.1:6433/ledger",
            "postgres://127.0.0.1:6433",
            "database",
        ),
        ("        replication: { user: copier }\n", "", "replication"),
        ("run_as", "run_ass", "run_as"),
        ("server: \"127.0.0.1:53\"", "server: \"127.0.0.1\"", "port"),
        ("name: app.orders.test", "name: app", "zone"),
        ("dr: [\"127.0.0.12\"]", "dr: [\"127.0.0.11\"]", "127.0.0.11"),
        ("dr: [\"127.0.0.12\"]", "dr: []", "at least 1"),
        ("dr: [\"127.0.0.12\"]", "dr: [here]", "here"),
        ("sessions: cut", "sessions: shut", "shut"),
        ("tcp:127.0.0.1:9999", "127.0.0.1:9999", "runtime API"),
        ("app/dr1", "app/prod1", "app/prod1"),
        ("app/dr1", "dr1", "BACKEND/SERVER"),
    ];
    for (right, wrong, words) in cases {
        assert!(PLAN.contains(right), "{right}");
        let Err(problems) = read(&PLAN.replacen(right, wrong, 1)) else {
            panic!("{wrong:?} passes");
        };
        let said = format!("{:?}", problems.list());
        assert!(said.contains(words), "{wrong:?}: {said}");
        assert!(!said.contains("u:hidden"), "{said}");
    }
}
