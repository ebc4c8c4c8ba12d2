//! Single values: fields, types, words, units, secrets, kinds. Each problem has its code, its place and its help.

use crate::common::{EXAMPLE, check, found};

/// A small file that parses, with more text at its end.
fn with(more: &str) -> String {
    format!("{SMALL}{more}")
}

const SMALL: &str = "\
mainstay: 1
system: small
sites: { a: { domain: x }, b: { domain: y } }
";

#[track_caller]
fn tells(text: &str, wanted: &[&str]) {
    assert_eq!(found(text).lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn fields() {
    tells(
        &with(
            "stroes: {}\nroutes:\n  r: { kind: dns, to: { a: [x] }, nmae: y, name: z, serves: [] }\n",
        ),
        &[
            "mainstay.yaml:4:1: error[MS1101]: unknown field `stroes`",
            "mainstay.yaml:6:35: error[MS1101]: unknown field `nmae`",
        ],
    );
}

#[test]
fn everything_is_told_at_once() {
    let text = EXAMPLE
        .replace("rpo: 5m", "rpo: 5")
        .replace("copy:   { by: streaming }", "copie: {}")
        .replace("standby: warm", "standby: tepid");
    insta::assert_snapshot!(
        check(&text)
            .unwrap_err()
            .render(mainstay_model::Style::Plain)
    );
}
