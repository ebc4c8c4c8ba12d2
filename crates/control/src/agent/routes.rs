//! An agent's ears: the Unix socket for orders, and the address for health and leases.
//! Must not know what an answer means.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::future::join_all;
use mainstay_model::{ComponentId, Sample, Scope};
use tokio_util::sync::CancellationToken;

use super::{grantor::Grantor, orders::Orders, probe, site::Site, work::Works};
use crate::{
    clock,
    db::DbError,
    wire::{
        ActRequest, LeaseRequest, ObserveReply, ObserveRequest, PollRequest, ProbeReply,
        ProbeRequest, Reply, WorkRequest,
    },
};

/// An executor's look waits so long for an order that is under way.
const UNDER_WAY: Duration = Duration::from_secs(4);

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Ears {
    pub(super) site: Arc<Site>,
    pub(super) orders: Arc<Orders>,
    pub(super) grantor: Arc<Grantor>,
    pub(super) works: Arc<Works>,
    pub(super) stop: CancellationToken,
}

/// What whoever may open the socket can ask for.
pub(super) fn socket(ears: Ears) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/v1/observe", post(observe))
        .route("/v1/act", post(act))
        .route("/v1/poll", post(poll))
        .route("/v1/probe", post(probe))
        .route("/v1/status", get(status))
        .route("/v1/log", get(log))
        .route("/v1/work", get(works).post(work))
        .route("/v1/work/{id}", get(worked))
        .route("/v1/lease/{store}", post(lease).delete(release))
        .route("/v1/stop", post(stop))
        .with_state(ears)
}

/// What the network can ask for: nothing that changes the world, except leases.
pub(super) fn network(ears: Ears) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/v1/lease/{store}", post(lease).delete(release))
        .with_state(ears)
}

async fn healthz(State(ears): State<Ears>) -> Response {
    let quarantined = ears.site.ledger.quarantine().ok().flatten().is_some();
    Json(serde_json::json!({
        "site": ears.site.name,
        "quarantined": quarantined,
    }))
    .into_response()
}

async fn observe(
    State(ears): State<Ears>,
    Json(request): Json<ObserveRequest>,
) -> Result<Json<ObserveReply>, Response> {
    if let Some(executor) = request.executor {
        let heard = ears.site.ledger.heard_of(executor).await;
        heard.map_err(|error| failed(&error))?;
    }
    let executor = request.executor.is_some();
    let looks = request
        .scopes
        .iter()
        .map(|scope| look(&ears, scope, executor));
    let samples = join_all(looks).await;
    Ok(Json(ObserveReply { samples }))
}

/// An executor decides by what it sees, so it waits for what is under way; anybody else sees things as they are.
async fn look(ears: &Ears, scope: &Scope, executor: bool) -> Sample {
    if let Some(component) = scope.subject.component().filter(|_| executor)
        && !ears.orders.settled(component, UNDER_WAY).await
    {
        return ears.site.silent(
            clock::now(),
            format!("an order on {component} is still being carried out"),
        );
    }
    ears.site.observe(scope).await
}

async fn act(State(ears): State<Ears>, Json(request): Json<ActRequest>) -> Json<Reply> {
    // In a task: a caller that hangs up while the intent is being recorded must not leave it half done.
    let orders = Arc::clone(&ears.orders);
    let acting = tokio::spawn(async move { orders.act(request.order).await });
    Json(acting.await.unwrap_or_else(|error| broken(&error)))
}

async fn poll(State(ears): State<Ears>, Json(request): Json<PollRequest>) -> Json<Reply> {
    let orders = Arc::clone(&ears.orders);
    let asking = tokio::spawn(async move { orders.poll(request.order, request.handle).await });
    Json(asking.await.unwrap_or_else(|error| broken(&error)))
}

fn broken(error: &tokio::task::JoinError) -> Reply {
    Reply::Error(mainstay_driver::ActError::Unknown(
        mainstay_driver::Cause::passing("agent-stopped", error.to_string()),
    ))
}

async fn probe(Json(request): Json<ProbeRequest>) -> Json<ProbeReply> {
    Json(probe::all(request.targets).await)
}

async fn status(State(ears): State<Ears>) -> Response {
    match ears.site.status() {
        Ok(mut status) => {
            for (store, epoch) in ears.grantor.floors().await {
                let floor = status.floors.entry(store).or_default();
                *floor = epoch.max(*floor);
            }
            Json(status).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn log(State(ears): State<Ears>, Query(query): Query<BTreeMap<String, u64>>) -> Response {
    match ears
        .site
        .ledger
        .log(query.get("after").copied().unwrap_or(0))
    {
        Ok(entries) => Json(entries).into_response(),
        Err(error) => failed(&error),
    }
}

async fn work(State(ears): State<Ears>, Json(request): Json<WorkRequest>) -> Response {
    match ears.works.start(request.action) {
        Ok(report) => Json(report).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

async fn works(State(ears): State<Ears>) -> Response {
    Json(ears.works.reports()).into_response()
}

async fn worked(State(ears): State<Ears>, Path(id): Path<String>) -> Response {
    match ears.works.report(&id) {
        Some(report) => Json(report).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            "the agent was started again meanwhile",
        )
            .into_response(),
    }
}

async fn lease(
    State(ears): State<Ears>,
    Path(store): Path<ComponentId>,
    Json(request): Json<LeaseRequest>,
) -> Response {
    match ears.grantor.grant(&store, &request).await {
        Ok(granted) => Json(granted).into_response(),
        Err(refused) => (StatusCode::CONFLICT, Json(refused)).into_response(),
    }
}

async fn release(
    State(ears): State<Ears>,
    Path(store): Path<ComponentId>,
    Json(request): Json<LeaseRequest>,
) -> Json<()> {
    ears.grantor.release(&store, &request).await;
    Json(())
}

async fn stop(State(ears): State<Ears>) -> Json<()> {
    ears.stop.cancel();
    Json(())
}

fn failed(error: &DbError) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}
