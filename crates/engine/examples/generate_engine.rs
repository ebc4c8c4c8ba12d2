//! Writes the pages that this crate generates: `generate_engine FOLDER`.
#![expect(
    clippy::disallowed_methods,
    reason = "a tool beside the pure crate, not part of it"
)]

use std::{error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("usage: generate_engine FOLDER")?;
    let docs = PathBuf::from(folder).join("docs");
    fs::create_dir_all(&docs)?;
    fs::write(
        docs.join("state-machines.md"),
        mainstay_engine::state_machines(),
    )?;
    Ok(())
}
