//! Whether an answer is the expected one, and if not, in which words.
//! Must not know how it was asked for.

use serde_json::Value;

use super::options::Expect;

/// Why an answer is not the expected one; nothing if it is.
pub(super) fn differs(expect: Option<&Expect>, status: u16, body: &[u8]) -> Option<String> {
    let good = match expect.and_then(|expect| expect.status) {
        Some(wanted) => status == wanted,
        None => (200..300).contains(&status),
    };
    if !good {
        return Some(format!("answered {status}{}", excerpt(body)));
    }
    let expect = expect?;
    if let Some(text) = &expect.text
        && !String::from_utf8_lossy(body).contains(text.as_str())
    {
        return Some(format!(
            "the answer does not contain {text:?}{}",
            excerpt(body)
        ));
    }
    let wanted = expect.json.as_ref()?;
    match serde_json::from_slice::<Value>(body) {
        Ok(seen) => missing(wanted, &seen, "$"),
        Err(_) => Some(format!("the answer is not JSON{}", excerpt(body))),
    }
}

/// Where the seen value lacks something of the wanted one.
fn missing(wanted: &Value, seen: &Value, at: &str) -> Option<String> {
    match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => wanted.iter().find_map(|(key, value)| {
            let at = format!("{at}.{key}");
            match seen.get(key) {
                Some(seen) => missing(value, seen, &at),
                None => Some(format!("{at} is absent, expected {value}")),
            }
        }),
        _ if wanted == seen => None,
        _ => Some(format!(
            "{at} is {}, expected {wanted}",
            short(&seen.to_string())
        )),
    }
}

/// The beginning of an answer, for a person.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        String::new()
    } else {
        format!(": {}", short(&line))
    }
}

fn short(text: &str) -> String {
    const LONGEST: usize = 200;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expect(value: Value) -> Expect {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_subset_of_the_body_is_enough() {
        let body = br#"{"paused":true,"jobs":{"running":0,"names":["a"]}}"#;
        for good in [
            json!({}),
            json!({ "json": { "paused": true } }),
            json!({ "json": { "jobs": { "running": 0 } }, "status": 200, "text": "names" }),
        ] {
            assert_eq!(differs(Some(&expect(good)), 200, body), None);
        }
        for (bad, why) in [
            (
                json!({ "json": { "paused": false } }),
                "$.paused is true, expected false",
            ),
            (
                json!({ "json": { "jobs": { "x": 1 } } }),
                "$.jobs.x is absent, expected 1",
            ),
            (
                json!({ "json": { "jobs": { "names": [] } } }),
                "$.jobs.names is [\"a\"], expected []",
            ),
        ] {
            assert_eq!(differs(Some(&expect(bad)), 200, body).unwrap(), why);
        }
        assert!(differs(Some(&expect(json!({ "status": 204 }))), 200, body).is_some());
        assert!(
            differs(None, 301, b"").is_some(),
            "a redirect is not followed and not good"
        );
    }
}
