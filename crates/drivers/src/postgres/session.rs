//! Connections: who connects where, in bounded time, with the server's own words when it fails.
//! Must not know what is asked.

use std::{fmt, time::Duration};

use tokio_postgres::{Client, Config, Error, NoTls, error::SqlState};

/// How long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(2);
/// How long any one statement of Mainstay's may take at the server.
const STATEMENT: &str =
    "-c statement_timeout=60s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s";

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSession {
    /// Nobody listens there.
    #[error("{0}")]
    Silent(String),
    /// A server is there, but takes no connections now (it starts, stops or recovers).
    #[error("{0}")]
    NotNow(String),
    /// The server does not let Mainstay in.
    #[error("{0}")]
    Refused(String),
}

/// One role at one server.
#[derive(Clone)]
pub(super) struct Login {
    config: Config,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl Login {
    /// A role at the server that the URL names.
    pub(super) fn new(url: &str, user: &str, password: Option<&str>) -> Result<Self, String> {
        let mut config: Config = url
            .parse()
            .map_err(|error| format!("that is no connection URL: {error}"))?;
        config
            .user(user)
            .application_name("mainstay")
            .connect_timeout(CONNECT)
            .options(STATEMENT);
        if let Some(password) = password {
            config.password(password);
        }
        Ok(Self { config })
    }

    /// Host and port.
    pub(super) fn address(&self) -> (String, u16) {
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            _ => "127.0.0.1".to_owned(),
        };
        (
            host,
            self.config.get_ports().first().copied().unwrap_or(5432),
        )
    }

    /// The database.
    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or("postgres")
    }

    /// The role.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or("mainstay")
    }

    /// Where it connects to, for people.
    pub(super) fn label(&self) -> String {
        let (host, port) = self.address();
        format!("{host}:{port}/{}", self.database())
    }

    /// The connection string for PostgreSQL's own programs, without password.
    pub(super) fn conninfo(&self) -> String {
        let (host, port) = self.address();
        let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        format!(
            "host={} port={port} user={} application_name=mainstay connect_timeout=5",
            quote(&host),
            quote(self.user())
        )
    }

    /// Connects.
    pub(super) async fn connect(&self) -> Result<Client, NoSession> {
        let connecting = tokio::time::timeout(CONNECT, self.config.connect(NoTls)).await;
        let label = self.label();
        let (client, connection) = match connecting {
            Err(_) => {
                return Err(NoSession::Silent(format!(
                    "{label} does not answer in time"
                )));
            }
            Ok(Err(error)) => return Err(no_session(&label, &error)),
            Ok(Ok(session)) => session,
        };
        // Ends with the client; what went wrong is also returned to whoever awaits a query.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a database connection ended");
            }
        });
        Ok(client)
    }
}

fn no_session(label: &str, error: &Error) -> NoSession {
    let what = format!("{label}: {}", describe(error));
    match error.code() {
        None => NoSession::Silent(what),
        Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => NoSession::NotNow(what),
        Some(code) if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN => {
            NoSession::NotNow(what)
        }
        Some(_) => NoSession::Refused(what),
    }
}

/// The server's own words: the library's message for them is only "db error".
pub(super) fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(from_server) => from_server.message().to_owned(),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
