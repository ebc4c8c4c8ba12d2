//! Looks at addresses over the network, for the failure detector.
//! Must not know what an answer means.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use tokio::net::{TcpStream, UnixStream};

use crate::{
    clock,
    wire::{ProbeAnswer, ProbeReply, ProbeTarget},
};

/// All of them at the same time.
pub(super) async fn all(targets: Vec<ProbeTarget>) -> ProbeReply {
    let at = clock::now();
    let probes = targets.into_iter().map(|target| async move {
        let answer = one(&target).await;
        (target.name, answer)
    });
    let answers: BTreeMap<_, _> = join_all(probes).await.into_iter().collect();
    ProbeReply { answers, at }
}

async fn one(target: &ProbeTarget) -> ProbeAnswer {
    let limit = Duration::from_millis(target.timeout_ms);
    let look = async {
        if let Some(address) = target.address.strip_prefix("tcp://") {
            connected(TcpStream::connect(address).await)
        } else if let Some(path) = target.address.strip_prefix("unix:") {
            connected(UnixStream::connect(path).await)
        } else {
            http(&target.address).await
        }
    };
    tokio::time::timeout(limit, look)
        .await
        .unwrap_or_else(|_| ProbeAnswer::Silent(format!("no answer within {limit:?}")))
}

fn connected<T>(stream: std::io::Result<T>) -> ProbeAnswer {
    match stream {
        Ok(_) => ProbeAnswer::Passed,
        Err(error) => ProbeAnswer::Silent(error.to_string()),
    }
}

/// A new connection every time: a kept one would say nothing about whether the place can be reached.
async fn http(address: &str) -> ProbeAnswer {
    let client = match crate::client::web(address) {
        Ok(client) => client,
        Err(error) => return ProbeAnswer::Silent(error.to_string()),
    };
    match client.get(address).send().await {
        Ok(answer) if answer.status().as_u16() < 400 => ProbeAnswer::Passed,
        Ok(answer) => ProbeAnswer::Failed(format!("answered {}", answer.status())),
        Err(error) => ProbeAnswer::Silent(innermost(&error)),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
