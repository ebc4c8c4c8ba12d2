//! Files in the repository that a program writes: they must be what that program writes today.
//!
//! A crate that generates files has an example `generate_CRATE`: `generate_CRATE FOLDER` writes them under FOLDER
//! with the paths that they have in the repository, such as `schemas/plan-file.json`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::house::House;
use super::report::Report;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::{process, say};

/// The example that a crate with generated files has. Cargo builds the examples of all crates into one folder, so each
/// has a name of its own.
fn example_of(package: &str) -> String {
    let short = package.strip_prefix("mainstay-").unwrap_or(package);
    format!("generate_{}", short.replace('-', "_"))
}

/// Runs every generator into a temporary folder and compares.
pub(crate) fn check(house: &House) -> Result<Report, Error> {
    let folder = temporary()?;
    let mut report = Report::default();
    for package in generators(&house.metadata) {
        if let Err(reason) = run(&house.root, &package, folder.path())? {
            report.find(reason);
        }
    }
    let files = files_under(folder.path())?;
    for file in &files {
        compare(&house.root, folder.path(), file, &mut report)?;
    }
    if files.is_empty() && report.findings.is_empty() {
        report.note("no crate generates files yet");
    }
    Ok(report)
}

/// `cargo xtask generate`: writes them into the repository.
pub(crate) fn generate(root: &Path) -> Result<ExitCode, Error> {
    for package in generators(&Metadata::read(root)?) {
        if let Err(reason) = run(root, &package, root)? {
            say::complaint(&reason);
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn generators(metadata: &Metadata) -> Vec<String> {
    let names = metadata.members().map(|member| member.name.clone());
    names
        .filter(|name| metadata.builds(name, "example", &example_of(name)))
        .collect()
}

fn run(root: &Path, package: &str, into: &Path) -> Result<Result<(), String>, Error> {
    let mut command = process::cargo(root);
    command
        .args([
            "run",
            "--quiet",
            "--locked",
            "-p",
            package,
            "--example",
            &example_of(package),
            "--",
        ])
        .arg(into);
    let output = process::capture(&mut command)?;
    Ok(if output.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{package}'s generator failed:\n{}",
            process::last_words(&output, 20)
        ))
    })
}

fn compare(root: &Path, fresh: &Path, file: &Path, report: &mut Report) -> Result<(), Error> {
    let new = read(&fresh.join(file))?;
    let place = file.display();
    match std::fs::read(root.join(file)) {
        Err(_) => report.find(format!("{place} is missing: cargo xtask generate")),
        Ok(old) if old != new => {
            let (old, new) = (String::from_utf8_lossy(&old), String::from_utf8_lossy(&new));
            let same = old
                .lines()
                .zip(new.lines())
                .take_while(|(a, b)| a == b)
                .count();
            report.find(format!(
                "{place}:{}: is out of date: cargo xtask generate",
                same + 1
            ));
        }
        Ok(_) => {}
    }
    Ok(())
}

fn files_under(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut queue = vec![folder.to_path_buf()];
    while let Some(at) = queue.pop() {
        let read = |source| Error::Read {
            path: at.clone(),
            source,
        };
        for entry in std::fs::read_dir(&at).map_err(read)? {
            let path = entry.map_err(read)?.path();
            if path.is_dir() {
                queue.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.push(relative.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })
}

fn temporary() -> Result<tempfile::TempDir, Error> {
    tempfile::tempdir().map_err(|source| Error::Write {
        path: std::env::temp_dir(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_and_a_missing_file_are_found() {
        let (root, fresh) = (temporary().unwrap(), temporary().unwrap());
        let write = |folder: &Path, name: &str, text: &str| {
            std::fs::create_dir_all(folder.join("schemas")).unwrap();
            std::fs::write(folder.join("schemas").join(name), text).unwrap();
        };
        write(fresh.path(), "a.json", "one\ntwo\n");
        write(fresh.path(), "b.json", "new\n");
        write(fresh.path(), "c.json", "same\n");
        write(root.path(), "a.json", "one\nold\n");
        write(root.path(), "c.json", "same\n");
        let mut report = Report::default();
        for file in files_under(fresh.path()).unwrap() {
            compare(root.path(), fresh.path(), &file, &mut report).unwrap();
        }
        assert_eq!(
            report.findings,
            [
                "schemas/a.json:2: is out of date: cargo xtask generate",
                "schemas/b.json is missing: cargo xtask generate",
            ]
        );
    }
}
