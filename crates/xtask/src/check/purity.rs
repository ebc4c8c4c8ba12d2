//! The pure crates' `clippy.toml`: clippy reads the nearest file only, so each must repeat the root's
//! settings, and all four must forbid the same things. What they forbid is enforced by `lints`.

use std::path::Path;

use toml_edit::DocumentMut;

use super::direction::PURE;
use super::house::{House, read_text};
use super::report::Report;
use crate::error::Error;

/// Compares the four files with each other and with the root's.
pub(crate) fn check(house: &House) -> Result<Report, Error> {
    let root = read_text(&house.root.join("clippy.toml"))?;
    let mut texts = Vec::new();
    for name in PURE {
        let path = house.root.join("crates").join(name).join("clippy.toml");
        texts.push((name, std::fs::read_to_string(path).unwrap_or_default()));
    }
    let mut report = Report::default();
    look(&root, &texts, &mut report)?;
    Ok(report)
}

fn look(root: &str, texts: &[(&str, String)], report: &mut Report) -> Result<(), Error> {
    let root = parse(Path::new("clippy.toml"), root)?;
    for (name, text) in texts {
        let place = format!("crates/{name}/clippy.toml");
        let own = parse(Path::new(&place), text)?;
        for (key, value) in root.iter() {
            let repeated = own.get(key).map(|item| item.to_string().trim().to_owned());
            if repeated.as_deref() != Some(value.to_string().trim()) {
                report.find(format!(
                    "{place}: `{key}` differs from the root's clippy.toml"
                ));
            }
        }
        for key in ["disallowed-types", "disallowed-methods"] {
            if own
                .get(key)
                .and_then(|item| item.as_array())
                .is_none_or(toml_edit::Array::is_empty)
            {
                report.find(format!(
                    "{place}: `{key}` is empty: nothing keeps the crate pure"
                ));
            }
        }
        if texts.first().is_some_and(|(_, first)| first != text) {
            report.find(format!(
                "{place}: differs from crates/{}/clippy.toml",
                texts[0].0
            ));
        }
    }
    Ok(())
}

fn parse(path: &Path, text: &str) -> Result<DocumentMut, Error> {
    text.parse()
        .map_err(|error: toml_edit::TomlError| Error::Malformed {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::process::Command;

    use super::*;

    const ROOT: &str = "allow-unwrap-in-tests = true\n";
    const GOOD: &str = "allow-unwrap-in-tests = true\n\
        disallowed-types = [{ path = \"a::B\" }]\ndisallowed-methods = [\"a::b\"]\n";

    fn findings(texts: &[(&str, String)]) -> Vec<String> {
        let mut report = Report::default();
        look(ROOT, texts, &mut report).unwrap();
        report.findings
    }

    #[test]
    fn equal_files_that_repeat_the_root_pass() {
        assert_eq!(
            findings(&[("model", GOOD.into()), ("proof", GOOD.into())]),
            [""; 0]
        );
    }

    #[test]
    fn a_setting_left_out_a_missing_file_and_a_difference_are_found() {
        let forgot = GOOD.replace("allow-unwrap-in-tests = true\n", "");
        assert!(findings(&[("model", forgot)])[0].contains("`allow-unwrap-in-tests` differs"));
        let missing = findings(&[("model", GOOD.into()), ("proof", String::new())]);
        assert_eq!(missing.len(), 4, "{missing:?}");
    }

    /// Plants one use of each forbidden thing and lets the real clippy look at it.
    #[test]
    fn clippy_obeys_the_files() {
        let planted = [
            "let _ = std::collections::HashMap::<u8, u8>::new();",
            "let _ = std::collections::HashSet::<u8>::new();",
            "let _ = std::time::Instant::now();",
            "let _ = std::time::SystemTime::now();",
            "let _ = std::fs::read(\"a\");",
            "let _ = std::fs::File::open(\"a\");",
            "let _ = std::env::var(\"A\");",
            "std::thread::sleep(std::time::Duration::ZERO);",
            "let _ = std::thread::spawn(|| ());",
            "let _ = std::process::Command::new(\"a\");",
            "std::process::exit(1);",
            "let _ = std::net::TcpListener::bind(\"127.0.0.1:0\");",
        ];
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("planted.rs");
        let mut body = String::new();
        for (at, line) in planted.iter().enumerate() {
            writeln!(body, "pub fn f{at}() {{\n{line}\n}}").unwrap();
        }
        std::fs::write(&file, body).unwrap();
        for name in PURE {
            let output = Command::new("clippy-driver")
                .env("CLIPPY_CONF_DIR", crate::root().join("crates").join(name))
                .env_remove("CARGO_PRIMARY_PACKAGE")
                .args([
                    "--edition",
                    "2024",
                    "--crate-type",
                    "lib",
                    "--emit",
                    "metadata",
                    "-o",
                ])
                .arg(folder.path().join("planted.rmeta"))
                .args([
                    "-W",
                    "clippy::disallowed_methods",
                    "-W",
                    "clippy::disallowed_types",
                ])
                .arg(&file)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            for (at, planted) in planted.iter().enumerate() {
                // Every function is three lines, the planted one in the middle.
                let line = format!("planted.rs:{}:", at * 3 + 2);
                assert!(
                    said.contains(&line),
                    "{name}: {planted} went unseen\n{said}"
                );
            }
        }
    }
}
