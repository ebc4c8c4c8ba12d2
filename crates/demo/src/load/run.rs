//! Starts the clients and ends them: after the duration, when asked to stop, or when the list can
//! no longer be kept.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::{self, Shared};
use super::list::Appender;
use super::options::Options;
use super::resolver::Resolver;
use crate::clock::now_us;
use crate::error::PartError;
use crate::{stop, web};

/// Generates load until its duration is over or the process is asked to stop.
pub async fn run(options: Options) -> Result<(), PartError> {
    let stop = stop::asked()?;
    run_until(options, stop).await
}

/// Generates load until its duration is over or `stop` ends.
pub async fn run_until(
    options: Options,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), PartError> {
    check(&options)?;
    let began_us = now_us();
    let duration = options.duration_ms.map(Duration::from_millis);
    let clients = options.clients;
    let shared = Arc::new(Shared {
        prefix: format!("o{began_us:x}-{:x}", std::process::id()),
        http: web::client(Duration::from_millis(options.timeout_ms))?,
        resolver: Resolver::new(options.dns, &options.name)?,
        list: Appender::open(&options.list, began_us)?,
        turn: AtomicUsize::new(0),
        options,
    });
    let (stopping, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        tasks.spawn(client::run(number, shared.clone(), stopped.clone()));
    }
    let over = async move {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let mut failed = Ok(());
    tokio::select! {
        () = stop => {}
        () = over => {}
        // A client ends by itself only when it cannot keep its list.
        Some(ended) = tasks.join_next() => failed = flatten(ended),
    }
    stopping.send_replace(true);
    while let Some(ended) = tasks.join_next().await {
        failed = failed.and(flatten(ended));
    }
    failed
}

fn flatten(ended: Result<Result<(), PartError>, tokio::task::JoinError>) -> Result<(), PartError> {
    ended.unwrap_or_else(|error| Err(PartError::Serve(std::io::Error::other(error))))
}

fn check(options: &Options) -> Result<(), PartError> {
    for (option, value) in [
        ("clients", u32::from(options.clients)),
        ("rate", options.rate),
        ("tenants", u32::from(options.tenants)),
    ] {
        if value == 0 {
            return Err(PartError::Option {
                option,
                why: "it must be at least 1".to_owned(),
            });
        }
    }
    Ok(())
}
