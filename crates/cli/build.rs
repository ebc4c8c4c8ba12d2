//! Puts the pages under `docs/errors/` into the binary.

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?)
        .join("../../docs/errors")
        .canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.display());
    let mut pages: Vec<_> = fs::read_dir(&root)?.collect::<Result<Vec<_>, _>>()?;
    pages.sort_by_key(fs::DirEntry::file_name);
    let mut table =
        String::from("/// Code and page, sorted by code.\nstatic PAGES: &[(&str, &str)] = &[\n");
    for page in pages {
        let (path, name) = (page.path(), page.file_name());
        let Some(code) = name
            .to_string_lossy()
            .strip_suffix(".md")
            .map(str::to_owned)
        else {
            continue;
        };
        if code != "README" {
            writeln!(
                table,
                "    ({code:?}, include_str!({:?})),",
                path.display().to_string()
            )?;
        }
    }
    table.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("pages.rs"), table)?;
    Ok(())
}
