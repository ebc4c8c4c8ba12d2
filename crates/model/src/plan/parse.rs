//! From the bytes of a plan file to a checked plan, or to everything that is wrong with them.
//! Must not know a file system or a clock; the caller read the bytes and says what time it is.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{build, checks, document::Document, draft::Draft, file::PlanFile, secrets};
use crate::{Diagnostics, Kinds, Node, Timestamp, diagnostic::code, yaml};

/// Where the bytes come from, and when they are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The file's name as it is shown in reports.
    pub file: &'a str,
    /// The absolute path of its folder: paths in the file are relative to it.
    pub folder: &'a str,
    /// Now: an acceptance that has expired is reported.
    pub now: Timestamp,
}

/// A plan file that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The plan.
    pub plan: PlanFile,
    /// What someone should know; no errors.
    pub warnings: Diagnostics,
}

/// Reads and checks a plan file. Refuses more than [`crate::MAX_BYTES`] bytes: hand over one more than that when there are more.
pub fn parse(bytes: &[u8], origin: &Origin<'_>, kinds: &Kinds) -> Result<Parsed, Diagnostics> {
    let text = yaml::decode(origin.file, bytes)?;
    let mut out = Diagnostics::new(origin.file, text);
    let Some(root) = yaml::read(text, &mut out) else {
        secrets::mask_lines(text, &mut out);
        return Err(out);
    };
    let plan = check(&root, bytes, origin, kinds, &mut out);
    out.sort();
    match plan {
        Some(plan) if !out.has_errors() => Ok(Parsed {
            plan,
            warnings: out,
        }),
        _ => Err(out),
    }
}

fn check(
    root: &Node,
    bytes: &[u8],
    origin: &Origin<'_>,
    kinds: &Kinds,
    out: &mut Diagnostics,
) -> Option<PlanFile> {
    let secrets = secrets::find(root, out);
    if let Some(entry) = root.entry("mainstay")
        && entry.value.to_json() != 1
    {
        let help = "this Mainstay reads version 1: write `mainstay: 1`";
        let message = "the plan file has a version that is not known";
        out.error(code::VERSION, entry.value.place, message, help.to_owned());
        return None;
    }
    let document = Document::new(kinds);
    let draft = Draft::read(root, &document.schema, kinds, &secrets, out);
    checks::whole(&draft, origin.now, out);
    if out.has_errors() {
        // The kinds are asked too, about components that can be read.
        for declared in build::declared(&draft, origin.folder, &document) {
            checks::kind(&declared, kinds, root, &secrets.starts, out);
        }
        return None;
    }
    let hash = hex::encode(Sha256::digest(bytes));
    let plan = build::plan(&draft, origin.folder, &document, hash)?;
    for declared in plan.all_declared() {
        checks::kind(declared, kinds, root, &BTreeSet::new(), out);
    }
    checks::promises(&plan, kinds, &draft, out);
    Some(plan)
}
