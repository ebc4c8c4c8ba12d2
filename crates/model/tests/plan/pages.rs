//! Every code has a page; its first example is found out by that code and its second is not.

use std::fmt::Write as _;

use mainstay_model::codes;

use crate::common::found;

/// Codes whose cause does not fit on a page; `hostile` has their tests.
const TOO_BIG: [&str; 3] = ["MS1001", "MS1002", "MS1004"];

/// A file of the repository.
#[expect(clippy::disallowed_methods, reason = "a test reads the documentation")]
pub(crate) fn read(file: &str) -> String {
    let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap_or_default()
}

fn page(code: &str) -> String {
    read(&format!("docs/errors/{code}.md"))
}

/// A piece of a plan file with the sections around it that every file has.
pub(crate) fn whole(piece: &str) -> String {
    let mut text = String::new();
    for (section, value) in [
        ("mainstay:", "1"),
        ("system:", "orders"),
        (
            "sites:",
            "{ prod: { domain: north }, dr: { domain: west }, witness: { domain: east, role: witness } }",
        ),
    ] {
        if !piece.lines().any(|line| line.starts_with(section)) {
            let _ = writeln!(text, "{section} {value}");
        }
    }
    text + piece
}

/// The pieces of YAML on a page.
pub(crate) fn blocks(page: &str) -> Vec<&str> {
    let starts = page.split("```yaml\n").skip(1);
    starts.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn codes_are_in_order_and_have_pages() {
    for pair in codes().windows(2) {
        assert!(pair[0].0 < pair[1].0, "{pair:?}");
    }
    for (code, title) in codes() {
        let page = page(code);
        assert!(page.starts_with(&format!("# {code}: {title}\n")), "{code}");
        for part in ["\n## Why it matters\n", "\n## What to do\n"] {
            assert!(page.contains(part), "{code} has no {part}");
        }
    }
}

#[test]
fn examples_are_found_out_and_mends_mend() {
    let mut wrong = String::new();
    for (code, _) in codes().iter().filter(|(code, _)| !TOO_BIG.contains(code)) {
        let page = page(code);
        let [bad, good] = blocks(&page)[..] else {
            panic!("{code} has no two examples");
        };
        let told = found(&whole(bad));
        if !told.contains(&format!("[{code}]")) {
            let _ = writeln!(wrong, "{code}'s example: {told}");
        }
        let told = found(&whole(good));
        if told.contains("error[") || told.contains(code) {
            let _ = writeln!(wrong, "{code}'s mend: {told}");
        }
    }
    assert_eq!(wrong, "");
}
