//! Single values: fields, types, words, units, secrets, kinds. Each problem has its code, its place and its help.

use crate::common::{EXAMPLE, check};

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
