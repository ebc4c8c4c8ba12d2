//! Every error code has a page under `docs/errors/`, and every page a code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::code_uses::{Codes, is_product};
use super::house::{House, read_text};
use super::report::Report;
use crate::error::Error;

/// Where the pages are.
const PAGES: &str = "docs/errors";

/// Compares the codes with the pages.
pub(crate) fn check(house: &House) -> Result<Report, Error> {
    let mut codes = Codes::default();
    let product = house.sources.iter().filter(|one| is_product(&one.path));
    product.for_each(|source| codes.read(source));
    let mut report = Report::default();
    for place in &codes.unclear {
        report.find(format!(
            "{place}: write the code here, in quotes, so that its page can be looked for"
        ));
    }
    compare(
        &codes.first_use,
        &pages(&house.root.join(PAGES))?,
        &mut report,
    );
    Ok(report)
}

/// The pages by code, each with its first line.
fn pages(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let read = |source| Error::Read {
        path: folder.to_path_buf(),
        source,
    };
    let mut pages = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some(code) = name.strip_suffix(".md").filter(|code| *code != "README") {
            let text = read_text(&path)?;
            pages.insert(
                code.to_owned(),
                text.lines().next().unwrap_or_default().to_owned(),
            );
        }
    }
    Ok(pages)
}

fn compare(
    codes: &BTreeMap<String, String>,
    pages: &BTreeMap<String, String>,
    report: &mut Report,
) {
    let all: BTreeSet<&String> = codes.keys().chain(pages.keys()).collect();
    for code in all {
        match (codes.get(code), pages.get(code)) {
            (Some(place), None) => {
                report.find(format!(
                    "{place}: {code} has no page: write {PAGES}/{code}.md"
                ));
            }
            (None, Some(_)) => {
                report.find(format!("{PAGES}/{code}.md: no code is called that"));
            }
            (_, Some(first)) if !first.starts_with(&format!("# {code}: ")) => {
                report.find(format!(
                    "{PAGES}/{code}.md:1: opens with `# {code}: ` and a title"
                ));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_found() {
        let codes = texts(&[
            ("MS0001", "a.rs:1"),
            ("MS0002", "a.rs:2"),
            ("MS0003", "a.rs:3"),
        ]);
        let pages = texts(&[
            ("MS0001", "# MS0001: fine"),
            ("MS0003", "# other"),
            ("MS0004", "# MS0004: old"),
        ]);
        let mut report = Report::default();
        compare(&codes, &pages, &mut report);
        assert_eq!(
            report.findings,
            [
                "a.rs:2: MS0002 has no page: write docs/errors/MS0002.md",
                "docs/errors/MS0003.md:1: opens with `# MS0003: ` and a title",
                "docs/errors/MS0004.md: no code is called that",
            ]
        );
    }
}
