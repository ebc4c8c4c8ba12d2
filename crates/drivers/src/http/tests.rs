//! The http driver against a small real server that can be held, stopped, slow, wrong or absent.

use std::sync::{Arc, Mutex};

use mainstay_driver::{ActError, Driver as _};
use mainstay_model::{
    Body, Class, ComponentId, Facts, Health, Kind as _, KindName, Move, MoveMode, Op, Output,
    Phase, PlanFile, Predicate, Reading, TeamStep,
};
use serde_json::{Value, json};

use super::{HttpDriver, HttpKind, NAME};
use crate::shared::{
    testing::{act, code, conforms, declared, facts, home, order, plan, scope, site, subject},
    testing_http::{Asked, serve},
};

/// A service with a switch for everything, and a list of what it was asked.
#[derive(Default)]
struct Service {
    paused: bool,
    stopped: bool,
    asked: Vec<Asked>,
}

async fn service() -> (String, Arc<Mutex<Service>>) {
    let state = Arc::new(Mutex::new(Service::default()));
    let shared = Arc::clone(&state);
    let url = serve(move |asked| {
        let mut state = shared.lock().unwrap();
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/hold") => state.paused = true,
            ("POST", "/release") => state.paused = false,
            ("POST", "/stop") => state.stopped = true,
            ("PUT", "/start") => state.stopped = false,
            ("GET", "/moved") => return (302, String::new()),
            ("POST", "/broken") => return (500, "out of order".to_owned()),
            ("GET", "/late") => return (200, r#"{"late":["GET /orders"]}"#.to_owned()),
            ("GET", "/version") => return (200, "2.7.1\n".to_owned()),
            _ => {}
        }
        let body = json!({ "paused": state.paused, "stopped": state.stopped }).to_string();
        state.asked.push(asked);
        (200, body)
    })
    .await;
    (url, state)
}

fn options(url: &str) -> Value {
    json!({
        "hold": { "post": format!("{url}/hold") },
        "release": { "post": format!("{url}/release") },
        "held": { "get": url, "expect": { "json": { "paused": true } } },
        "start": { "put": format!("{url}/start"), "body": { "replicas": 2 } },
        "stop": { "post": format!("{url}/stop"), "body": "now",
                  "secret_headers": { "Authorization": { "file": "./token" } } },
        "running": { "get": url, "expect": { "json": { "stopped": false } } },
        "ready": { "get": url, "expect": { "json": { "stopped": false } } },
        "sweep": { "get": format!("{url}/late") },
        "version": { "get": format!("{url}/version") },
        "within": "2s",
    })
}

fn driver(folder: &tempfile::TempDir, at: Value) -> HttpDriver {
    let declared = declared(Class::Workload, NAME, &[("a", at)]);
    HttpDriver::new(home(folder.path(), &plan(&declared), "a"))
}

async fn seen(driver: &HttpDriver) -> Facts {
    facts(driver, NAME, "a").await
}

async fn ask(driver: &HttpDriver, op: Op) -> Result<Output, ActError> {
    act(driver, NAME, "a", op).await
}

#[tokio::test]
async fn it_tells_and_sees_that_it_was_heard() {
    let (url, state) = service().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "Bearer sesame\n").unwrap();
    let driver = driver(&folder, options(&url));
    for _ in 0..2 {
        ask(&driver, Op::Hold).await.unwrap();
        assert_eq!(seen(&driver).await.workload.unwrap().held, Some(true));
    }
    ask(&driver, Op::Release).await.unwrap();
    assert_eq!(seen(&driver).await.workload.unwrap().held, Some(false));
    ask(&driver, Op::Stop).await.unwrap();
    let stopped = seen(&driver).await;
    assert_eq!(stopped.workload.as_ref().unwrap().running, Some(0));
    assert!(matches!(stopped.health, Some(Health::Failed(_))));
    ask(&driver, Op::Start).await.unwrap();
    let started = seen(&driver).await;
    let workload = started.workload.unwrap();
    assert_eq!((workload.running, workload.ready), (Some(1), Some(1)));
    assert_eq!(workload.version.as_deref(), Some("2.7.1"));
    assert_eq!(started.health, Some(Health::Passed));
    let swept = ask(&driver, Op::Sweep).await.unwrap();
    assert_eq!(swept.values["sweep"], r#"{"late":["GET /orders"]}"#);

    let state = state.lock().unwrap();
    let asked = |path: &str| state.asked.iter().find(|one| one.path == path).unwrap();
    assert_eq!(asked("/stop").body, "now");
    assert!(asked("/stop").head.contains("authorization: bearer sesame"));
    assert!(
        asked("/stop")
            .head
            .contains("idempotency-key: run-1/0/do/1/1")
    );
    assert_eq!(asked("/start").body, r#"{"replicas":2}"#);
    assert!(!asked("/").head.contains("sesame"));
}

#[tokio::test]
async fn it_keeps_the_drivers_contract() {
    let (url, _) = service().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "sesame").unwrap();
    let declared = declared(Class::Workload, NAME, &[("a", options(&url))]);
    for (op, is) in [
        (Op::Hold, Predicate::Held),
        (Op::Release, Predicate::Released),
        (Op::Stop, Predicate::Stopped),
        (Op::Start, Predicate::Ready(1)),
    ] {
        let driver = driver(&folder, options(&url));
        conforms(HttpKind, driver, &declared, "a", op, is).await;
    }
}

