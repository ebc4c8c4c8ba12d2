//! A small HTTP server for tests: answers each request by a function of its method, path and body.
//! Must not be used outside tests.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What a test server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The head as it came, lower-case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Serves on a free port until the runtime ends, and gives its base URL.
pub(crate) async fn serve(
    answer: impl Fn(Asked) -> (u16, String) + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move { one(stream, &*answer).await });
        }
    });
    url
}

async fn one(mut stream: TcpStream, answer: &(dyn Fn(Asked) -> (u16, String) + Send + Sync)) {
    let mut bytes = Vec::new();
    let mut part = [0_u8; 4096];
    let asked = loop {
        let count = stream.read(&mut part).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&part[..count]);
        if let Some(asked) = whole(&bytes) {
            break asked;
        }
    };
    let (status, body) = answer(asked);
    let text = format!(
        "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn whole(bytes: &[u8]) -> Option<Asked> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let lower = head.to_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    let mut first = head.split_whitespace();
    (body.len() >= length).then(|| Asked {
        method: first.next().unwrap_or_default().to_owned(),
        path: first.next().unwrap_or_default().to_owned(),
        head: lower.clone(),
        body: body.to_owned(),
    })
}
