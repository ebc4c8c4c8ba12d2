//! Writes the generated files that need every kind: the schema of the plan file. `cargo xtask generate` runs it.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("name the folder to write to")?;
    let kinds = mainstay_control::agent::with_builtin(mainstay_drivers::kinds());
    let mut schema = serde_json::to_string_pretty(&mainstay_model::schema(&kinds))?;
    schema.push('\n');
    let file = folder.join("schemas/plan-file.schema.json");
    fs::create_dir_all(folder.join("schemas"))?;
    fs::write(file, schema)?;
    Ok(())
}
