//! The order service's HTTP interface: requests in, status codes out. Whether a write is admitted
//! is the gate's to say.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use super::attachments::AttachmentStore;
use super::database::{NewOrder, Which, Write, Written, orders};
use super::gate::{Refusal, admit};
use super::ids::{OrderId, Tenant, tenant_name};
use super::lease::LeaseHolder;
use super::mark::MarkReading;
use super::options::Options;
use super::verify::verify;
use super::writer::Job;

/// Which replica answered, as `site/replica`.
const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// What every request handler may use.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) options: Options,
    pub(crate) lease: LeaseHolder,
    pub(crate) files: Arc<AttachmentStore>,
    pub(crate) mark: watch::Receiver<MarkReading>,
    pub(crate) jobs: mpsc::Sender<Job>,
}

/// Why a request gets no good answer.
#[derive(Debug)]
enum Problem {
    /// The request itself is wrong.
    Bad(&'static str, String),
    /// There is no such thing.
    NotFound(&'static str),
    /// The id is taken by other content.
    Conflict,
    /// Not now, or not here.
    Refused(Refusal),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, detail) = match &self {
            Self::Bad(code, detail) => (StatusCode::BAD_REQUEST, *code, Some(detail.as_str())),
            Self::NotFound(code) => (StatusCode::NOT_FOUND, *code, None),
            Self::Conflict => (StatusCode::CONFLICT, "id-taken", None),
            Self::Refused(why) => (StatusCode::SERVICE_UNAVAILABLE, why.code(), why.detail()),
        };
        let body = match detail {
            Some(detail) => json!({ "error": code, "detail": detail }),
            None => json!({ "error": code }),
        };
        (status, Json(body)).into_response()
    }
}

/// A new order as a client sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderRequest {
    tenant: String,
    id: String,
    body: String,
    /// Base64 of the attachment's bytes.
    attachment: String,
}

#[derive(Debug, Deserialize)]
struct OfTenant {
    tenant: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TickRequest {
    by: String,
}

/// All routes.
pub(crate) fn router(service: Service) -> Router {
    let served_by = format!("{}/{}", service.options.site, service.options.replica);
    let served_by = HeaderValue::from_str(&served_by).ok();
    Router::new()
        .route("/orders", post(create).get(list))
        .route("/orders/{tenant}/{id}", get(show))
        .route("/jobs/tick", post(tick))
        .route("/healthz", get(async || Json(json!({ "up": true }))))
        .route("/ready", get(ready))
        .route("/version", get(version))
        .route("/verify", get(check))
        .with_state(service)
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let served_by = served_by.clone();
            async move {
                let mut response = next.run(request).await;
                if let Some(served_by) = served_by {
                    response.headers_mut().insert(SERVED_BY, served_by);
                }
                response
            }
        }))
}

async fn create(
    State(service): State<Service>,
    Json(request): Json<OrderRequest>,
) -> Result<Response, Problem> {
    let tenant = known_tenant(&service, &request.tenant)?;
    let id = order_id(request.id)?;
    let bytes = BASE64
        .decode(request.attachment)
        .map_err(|error| Problem::Bad("bad-attachment", error.to_string()))?;
    admit(
        &service.mark.borrow(),
        &service.options.site,
        &service.lease,
    )?;

    let files = service.files.clone();
    let (for_tenant, for_id) = (tenant.clone(), id.clone());
    let stored = tokio::task::spawn_blocking(move || files.put(&for_tenant, &for_id, &bytes)).await;
    let attachment = match stored {
        Ok(Ok(attachment)) => attachment,
        Ok(Err(error)) => return Err(Refusal::Files(error.to_string()).into()),
        Err(error) => return Err(Refusal::Files(error.to_string()).into()),
    };
    let answer = json!({
        "tenant": tenant, "id": id, "attachment_sha256": attachment.sha256,
        "site": service.options.site, "replica": service.options.replica,
    });
    let order = NewOrder {
        tenant,
        id,
        body: request.body,
        attachment,
    };
    let status = match write(&service, Write::Order(order)).await? {
        Written::Created => StatusCode::CREATED,
        Written::AlreadyThere => StatusCode::OK,
        Written::Conflict => return Err(Problem::Conflict),
    };
    Ok((status, Json(answer)).into_response())
}

async fn tick(
    State(service): State<Service>,
    Json(request): Json<TickRequest>,
) -> Result<Response, Problem> {
    let by = order_id(request.by)?.to_string();
    admit(
        &service.mark.borrow(),
        &service.options.site,
        &service.lease,
    )?;
    write(&service, Write::Tick { by }).await?;
    Ok((
        StatusCode::CREATED,
        Json(json!({ "site": service.options.site })),
    )
        .into_response())
}

async fn write(service: &Service, write: Write) -> Result<Written, Refusal> {
    let (reply, outcome) = oneshot::channel();
    service
        .jobs
        .send(Job { write, reply })
        .await
        .map_err(|_| Refusal::Stopping)?;
    outcome.await.unwrap_or(Err(Refusal::Stopping))
}

async fn list(
    State(service): State<Service>,
    Query(query): Query<OfTenant>,
) -> Result<Response, Problem> {
    let Some(tenant) = query.tenant else {
        return Err(Problem::Bad(
            "tenant-required",
            "add ?tenant=NAME".to_owned(),
        ));
    };
    let tenant = known_tenant(&service, &tenant)?;
    let orders = orders(&service.options.database, Which::Of(tenant)).await?;
    Ok(Json(json!({ "orders": orders })).into_response())
}

async fn show(
    State(service): State<Service>,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let which = Which::One(known_tenant(&service, &tenant)?, order_id(id)?);
    let orders = orders(&service.options.database, which).await?;
    match orders.into_iter().next() {
        Some(order) => Ok(Json(order).into_response()),
        None => Err(Problem::NotFound("unknown-order")),
    }
}

async fn ready(State(service): State<Service>) -> Response {
    let site = &service.options.site;
    match probe(&service).await {
        Ok(epoch) => Json(json!({ "ready": true, "site": site, "epoch": epoch })).into_response(),
        Err(refusal) => {
            let body = json!({
                "ready": false, "site": site, "reason": refusal.code(), "detail": refusal.detail(),
            });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// Goes the whole way of a write, up to its transaction, without writing anything.
async fn probe(service: &Service) -> Result<u64, Refusal> {
    let epoch = admit(
        &service.mark.borrow(),
        &service.options.site,
        &service.lease,
    )?;
    write(service, Write::Probe).await?;
    Ok(epoch)
}

async fn version(State(service): State<Service>) -> Response {
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "site": service.options.site,
        "replica": service.options.replica,
    });
    Json(body).into_response()
}

async fn check(State(service): State<Service>) -> Result<Response, Problem> {
    let found = verify(&service.options.database, service.files.root()).await?;
    Ok(Json(found).into_response())
}

fn known_tenant(service: &Service, text: &str) -> Result<Tenant, Problem> {
    let tenant =
        Tenant::try_from(text).map_err(|why| Problem::Bad("bad-tenant", why.to_string()))?;
    let known = (1..=service.options.tenants).any(|number| tenant_name(number) == tenant);
    if known {
        Ok(tenant)
    } else {
        Err(Problem::NotFound("unknown-tenant"))
    }
}

fn order_id(text: String) -> Result<OrderId, Problem> {
    OrderId::try_from(text).map_err(|why| Problem::Bad("bad-id", why.to_string()))
}
