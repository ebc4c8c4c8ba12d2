//! What an unquoted scalar means, by YAML 1.2's core schema (chapter 10.3.2 of its specification).
//! Must not know where the scalar stands.

use serde_json::Number;

use super::node::NodeValue;

/// `yes`, `no`, `on` and `off` are text; `0x` and `0o` are numbers.
pub(super) fn plain(text: &str) -> NodeValue {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "true" | "True" | "TRUE" => NodeValue::Bool(true),
        "false" | "False" | "FALSE" => NodeValue::Bool(false),
        _ => number(text).map_or_else(|| NodeValue::Text(text.to_owned()), NodeValue::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return unsigned(digits, 8);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let whole: i128 = text.strip_prefix('+').unwrap_or(text).parse().ok()?;
        return Number::from_i128(whole);
    }
    if is_float(digits) {
        return Number::from_f64(text.parse().ok()?);
    }
    None
}

fn unsigned(digits: &str, radix: u32) -> Option<Number> {
    let plain = !digits.starts_with('+');
    let value = u64::from_str_radix(digits, radix).ok();
    value.filter(|_| plain).map(Number::from)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_other_yaml_versions_take_for_truth_are_text() {
        for text in [
            "yes", "no", "on", "off", "5m", "1.2.3", "-", ".", "e5", "0x", "0x+1", "1e", "_1",
            ".inf", ".nan",
        ] {
            assert_eq!(plain(text), NodeValue::Text(text.to_owned()), "{text}");
        }
        assert_eq!(plain("True"), NodeValue::Bool(true));
        assert_eq!(plain("~"), NodeValue::Null);
    }

    #[test]
    fn numbers_are_numbers() {
        for (text, number) in [
            ("7", 7),
            ("-7", -7),
            ("+7", 7),
            ("0x10", 16),
            ("0o17", 15),
            ("010", 10),
        ] {
            assert_eq!(plain(text), NodeValue::Number(number.into()), "{text}");
        }
        assert_eq!(
            plain("1.5e3"),
            NodeValue::Number(Number::from_f64(1500.0).unwrap())
        );
        // Too large for any field: it stays text, and the schema refuses it.
        let huge = "9".repeat(50);
        assert_eq!(plain(&huge), NodeValue::Text(huge.clone()));
    }
}
