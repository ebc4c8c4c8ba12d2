//! `mainstay backup keys`: the passwords that open a repository.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mainstay_backup::{BackupError, Id, KeyFile, Repository};
use mainstay_control::backups::BackupsError;
use mainstay_model::RepositoryId;
use serde::Serialize;

use super::shared::{failed, repositories, short, vault};
use crate::{
    args::Yes,
    confirm,
    error::{Exit, Failure},
    output::Output,
    session::Session,
};

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    what: What,
    /// Which repository. Needed if there are several.
    #[arg(long, global = true, value_name = "REPOSITORY")]
    from: Option<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the keys.
    List,
    /// Let the password in a file open the repository, too.
    Add(AddArgs),
    /// Take a key away. The one that the plan file opens the repository with stays.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The file with the new password; its line end is no part of it.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The beginning of the key's name.
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    yes: Yes,
}

#[derive(Serialize)]
struct Row {
    id: String,
    created: String,
    username: String,
    hostname: String,
    in_use: bool,
}

pub(super) async fn run(args: &KeysArgs, session: &Session, out: &Output) -> Result<Exit, Failure> {
    let names = repositories(session, args.from.as_deref())?;
    let [name] = &names[..] else {
        let known: Vec<&str> = names.iter().map(RepositoryId::as_str).collect();
        return Err(Failure::usage(
            "repository-unknown",
            "the plan file has several repositories, and none was named",
        )
        .next(format!("--from with one of: {}", known.join(", "))));
    };
    let vault = vault(session, name).await?;
    let repository = vault.repository.clone();
    let keys = blocking(move || repository.keys()).await?;
    match &args.what {
        What::List => list(&vault.repository, &keys, out),
        What::Add(add) => {
            let mut password = std::fs::read(&add.password_file).map_err(|error| {
                let file = add.password_file.display();
                Failure::usage("key-password", format!("read {file}: {error}"))
            })?;
            while password
                .last()
                .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
            {
                password.pop();
            }
            if password.is_empty() {
                return Err(Failure::usage("key-password", "the new password is empty"));
            }
            let repository = vault.repository.clone();
            let id = blocking(move || repository.add_key(&password))
                .await?
                .to_string();
            out.line(format!("{name}: key {} opens it now, too", short(&id)));
            out.value(&id);
        }
        What::Remove(remove) => {
            let found = keys.iter().filter(|(id, _)| {
                !remove.key.is_empty() && id.to_string().starts_with(&remove.key)
            });
            let found: Vec<Id> = found.map(|(id, _)| *id).collect();
            let [id] = found[..] else {
                let what = format!("{} keys of {name} begin with {:?}", found.len(), remove.key);
                return Err(Failure::usage("key-unknown", what)
                    .next("`mainstay backup keys list` shows them"));
            };
            confirm::ask(
                &format!("Take key {id} away? Its password opens {name} no more."),
                remove.yes,
            )?;
            let repository = vault.repository.clone();
            blocking(move || repository.remove_key(id)).await?;
            out.line(format!("{name}: key {id} is gone"));
            out.value(&id.to_string());
        }
    }
    Ok(Exit::Done)
}

fn list(repository: &Repository, keys: &[(Id, KeyFile)], out: &Output) {
    let rows: Vec<Row> = keys
        .iter()
        .map(|(id, key)| Row {
            id: id.to_string(),
            created: key.created.to_string(),
            username: key.username.clone(),
            hostname: key.hostname.clone(),
            in_use: *id == repository.key_id(),
        })
        .collect();
    for row in &rows {
        let used = if row.in_use {
            ", the plan file opens it with this one"
        } else {
            ""
        };
        out.line(format!(
            "{}  made {} by {}@{}{used}",
            short(&row.id),
            row.created,
            row.username,
            row.hostname
        ));
    }
    out.value(&rows);
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::bug("work on the repository", error))?
        .map_err(|error| failed(BackupsError::Repository(error)))
}
