//! The published schema is what is checked: it has the kinds' options, and every pattern in it can be read.

use mainstay_model::schema;
use serde_json::Value;

use crate::common::kinds;

fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                visit(key, value);
                walk(value, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_pattern_can_be_read() {
    let schema = schema(&kinds());
    let (mut references, mut patterns) = (0, 0);
    walk(&schema, &mut |key, value| match (key, value) {
        ("$ref", Value::String(target)) => {
            references += 1;
            assert!(
                schema.pointer(target.trim_start_matches('#')).is_some(),
                "{target}"
            );
        }
        ("pattern", Value::String(pattern)) => {
            patterns += 1;
            assert!(regex_lite::Regex::new(pattern).is_ok(), "{pattern}");
        }
        ("patternProperties", Value::Object(map)) => {
            for pattern in map.keys() {
                assert!(regex_lite::Regex::new(pattern).is_ok(), "{pattern}");
            }
        }
        _ => {}
    });
    assert!(references > 20 && patterns > 5, "{references} {patterns}");
}

#[test]
fn components_are_described_by_kind() {
    let schema = schema(&kinds());
    let sqlite = &schema["$defs"]["store.sqlite"];
    assert_eq!(sqlite["properties"]["kind"]["const"], "sqlite");
    assert_eq!(sqlite["additionalProperties"], false);
    assert!(sqlite["properties"]["copy"].is_object());
    let at = sqlite["properties"]["at"]["patternProperties"]
        .as_object()
        .unwrap();
    assert!(
        at.values().all(|at| at["properties"]["url"].is_object()),
        "{at:?}"
    );
    let dns = &schema["$defs"]["route.dns"];
    assert!(
        dns["required"].as_array().unwrap().contains(&"name".into()),
        "{dns}"
    );
    let stores = schema["properties"]["stores"]["patternProperties"]
        .as_object()
        .unwrap();
    let branches = stores.values().next().unwrap()["oneOf"].as_array().unwrap();
    assert_eq!(branches.len(), 4);
    assert!(!schema.to_string().contains("\"null\""));
}
