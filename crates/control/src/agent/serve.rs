//! Starts an agent and stops it again. What it supervises outlives it.
//! Must not know any concrete driver; it is handed them.

use std::{
    fs::{File, OpenOptions},
    future::Future,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mainstay_driver::Drivers;
use mainstay_model::{PlanFile, SiteId};
use rustix::fs::FlockOperation;
use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    AgentError, backups, copies,
    fencer::Fencer,
    grantor::Grantor,
    hold::Hold,
    ledger::Ledger,
    orders::Orders,
    routes::{self, Ears},
    site::Site,
    wake::Wake,
    work::Works,
};
use crate::client::AgentClient;

/// The longest path that a Unix socket can have, in bytes.
const SOCKET_LENGTH: usize = 107;

/// How long an agent waits for one that is dying.
const DEATH: Duration = Duration::from_secs(3);

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its site.
    pub site: SiteId,
    /// The checked plan file.
    pub plan: PlanFile,
    /// The folder of its journal; nobody else uses it.
    pub folder: PathBuf,
    /// Where it listens for orders.
    pub socket: PathBuf,
    /// Where it answers the network about health and leases, if it does.
    pub listen: Option<SocketAddr>,
    /// The socket of the agent that grants leases, unless this is it.
    pub witness: Option<PathBuf>,
    /// What its drivers ask before they start anything.
    pub hold: Hold,
}

/// A running agent. Dropping it stops its ears and its background copies, not what it supervises.
#[derive(Debug)]
pub struct Agent {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    ears: Vec<JoinHandle<()>>,
    address: Option<SocketAddr>,
    socket: PathBuf,
    _lock: File,
}

impl Agent {
    /// Runs an agent until it is told to stop over its socket or `until` is over.
    pub async fn serve(
        options: Options,
        drivers: Drivers,
        until: impl Future<Output = ()>,
    ) -> Result<(), AgentError> {
        let agent = Self::start(options, drivers).await?;
        tokio::select! {
            () = until => {}
            () = agent.stop.cancelled() => {}
        }
        agent.stop().await;
        Ok(())
    }

    /// Starts an agent; it listens once this returns.
    pub async fn start(options: Options, drivers: Drivers) -> Result<Self, AgentError> {
        if !options.plan.sites.contains_key(&options.site) {
            return Err(AgentError::UnknownSite(options.site));
        }
        let lock = lock(&options).await?;
        let ledger = Arc::new(Ledger::open(&options.folder.join("agent.db"))?);
        let fencer = Arc::new(Fencer {
            site: options.site.clone(),
            plan: options.plan.clone(),
            ledger: Arc::clone(&ledger),
            drivers: drivers.clone(),
        });
        let grantor = Grantor::new(options.site.clone(), &options.plan, Arc::clone(&ledger))?;
        let grantor = Arc::new(grantor);
        let drivers = drivers
            .with("agent", fencer.clone())
            .with("lease", grantor.clone());
        let site = Site::new(
            options.site.clone(),
            options.plan.clone(),
            Arc::clone(&ledger),
            drivers,
        );
        let witness = options.witness.as_deref().map(AgentClient::new);
        let wake = Wake {
            site: Arc::clone(&site),
            fencer,
            witness: witness.transpose().unwrap_or_default(),
        };
        wake.at_start().await?;
        options.hold.ask(ledger);
        let stop = CancellationToken::new();
        let works = Works::new(Arc::clone(&site));
        let ears = Ears {
            orders: Orders::new(Arc::clone(&site)),
            site: Arc::clone(&site),
            grantor,
            works: Arc::clone(&works),
            stop: stop.clone(),
        };
        let (listeners, address) = listen(&options, ears, &stop).await?;
        let mut tasks = copies::start(&site);
        tasks.extend(backups::start(&site, &works));
        tasks.push(tokio::spawn(wake.watch()));
        Ok(Self {
            stop,
            tasks,
            ears: listeners,
            address,
            socket: options.socket,
            _lock: lock,
        })
    }

    /// Where it answers the network.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it listens for orders.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops listening, lets requests in flight end, and ends background copies.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for ears in std::mem::take(&mut self.ears) {
            let _ = ears.await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
        for task in self.tasks.iter().chain(&self.ears) {
            task.abort();
        }
        // The next agent makes its own; one that is already there is not ours to remove.
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// One agent for each folder: whoever holds the lock may replace the socket. One that was just killed holds it until
/// the kernel has ended its last thread.
async fn lock(options: &Options) -> Result<File, AgentError> {
    let path = options.folder.join("agent.lock");
    let file = lock_file(&options.folder, &path).map_err(|source| AgentError::Folder {
        path: options.folder.clone(),
        source,
    })?;
    let deadline = tokio::time::Instant::now() + DEATH;
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if tokio::time::Instant::now() > deadline {
            return Err(AgentError::AlreadyRunning {
                site: options.site.clone(),
                path,
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(file)
}

fn lock_file(folder: &Path, path: &Path) -> std::io::Result<File> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder)?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
}

async fn listen(
    options: &Options,
    ears: Ears,
    stop: &CancellationToken,
) -> Result<(Vec<JoinHandle<()>>, Option<SocketAddr>), AgentError> {
    let failed = |at: String| move |source| AgentError::Listen { at, source };
    let unix = bind(&options.socket)?;
    let (orders, stopped) = (routes::socket(ears.clone()), stop.clone());
    let mut tasks = vec![tokio::spawn(async move {
        let serving = axum::serve(unix, orders)
            .with_graceful_shutdown(async move { stopped.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "the agent's socket failed");
        }
    })];
    let Some(address) = options.listen else {
        return Ok((tasks, None));
    };
    let tcp = TcpListener::bind(address).await;
    let tcp = tcp.map_err(failed(address.to_string()))?;
    let bound = tcp.local_addr().map_err(failed(address.to_string()))?;
    let (network, stopped) = (routes::network(ears), stop.clone());
    tasks.push(tokio::spawn(async move {
        let serving = axum::serve(tcp, network)
            .with_graceful_shutdown(async move { stopped.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "the agent's address failed");
        }
    }));
    Ok((tasks, Some(bound)))
}

/// Only the owner may connect, from the first moment on: the socket gets its rights before its name.
fn bind(socket: &Path) -> Result<UnixListener, AgentError> {
    let failed = |source| AgentError::Listen {
        at: socket.display().to_string(),
        source,
    };
    let length = socket.as_os_str().len() + 1;
    if length > SOCKET_LENGTH {
        return Err(AgentError::SocketTooLong {
            path: socket.to_path_buf(),
            length,
        });
    }
    if let Some(folder) = socket.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(failed)?;
    }
    let mut young = socket.as_os_str().to_owned();
    young.push("~");
    let young = PathBuf::from(young);
    let _ = std::fs::remove_file(&young);
    let listener = UnixListener::bind(&young).map_err(failed)?;
    let rights = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&young, rights).map_err(failed)?;
    std::fs::rename(&young, socket).map_err(failed)?;
    Ok(listener)
}