#[tokio::test]
async fn no_answer_is_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = service().await;
    // Nobody listens there: certainly not done, and nothing is known.
    let absent = driver(&folder, options("http://127.0.0.1:1"));
    assert_eq!(code(ask(&absent, Op::Hold).await), "http-unreachable");
    let sample = absent.observe(&scope(NAME, "a")).await;
    assert!(matches!(sample.reading, Reading::Unreachable { .. }));
    // It arrived and the answer is odd: perhaps done.
    let mut at = options(&url);
    at["hold"] = json!({ "post": format!("{url}/broken") });
    let outcome = ask(&driver(&folder, at.clone()), Op::Hold).await;
    assert!(
        matches!(&outcome, Err(ActError::Unknown(cause)) if cause.what.contains("out of order"))
    );
    // It says yes and does not do it.
    at["hold"] = json!({ "post": url });
    at["within"] = json!("100ms");
    let outcome = ask(&driver(&folder, at.clone()), Op::Hold).await;
    assert!(matches!(&outcome, Err(ActError::Unknown(cause)) if cause.code == "not-confirmed"));
    // A redirect is not followed.
    at["ready"] = json!({ "get": format!("{url}/moved") });
    assert_eq!(
        seen(&driver(&folder, at)).await.workload.unwrap().ready,
        Some(0)
    );
}

#[tokio::test]
async fn a_secret_that_is_missing_names_its_reference_only() {
    let (url, _) = service().await;
    let folder = tempfile::tempdir().unwrap();
    let outcome = ask(&driver(&folder, options(&url)), Op::Stop).await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("./token"), "{error}");
    assert_eq!(code::<()>(Err(error)), "secret-missing");
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let url = serve(|_| (200, "x".repeat(3 * 1024 * 1024))).await;
    let folder = tempfile::tempdir().unwrap();
    let at = json!({ "ready": { "get": url, "expect": { "text": "xxx" } } });
    assert_eq!(
        seen(&driver(&folder, at)).await.workload.unwrap().ready,
        Some(1)
    );
}

#[tokio::test]
async fn a_teams_step_is_one_request() {
    let (url, state) = service().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plan: PlanFile = plan(&declared(Class::Workload, NAME, &[("a", json!({}))]));
    let name = ComponentId::new("announce").unwrap();
    plan.steps.insert(
        name.to_string(),
        TeamStep {
            kind: KindName::new(NAME).unwrap(),
            before: Some(Phase::Drain),
            after: None,
            at: Some(site("a")),
            options: json!({ "post": format!("{url}/announce") }),
            required: true,
            timeout: None,
        },
    );
    let driver = HttpDriver::new(home(folder.path(), &plan, "a"));
    let run = Op::Custom {
        name: "run".to_owned(),
        args: [].into(),
    };
    let mut order = order(NAME, "a", run);
    order.action.subject = mainstay_model::Subject::Component(name);
    driver.act(&order).await.unwrap();
    assert_eq!(state.lock().unwrap().asked[0].path, "/announce");
}

fn lowered(at: Value, phase: Phase) -> Vec<mainstay_model::Draft> {
    let declared = declared(Class::Workload, NAME, &[("a", at)]);
    let mv = Move {
        mode: MoveMode::Switchover,
        site: site("a"),
        from: None,
        to: site("a"),
        control: site("a"),
        epochs: None,
        sealed_by: None,
        route: None,
        route_before: None,
        fencer: None,
    };
    HttpKind.lower(&declared, phase, &mv)
}

#[test]
fn it_contributes_the_steps_that_it_has_requests_for() {
    let scheduler = json!({ "hold": { "post": "http://x" }, "release": { "post": "http://x" },
                            "held": { "get": "http://x" } });
    assert_eq!(
        lowered(scheduler.clone(), Phase::Hold)[0].goals[0].is,
        Predicate::Held
    );
    for none in [
        Phase::Quiesce,
        Phase::Activate,
        Phase::Rebind,
        Phase::Sweep,
        Phase::Reconcile,
    ] {
        assert_eq!(lowered(scheduler.clone(), none), [], "{none}");
    }
    let checked = json!({ "ready": { "get": "http://x" }, "verify": { "get": "http://x" } });
    let activate = &lowered(checked.clone(), Phase::Activate)[0];
    assert_eq!(
        (&activate.body, &activate.goals[0].is),
        (&Body::Check, &Predicate::Ready(1))
    );
    let reconcile = &lowered(checked, Phase::Reconcile)[0];
    assert_eq!(reconcile.goals[0].is, Predicate::Healthy);
    assert_eq!(reconcile.goals[0].scope.subject, subject());
}

#[test]
fn options_are_complained_about_where_they_stand() {
    let places = |at: Value| -> Vec<String> {
        let found = HttpKind.check(&declared(Class::Workload, NAME, &[("a", at)]));
        found.into_iter().map(|one| one.path.join(".")).collect()
    };
    assert_eq!(places(options("http://x")), [""; 0]);
    assert_eq!(places(json!({})), ["at.a"]);
    assert_eq!(places(json!({ "ready": {} })), ["at.a.ready"]);
    assert_eq!(places(json!({ "stop": { "post": "http://x" } })), ["at.a"]);
}
