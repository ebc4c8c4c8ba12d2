//! `mainstay receipts`: lists what was proven, and verifies it, also offline on a copy and a public key alone.

use std::{fs::File, path::PathBuf};

use clap::{Args, Subcommand};
use mainstay_control::receipts::{self, Ledger};
use mainstay_model::Timestamp;
use mainstay_proof::{Head, PublicKey, Receipt};
use serde::Serialize;

use crate::{
    args::{Format, Global},
    error::{Exit, Failure},
    output::{Output, Tone},
    session::Session,
    show::counted,
};

/// Options of `mainstay receipts`.
#[derive(Debug, Args)]
pub(crate) struct ReceiptsArgs {
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(subcommand)]
    what: What,
}

/// What is done with the receipts.
#[derive(Debug, Subcommand)]
enum What {
    /// List them, the newest last.
    List(ListArgs),
    /// Verify every one: signatures, the chain of hashes, ranges without a gap.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only those of this store.
    #[arg(value_name = "STORE")]
    store: Option<String>,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// A copy of the chain, instead of the system's own. Needs `--key`, and no plan file.
    #[arg(long, value_name = "FILE", requires = "key")]
    chain: Option<PathBuf>,
    /// The public key: 64 hexadecimal digits, or a file that holds them.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How many receipts there must be at least: shows whether the end of a copy was cut off.
    #[arg(long, value_name = "NUMBER")]
    at_least: Option<u64>,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    ok: bool,
    receipts: usize,
    head: Head,
    key: String,
    newest: Option<Receipt>,
}

pub(crate) fn run(args: &ReceiptsArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    match &args.what {
        What::List(list) => self::list(list, global, out),
        What::Verify(verify) => self::verify(verify, global, out),
    }
}

fn ledger(session: &Session) -> Result<Ledger, Failure> {
    let ledger = session.desk.receipts();
    ledger.map_err(|error| Failure::new(error.code(), error))
}

fn list(args: &ListArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let session = Session::open(global, out)?;
    let store = args.store.as_deref();
    let store = store
        .map(|name| session.context().component(name))
        .transpose()?;
    let all = ledger(&session)?.list();
    let all = all.map_err(|error| Failure::new(error.code(), error))?;
    let wanted = |receipt: &Receipt| {
        store
            .as_ref()
            .is_none_or(|name| receipt.store == name.as_str())
    };
    let receipts: Vec<Receipt> = all.into_iter().filter(wanted).collect();
    if receipts.is_empty() {
        out.line("no receipts yet");
    }
    for receipt in &receipts {
        out.line(line(receipt));
    }
    out.value(&receipts);
    Ok(Exit::Done)
}

fn line(receipt: &Receipt) -> String {
    let point = receipt.point.as_deref().map_or_else(String::new, |point| {
        format!(" {}", point.get(..8).unwrap_or(point))
    });
    format!(
        "{:>6}  {}  {:<9}  {}{point} at {}, up to {}, {} bytes",
        receipt.seq,
        Timestamp(receipt.at),
        receipt.level,
        receipt.store,
        receipt.destination,
        receipt.range.to,
        receipt.bytes
    )
}

fn verify(args: &VerifyArgs, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let given = args.key.as_deref().map(key).transpose()?;
    let (chain, key, head) = match (&args.chain, given) {
        (Some(chain), Some(key)) => (chain.clone(), key, None),
        (_, given) => {
            let session = Session::open(global, out)?;
            let ledger = ledger(&session)?;
            let head = session.desk.state.receipts_head();
            let head = head.map_err(|error| Failure::new(error.code(), error))?;
            let key = given.unwrap_or_else(|| ledger.public());
            (ledger.chain().to_path_buf(), key, Some(head))
        }
    };
    let named = |error: &receipts::Wrong| Failure::new(error.code(), error);
    let file = match File::open(&chain) {
        Ok(file) => file,
        // Nothing was issued yet, and nothing is missing.
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && head == Some(Head::default()) =>
        {
            out.line("no receipts yet");
            out.value(&Report {
                version: 1,
                ok: true,
                receipts: 0,
                head: Head::default(),
                key: key.to_string(),
                newest: None,
            });
            return Ok(Exit::Done);
        }
        Err(error) => {
            return Err(named(&error.into()).because(chain.display()));
        }
    };
    let verified = receipts::verify(file, key.clone(), head).map_err(|error| {
        named(&error)
            .because(format!("the chain is {}", chain.display()))
            .because("no receipt from there on proves anything")
    })?;
    let (count, found) = (verified.receipts.len(), verified.head.seq);
    if let Some(expected) = args.at_least.filter(|least| found < *least) {
        return Err(named(&receipts::Wrong::Short { found, expected }));
    }
    let said = format!("{}: every one is good", counted(count, "receipt"));
    out.line(out.paint(Tone::Good, &said));
    out.line(format!("key  {key}"));
    out.line(format!("head {} {}", found, verified.head.hash));
    out.value(&Report {
        version: 1,
        ok: true,
        receipts: count,
        head: verified.head,
        key: key.to_string(),
        newest: verified.receipts.into_iter().next_back(),
    });
    Ok(Exit::Done)
}

/// A public key as it was given: its digits, or the file that holds them.
fn key(text: &str) -> Result<PublicKey, Failure> {
    let direct = text.parse::<PublicKey>();
    let read = || std::fs::read_to_string(text).ok()?.parse().ok();
    direct.ok().or_else(read).ok_or_else(|| {
        Failure::usage(
            "receipts-key-unusable",
            format!("{text} is neither a public key nor a file that holds one"),
        )
        .next("take `receipts/key.pub` from the folder of the state")
    })
}
