//! Bytes to text: size, encoding and characters are checked before anything looks at the meaning.
//! Must not know YAML's structure.

use super::limits::MAX_BYTES;
use crate::{
    Place,
    diagnostic::{Diagnostics, code},
};

/// The text of a plan file, without a byte order mark, or what is wrong with the bytes.
pub(crate) fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Diagnostics> {
    let refuse = |code, text: &str, at: usize, message: String, help: &str| {
        let mut out = Diagnostics::new(file, text);
        out.error(code, Place::of(text, at, at), message, help.to_owned());
        Err(out)
    };
    if bytes.len() > MAX_BYTES {
        return refuse(
            code::TOO_LARGE,
            "",
            0,
            format!("the file is larger than {MAX_BYTES} bytes"),
            "a plan file is written by people; if another program wrote this one, is it the right file?",
        );
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let at = error.valid_up_to();
            let line = bytes[..at].split(|byte| *byte == b'\n').count();
            return refuse(
                code::NOT_TEXT,
                "",
                0,
                format!("byte {at}, on line {line}, is not UTF-8 text"),
                "save the file as UTF-8",
            );
        }
    };
    let odd = |c: &char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match text.char_indices().find(|(_, c)| odd(c)) {
        Some((at, c)) => {
            let place = Place::of(text, at, at);
            refuse(
                code::NOT_TEXT,
                "",
                0,
                format!(
                    "line {}, column {} holds the control character U+{:04X}",
                    place.line,
                    place.column,
                    u32::from(c)
                ),
                "is it a text file? in quoted text, write the character as an escape such as \"\\u001b\"",
            )
        }
        None => Ok(text),
    }
}
