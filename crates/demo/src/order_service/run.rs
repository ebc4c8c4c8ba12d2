//! Puts a replica together: the watch over the mark, the lease, the writer and the HTTP server.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::api::{self, Service};
use super::attachments::AttachmentStore;
use super::database::{MarkReader, Writer};
use super::gate::owned_epoch;
use super::lease::{self, LeaseHolder};
use super::mark::MarkReading;
use super::options::{DatabaseUrl, Options};
use super::writer;
use crate::error::PartError;
use crate::{stop, web};

/// How often the mark is looked at.
const WATCH: Duration = Duration::from_millis(100);
/// How long the last batch may take once nobody waits for it any more.
const WRITER_GRACE: Duration = Duration::from_millis(500);
/// How many writes may wait.
const WAITING: usize = 256;

/// A replica that has its address and does not serve yet.
#[derive(Debug)]
pub struct OrderService {
    options: Options,
    listener: TcpListener,
}

/// The environment variable that has the database's password, so that it stands in no argument.
const PASSWORD: &str = "DEMO_DATABASE_PASSWORD";

/// Runs a replica until the process is asked to stop.
pub async fn run(mut options: Options) -> Result<(), PartError> {
    options.database = with_password(options.database);
    let stop = stop::asked()?;
    OrderService::bind(options).await?.serve(stop).await
}

/// The database with the password from the environment, if there is one.
pub(super) fn with_password(database: DatabaseUrl) -> DatabaseUrl {
    match std::env::var(PASSWORD) {
        Ok(password) => database.with_password(password.trim()),
        Err(_) => database,
    }
}

impl OrderService {
    /// Takes the listening address.
    pub async fn bind(options: Options) -> Result<Self, PartError> {
        let listener = web::bind(options.listen).await?;
        Ok(Self { options, listener })
    }

    /// The address that clients reach it at.
    pub fn addr(&self) -> Result<SocketAddr, PartError> {
        self.listener.local_addr().map_err(PartError::Serve)
    }

    /// Serves until `stop` ends.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), PartError> {
        let Self { options, listener } = self;
        let lease = match &options.lease {
            None => LeaseHolder::not_needed(),
            Some(_) => LeaseHolder::empty(),
        };
        let files = Arc::new(AttachmentStore::new(
            options.files.clone(),
            &options.replica,
        ));
        let (mark_sender, mark) = watch::channel(MarkReading::Unreadable("starting".to_owned()));
        let (wanted_sender, wanted) = watch::channel(None);
        let (jobs, waiting) = mpsc::channel(WAITING);
        let by = Writer {
            site: options.site.clone(),
            lease: lease.clone(),
        };

        // Dropping the set ends its tasks; nothing in them needs an orderly end.
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_mark(
            options.clone(),
            files.clone(),
            mark_sender,
            wanted_sender,
        ));
        let writer = tokio::spawn(writer::run(
            options.database.clone(),
            by,
            waiting,
            mark.clone(),
        ));
        let keeper = options.lease.clone().map(|asking| {
            let (site, replica) = (options.site.clone(), options.replica.clone());
            tokio::spawn(lease::keep(asking, site, replica, lease.clone(), wanted))
        });
        let service = Service {
            options: options.clone(),
            lease: lease.clone(),
            files,
            mark,
            jobs,
        };
        let served = web::serve(listener, api::router(service), stop).await;
        // With the watch ends what the keeper is told, and so the keeper, once its last answer is there.
        tasks.shutdown().await;
        let asked = match keeper {
            Some(keeper) => keeper.await,
            None => Ok(Ok(None)),
        };
        match asked {
            Ok(Ok(asked)) => give_back(&options, asked, writer).await,
            Ok(Err(error)) => tracing::error!(%error, "no lease can be asked for"),
            Err(error) => tracing::error!(%error, "the lease was not kept"),
        }
        served
    }
}

/// A replica that stops in good order gives its lease back, so that the next owner need not wait for its end. Only
/// when nothing is being written any more.
async fn give_back(options: &Options, asked: Option<u64>, mut writer: JoinHandle<()>) {
    let over = tokio::time::timeout(WRITER_GRACE, &mut writer)
        .await
        .is_ok();
    writer.abort();
    if let (Some(lease), Some(epoch), true) = (&options.lease, asked, over) {
        lease::release(lease, &options.site, &options.replica, epoch).await;
    }
}

/// Looks at the mark every [`WATCH`] and tells the others.
async fn watch_mark(
    options: Options,
    files: Arc<AttachmentStore>,
    mark: watch::Sender<MarkReading>,
    wanted: watch::Sender<Option<u64>>,
) {
    let mut reader = MarkReader::new(&options.database);
    loop {
        let reading = reader.read().await;
        let owned = owned_epoch(&reading, &options.site).ok();
        let newly_owned = wanted.send_if_modified(|wanted| {
            let changed = *wanted != owned;
            *wanted = owned;
            changed
        }) && owned.is_some();
        if newly_owned {
            let files = files.clone();
            let removed = tokio::task::spawn_blocking(move || files.remove_leftovers()).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(%error, "leftovers of an earlier life stay");
            }
        }
        mark.send_if_modified(|known| {
            let changed = *known != reading;
            *known = reading;
            changed
        });
        tokio::time::sleep(WATCH).await;
    }
}
