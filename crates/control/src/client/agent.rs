//! One agent, as its callers see it.
//! Must not know runs or steps.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use mainstay_driver::{Handle, Order};
use mainstay_model::{Action, ExecutorEpoch, Sample, Scope};
use serde::{Serialize, de::DeserializeOwned};

use super::{ClientError, http};
use crate::wire::{
    ActRequest, AgentStatus, LogEntry, ObserveReply, ObserveRequest, PollRequest, ProbeReply,
    ProbeRequest, ProbeTarget, Reply, WorkReport, WorkRequest,
};

/// Longer than an agent ever takes to answer: it says "running" long before.
const ANSWER: Duration = Duration::from_secs(15);

/// Talks to the agent at a Unix socket. Cheap to clone; keeps its connections.
#[derive(Debug, Clone)]
pub struct AgentClient {
    socket: PathBuf,
    http: reqwest::Client,
    limit: Duration,
}

impl AgentClient {
    /// A client for the agent that listens at this socket. Connects when it is first asked something.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        Ok(Self {
            socket: socket.to_path_buf(),
            http: http::unix(socket)?,
            limit: ANSWER,
        })
    }

    /// The same client, which waits at most so long for each answer.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self {
            limit,
            ..self.clone()
        }
    }

    /// Where the agent listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Looks at scopes, all at the same time.
    pub async fn observe(
        &self,
        scopes: Vec<Scope>,
        executor: Option<ExecutorEpoch>,
    ) -> Result<Vec<Sample>, ClientError> {
        let request = ObserveRequest { scopes, executor };
        let reply: ObserveReply = self.post("/v1/observe", &request).await?;
        Ok(reply.samples)
    }

    /// Orders something. An error other than [`ClientError::NotReached`] leaves the outcome unknown.
    pub async fn act(&self, order: Order) -> Result<Reply, ClientError> {
        self.post("/v1/act", &ActRequest { order }).await
    }

    /// Asks how far an order is.
    pub async fn poll(&self, order: Order, handle: Handle) -> Result<Reply, ClientError> {
        self.post("/v1/poll", &PollRequest { order, handle }).await
    }

    /// What the agent says of itself.
    pub async fn status(&self) -> Result<AgentStatus, ClientError> {
        self.send(self.http.get(url("/v1/status"))).await
    }

    /// Its journal, from after this entry on.
    pub async fn log(&self, after: u64) -> Result<Vec<LogEntry>, ClientError> {
        self.send(self.http.get(url(&format!("/v1/log?after={after}"))))
            .await
    }

    /// Lets it look at addresses.
    pub async fn probe(&self, targets: Vec<ProbeTarget>) -> Result<ProbeReply, ClientError> {
        self.post("/v1/probe", &ProbeRequest { targets }).await
    }

    /// Lets it do something beside any run; the same that it does already is not begun twice.
    pub async fn work(&self, action: Action) -> Result<WorkReport, ClientError> {
        self.post("/v1/work", &WorkRequest { action }).await
    }

    /// How far such work is.
    pub async fn worked(&self, id: &str) -> Result<WorkReport, ClientError> {
        self.send(self.http.get(url(&format!("/v1/work/{id}"))))
            .await
    }

    /// All such work that goes on, and the last of what is over.
    pub async fn works(&self) -> Result<Vec<WorkReport>, ClientError> {
        self.send(self.http.get(url("/v1/work"))).await
    }

    /// Asks it to stop. What it supervises goes on.
    pub async fn stop(&self) -> Result<(), ClientError> {
        self.post("/v1/stop", &()).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.send(self.http.post(url(path)).json(body)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let sent = request.timeout(self.limit).send().await;
        let response = sent.map_err(|error| self.failure(&error))?;
        let status = response.status();
        if !status.is_success() {
            let why = response.text().await.unwrap_or_default();
            return Err(ClientError::Refused {
                socket: self.socket.clone(),
                status: status.as_u16(),
                why,
            });
        }
        response.json().await.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &reqwest::Error) -> ClientError {
        let (socket, why) = (self.socket.clone(), chain(error));
        // Only a connection that was never made proves that nothing was heard.
        if error.is_connect() {
            ClientError::NotReached { socket, why }
        } else {
            ClientError::NoAnswer { socket, why }
        }
    }
}

/// The host is not looked up: the connection goes to the socket.
fn url(path: &str) -> String {
    format!("http://agent{path}")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
