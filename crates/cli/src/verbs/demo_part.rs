//! `mainstay demo-part`: one process of the demo's world. Hidden; the demo starts these itself.

use clap::{Args, ValueEnum};
use mainstay_demo::{
    PartError, dns, load,
    order_service::{self, ReconcileOptions},
    scheduler,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    error::{Exit, Failure},
    output::Output,
};

/// The parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    OrderService,
    Reconcile,
    Scheduler,
    Dns,
    Load,
}

/// Options of `mainstay demo-part`.
#[derive(Debug, Args)]
pub(crate) struct DemoPartArgs {
    /// Which part.
    part: Part,
    /// Its options as JSON.
    options: String,
}

pub(crate) async fn run(args: DemoPartArgs, out: &Output) -> Result<Exit, Failure> {
    let text = &args.options;
    let done = match args.part {
        Part::OrderService => order_service::run(options(text)?).await,
        Part::Reconcile => reconcile(options(text)?, out).await,
        Part::Scheduler => scheduler::run(options(text)?).await,
        Part::Dns => dns::run(options(text)?).await,
        Part::Load => load::run(options(text)?).await,
    };
    done.map(|()| Exit::Done)
        .map_err(|error: PartError| Failure::new(error.code(), error))
}

/// What it is allowed to find stands in the environment, as for every program that compares the stores of a group.
async fn reconcile(options: ReconcileOptions, out: &Output) -> Result<(), PartError> {
    let skew = std::env::var("MAINSTAY_SKEW").unwrap_or_default().parse()?;
    let found = order_service::reconcile(options, skew).await?;
    out.line(json!(found).to_string());
    Ok(())
}

fn options<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(
            "MS0006",
            format!("the part's options are not right: {error}"),
        )
    })
}
