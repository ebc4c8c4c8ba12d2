//! Bytes that mean no good: each is refused with a code, quickly, and nothing panics.

use std::fmt::Write as _;

use mainstay_model::{Diagnostics, MAX_BYTES, Style};

use crate::common::bytes;

fn refused(input: &[u8]) -> Diagnostics {
    let problems = bytes(input).err().unwrap_or_else(|| panic!("not refused"));
    let text = problems.render(Style::Plain);
    assert!(text.len() < 100_000, "a report of {} bytes", text.len());
    for one in problems.list() {
        assert!(one.place.end <= problems.source().len());
    }
    problems
}

#[track_caller]
fn code(input: impl AsRef<[u8]>, wanted: &str) -> String {
    let problems = refused(input.as_ref());
    let told = problems.to_string();
    let input = String::from_utf8_lossy(&input.as_ref()[..input.as_ref().len().min(60)]);
    assert_eq!(problems.list()[0].code, wanted, "{input}: {told:.400}");
    told
}

#[test]
fn large_files_are_not_looked_at() {
    code(vec![b' '; MAX_BYTES + 1], "MS1001");
    code(vec![b'['; 100 * MAX_BYTES], "MS1001");
}

#[test]
fn bytes_that_are_not_text() {
    assert!(code(b"mainstay: 1\nx: \xff\xfe", "MS1002").contains("line 2"));
    assert!(code(b"mainstay: 1\n\0", "MS1002").contains("U+0000"));
    code("x: \u{1b}[2J", "MS1002");
    code(b"\x7fELF\x02\x01\x01\0\0\0", "MS1002");
    code("a: \u{9b}1m", "MS1002");
}

#[test]
fn what_is_not_yaml() {
    for text in [
        "a: [",
        "a: 'x",
        "a: b: c",
        "a: {b: c",
        "%YAML 1.1\n---\na: 1",
        "}",
        "a\nb: 1",
    ] {
        code(text, "MS1003");
    }
}

#[test]
fn deep_nesting() {
    let deep = 100_000;
    code("[".repeat(deep), "MS1004");
    code("{a: ".repeat(deep), "MS1004");
    code("- ".repeat(deep), "MS1004");
    code("? ".repeat(deep), "MS1007");
    let mut steps = String::new();
    for level in 0..1000 {
        let _ = writeln!(steps, "{}a:", " ".repeat(level));
    }
    code(steps, "MS1004");
}

#[test]
fn many_values() {
    code(format!("a: [{}]", "1,".repeat(400_000)), "MS1004");
    code(format!("a: [{}]", "{},".repeat(250_000)), "MS1004");
    code(format!("a: {}", "x".repeat(100_000)), "MS1004");
    code(format!("'{}': 1", "x".repeat(300)), "MS1004");
    code("[]\n".repeat(1000), "MS1003");
}

#[test]
fn bombs_and_other_tricks() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = level - 1;
        let _ = writeln!(
            bomb,
            "a{level}: &a{level} [{}]",
            vec![format!("*a{before}"); 9].join(", ")
        );
    }
    code(bomb, "MS1005");
    code("a: *b", "MS1005");
    code("a: &a {b: *a}", "MS1005");
    code("a: !!python/object/apply:os.system [x]", "MS1005");
    code("a: !x y", "MS1005");
    code("a: 1\n---\nb: 2", "MS1005");
    code("a: {<<: {b: 1}}", "MS1005");
    code("? [a, b]\n: 1", "MS1007");
    code("{[a]: 1}", "MS1007");
}

#[test]
fn keys_that_are_written_twice() {
    let told = code("system: a\nmainstay: 1\nsystem: b\nsites: {}", "MS1006");
    assert!(
        told.contains("3:1") && told.contains("first on line 1"),
        "{told}"
    );
    let many = "a: 1\n".repeat(100_000);
    assert!(refused(many.as_bytes()).left_out() > 0);
}

#[test]
fn nothing_at_all() {
    for text in [
        "",
        "\n\n",
        "# only a comment\n",
        "---\n",
        "\u{feff}",
        "null",
        "[]",
        "5",
        "text",
    ] {
        code(text, "MS1103");
    }
    code("{}", "MS1102");
}

#[test]
fn many_components_take_no_quadratic_time() {
    let mut text = String::from(
        "mainstay: 1\nsystem: x\nsites: {a: {domain: a}, b: {domain: b}}\nworkloads:\n",
    );
    for number in 0..20_000 {
        let _ = writeln!(text, " w{number}: {{kind: no, at: {{c: 1}}}}");
    }
    assert!(refused(text.as_bytes()).left_out() > 1000);
}
