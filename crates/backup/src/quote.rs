//! Text as restic's trees write it: names quoted as Go quotes strings, inside JSON as Go escapes it. A name is any
//! bytes; only by this rule does it come back as it was.
//! Source: restic's design document ("Trees and Data"), the Go language's specification of string literals.

/// Appends a JSON string of a name.
pub(crate) fn write_name(name: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if name.iter().all(|byte| is_plain(*byte)) {
        out.extend_from_slice(name);
    } else {
        let mut quoted = Vec::with_capacity(name.len() + 16);
        quote(name, &mut quoted);
        escape(&quoted, out);
    }
    out.push(b'"');
}

/// Appends a JSON string of text.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text.as_bytes(), out);
    out.push(b'"');
}

/// Needs no care of either sort.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

fn quote(name: &[u8], out: &mut Vec<u8>) {
    for part in name.utf8_chunks() {
        for char in part.valid().chars() {
            match char {
                '"' | '\\' => out.extend([b'\\', char as u8]),
                '\x07' => out.extend(b"\\a"),
                '\x08' => out.extend(b"\\b"),
                '\x0c' => out.extend(b"\\f"),
                '\n' => out.extend(b"\\n"),
                '\r' => out.extend(b"\\r"),
                '\t' => out.extend(b"\\t"),
                '\x0b' => out.extend(b"\\v"),
                '\0'..' ' | '\x7f' => out.extend(format!("\\x{:02x}", char as u32).bytes()),
                _ if is_shown(char) => {
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
                '\u{80}'..='\u{ffff}' => out.extend(format!("\\u{:04x}", char as u32).bytes()),
                _ => out.extend(format!("\\U{:08x}", char as u32).bytes()),
            }
        }
        for byte in part.invalid() {
            out.extend(format!("\\x{byte:02x}").bytes());
        }
    }
}

/// Whether Go shows a character as it is. Those that are not assigned yet are shown here and escaped there; both
/// read both.
fn is_shown(char: char) -> bool {
    !matches!(char,
        '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
        | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e00ff}'
        | '\u{f0000}'..)
}

/// As Go's JSON: also what HTML would read, and two separators.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for part in text.utf8_chunks() {
        for char in part.valid().chars() {
            match char {
                '"' | '\\' => out.extend([b'\\', char as u8]),
                '\n' => out.extend(b"\\n"),
                '\r' => out.extend(b"\\r"),
                '\t' => out.extend(b"\\t"),
                '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    out.extend(format!("\\u{:04x}", char as u32).bytes());
                }
                _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !part.invalid().is_empty() {
            out.extend(b"\\ufffd");
        }
    }
}

/// The name in a quoted one, or nothing if it is not well quoted.
pub(crate) fn unquote(quoted: &str) -> Option<Vec<u8>> {
    if !quoted.contains('\\') {
        return Some(quoted.as_bytes().to_vec());
    }
    let mut name = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.find('\\') {
        name.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let sort = rest.chars().next()?;
        rest = &rest[sort.len_utf8()..];
        let mut number = |digits: usize, radix: u32| {
            let (text, after) = rest.split_at_checked(digits)?;
            rest = after;
            let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain.then(|| u32::from_str_radix(text, radix).ok())?
        };
        match sort {
            '"' | '\\' => name.push(sort as u8),
            'a' => name.push(7),
            'b' => name.push(8),
            'f' => name.push(12),
            'n' => name.push(b'\n'),
            'r' => name.push(b'\r'),
            't' => name.push(b'\t'),
            'v' => name.push(11),
            'x' => name.push(u8::try_from(number(2, 16)?).ok()?),
            'u' | 'U' => {
                let code = number(if sort == 'u' { 4 } else { 8 }, 16)?;
                let char = char::from_u32(code)?;
                name.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            '0'..='7' => {
                let more = number(2, 8)?;
                let value = (sort as u32 - '0' as u32) * 64 + more;
                name.push(u8::try_from(value).ok()?);
            }
            _ => return None,
        }
    }
    name.extend_from_slice(rest.as_bytes());
    Some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(name: &[u8]) -> String {
        let mut out = Vec::new();
        write_name(name, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_written_as_go_writes_them() {
        for (name, text) in [
            (&b"plain.txt"[..], r#""plain.txt""#),
            ("größe".as_bytes(), r#""größe""#),
            (b"a\"b\\c", r#""a\\\"b\\\\c""#),
            (b"new\nline\x01\x7f", r#""new\\nline\\x01\\x7f""#),
            (b"\xff\xfe", r#""\\xff\\xfe""#),
            (b"<&>", r#""\u003c\u0026\u003e""#),
            (
                "\u{a0}\u{2028}\u{f0000}".as_bytes(),
                r#""\\u00a0\\u2028\\U000f0000""#,
            ),
        ] {
            assert_eq!(json(name), text);
        }
    }

    #[test]
    fn bad_quotes_are_no_names() {
        for bad in [
            r"\",
            r"\x4",
            r"\xzz",
            r"\u12",
            r"\ud800",
            r"\U00110000",
            r"\q",
            r"\x+1",
            r"\8",
        ] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
        assert_eq!(unquote(r"\101\377"), Some(vec![65, 255]));
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text: String = serde_json::from_str(&json(&name)).unwrap();
            prop_assert_eq!(unquote(&text), Some(name));
        }

        #[test]
        fn any_text_comes_back(text: String) {
            let mut out = Vec::new();
            write_text(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn unquoting_never_panics(text: String) {
            let _ = unquote(&text);
        }
    }
}
