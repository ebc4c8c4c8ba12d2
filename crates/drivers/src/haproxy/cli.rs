//! One command to a running HAProxy, and its answer. A command is sent once.
//! Must not know what it is for.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// How long a connection or an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read: the state of some ten thousand servers.
const LONGEST: u64 = 4 << 20;

/// Why a command has no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommandError {
    /// It was not sent: nothing changed.
    #[error("{0} does not answer: {1}")]
    Silent(String, String),
    /// It was sent and no whole answer came.
    #[error("{0} did not confirm {1:?}: {2}")]
    Lost(String, String, String),
    /// HAProxy said no.
    #[error("{0} refuses {1:?}: {2}")]
    Refused(String, String, String),
}

/// Sends a question and returns the answer.
pub(super) async fn ask(socket: &str, command: &str) -> Result<String, CommandError> {
    let silent =
        |error: &dyn std::fmt::Display| CommandError::Silent(socket.to_owned(), error.to_string());
    let lost = |error: &dyn std::fmt::Display| {
        CommandError::Lost(socket.to_owned(), command.to_owned(), error.to_string())
    };
    let exchange = if let Some(path) = socket.strip_prefix("unix:") {
        let stream = timeout(PATIENCE, UnixStream::connect(path)).await;
        let stream = stream.map_err(|e| silent(&e))?.map_err(|e| silent(&e))?;
        timeout(PATIENCE, over(stream, command)).await
    } else {
        let address = socket.strip_prefix("tcp:").unwrap_or(socket);
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
        let stream = stream.map_err(|e| silent(&e))?.map_err(|e| silent(&e))?;
        timeout(PATIENCE, over(stream, command)).await
    };
    exchange.map_err(|e| lost(&e))?.map_err(|e| lost(&e))
}

/// Sends a command that answers nothing when all is well.
pub(super) async fn tell(socket: &str, command: &str) -> Result<(), CommandError> {
    let answer = ask(socket, command).await?;
    match answer.trim() {
        "" => Ok(()),
        words => Err(CommandError::Refused(
            socket.to_owned(),
            command.to_owned(),
            words.to_owned(),
        )),
    }
}

/// Without the prompt, HAProxy answers one line of commands and closes.
async fn over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    command: &str,
) -> io::Result<String> {
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer).await?;
    // A process that dies before it answers closes too; every answer ends with an empty line.
    if answer.ends_with('\n') {
        Ok(answer)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
