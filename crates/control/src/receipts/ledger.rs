//! The chain on disk: one line a receipt, durable before anyone is told, its head kept apart in the state.
//! Must not know what a receipt is for.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_proof::{Claim, Head, PublicKey, Receipt, SignedReceipt, Signer, issue};
use rustix::fs::FlockOperation;

use super::LedgerError;
use crate::state::State;

/// A receipt is about a kilobyte; the last one is looked for in so many bytes at the end of the chain.
const TAIL: u64 = 64 * 1024;

/// The receipts of one system. Several processes may issue at a time: the chain is locked meanwhile.
#[derive(Debug)]
pub struct Ledger {
    chain: PathBuf,
    signer: Signer,
    state: Arc<State>,
}

impl Ledger {
    /// Opens the ledger in this folder, and makes its key if it has none yet.
    pub fn open(folder: &Path, state: Arc<State>) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(folder).map_err(|source| LedgerError::Io {
            path: folder.to_path_buf(),
            source,
        })?;
        let signer = key(&folder.join("key"))?;
        let public = folder.join("key.pub");
        let text = format!("{}\n", signer.public());
        if std::fs::read_to_string(&public).ok().as_ref() != Some(&text) {
            std::fs::write(&public, text).map_err(|source| LedgerError::Io {
                path: public,
                source,
            })?;
        }
        Ok(Self {
            chain: folder.join("chain.jsonl"),
            signer,
            state,
        })
    }

    /// The chain's file. A copy of it and of the public key is all that a verifier needs.
    #[must_use]
    pub fn chain(&self) -> &Path {
        &self.chain
    }

    /// The key that receipts are verified with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.signer.public()
    }

    /// Issues the next receipt. It is durable when this returns.
    pub async fn issue(&self, claim: Claim) -> Result<SignedReceipt, LedgerError> {
        let mut file = self.lock().await?;
        let issued = self.state.receipts_head()?;
        let mut head = self.head(&mut file)?;
        if head.seq < issued.seq {
            return Err(LedgerError::Cut {
                path: self.chain.clone(),
                found: head.seq,
                issued: issued.seq,
            });
        }
        let first = head.seq == 0;
        let receipt = issue(&self.signer, &mut head, claim)?;
        let mut line = serde_json::to_vec(&receipt)?;
        line.push(b'\n');
        file.write_all(&line)
            .and_then(|()| file.sync_data())
            .map_err(|source| self.io(source))?;
        if let Some(folder) = self.chain.parent().filter(|_| first) {
            // The file itself must survive a loss of power, too.
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|source| self.io(source))?;
        }
        // Dying here is harmless: the chain has one receipt more than the state knows, and it is whole.
        self.state.set_receipts_head(head).await?;
        Ok(receipt)
    }

    /// Every receipt, oldest first, unverified.
    pub fn list(&self) -> Result<Vec<Receipt>, LedgerError> {
        let text = match std::fs::read_to_string(&self.chain) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.io(source)),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let signed: SignedReceipt = serde_json::from_str(line)?;
                Receipt::read(&signed.receipt)
            })
            .collect::<Result<_, serde_json::Error>>()
            .map_err(|error| self.damaged(&error))
    }

    /// The chain, locked for as long as the file lives.
    async fn lock(&self) -> Result<File, LedgerError> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(&self.chain)
            .map_err(|source| self.io(source))?;
        let lock = move || {
            rustix::fs::flock(&file, FlockOperation::LockExclusive)
                .map(|()| file)
                .map_err(std::io::Error::from)
        };
        let locked = tokio::task::spawn_blocking(lock).await;
        locked
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|source| self.io(source))
    }

    /// Where the chain ends. A line that was being written when its process died is cut off: nobody was told of it.
    fn head(&self, file: &mut File) -> Result<Head, LedgerError> {
        let mut tail = || -> std::io::Result<Vec<u8>> {
            let length = file.seek(SeekFrom::End(0))?;
            let start = length.saturating_sub(TAIL);
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n');
            if whole.is_none() && start > 0 {
                // No receipt is that long: this is something else, and nothing of it is cut off.
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            let keep = whole.map_or(0, |end| end + 1);
            if keep < bytes.len() {
                file.set_len(start + keep as u64)?;
                bytes.truncate(keep);
            }
            Ok(bytes)
        };
        let bytes = tail().map_err(|source| self.io(source))?;
        let mut lines = bytes.trim_ascii_end().rsplit(|byte| *byte == b'\n');
        let Some(last) = lines.next().filter(|last| !last.is_empty()) else {
            return Ok(Head::default());
        };
        let read = || -> Result<Head, serde_json::Error> {
            let signed: SignedReceipt = serde_json::from_slice(last)?;
            let receipt = Receipt::read(&signed.receipt)?;
            Ok(Head {
                seq: receipt.seq,
                hash: signed.hash,
            })
        };
        read().map_err(|error| self.damaged(&error))
    }

    fn io(&self, source: std::io::Error) -> LedgerError {
        LedgerError::Io {
            path: self.chain.clone(),
            source,
        }
    }

    fn damaged(&self, error: &serde_json::Error) -> LedgerError {
        LedgerError::Damaged {
            path: self.chain.clone(),
            why: error.to_string(),
        }
    }
}

/// The signing key at this path; made if it is not there, readable by its owner only.
fn key(path: &Path) -> Result<Signer, LedgerError> {
    let io = |source| LedgerError::Io {
        path: path.to_path_buf(),
        source,
    };
    match std::fs::read_to_string(path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| LedgerError::Key(path.to_path_buf())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|error| io(std::io::Error::other(error)))?;
            let signer = Signer::from_secret(&secret);
            let made = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path);
            match made {
                Ok(mut file) => {
                    let text = format!("{}\n", signer.secret_text());
                    file.write_all(text.as_bytes())
                        .and_then(|()| file.sync_all())
                        .map_err(io)?;
                    Ok(signer)
                }
                // Another process was first.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => key(path),
                Err(source) => Err(io(source)),
            }
        }
        Err(source) => Err(io(source)),
    }
}
