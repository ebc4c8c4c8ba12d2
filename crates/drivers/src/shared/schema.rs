//! JSON schemas of options, in the plain form that a plan file's checker reads: no nulls.
//! Must not know any kind.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The schema of a type, from its doc comments and fields.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    plain(&mut schema);
    schema
}

/// The schema of a component that has no options of its own.
pub(crate) fn empty_schema() -> Value {
    serde_json::json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

/// An optional field is one that may be left out. Writing `null` for it is not offered.
fn plain(value: &mut Value) {
    match value {
        Value::Object(object) => {
            without_null_type(object);
            only_alternative(object);
            object.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

fn without_null_type(object: &mut Map<String, Value>) {
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
}

fn only_alternative(object: &mut Map<String, Value>) {
    let Some(Value::Array(any)) = object.get_mut("anyOf") else {
        return;
    };
    any.retain(|one| one.get("type").is_none_or(|name| name != "null"));
    if let [Value::Object(only)] = any.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Inner {
        word: String,
    }

    #[derive(JsonSchema)]
    #[schemars(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Outer {
        /// What it is.
        inner: Option<Inner>,
        count: Option<u32>,
        map: BTreeMap<String, String>,
    }

    #[test]
    fn optional_fields_have_no_null() {
        let schema = schema_of::<Outer>();
        let text = schema.to_string();
        assert!(!text.contains("null"), "{text}");
        assert_eq!(schema["properties"]["inner"]["$ref"], "#/$defs/Inner");
        assert_eq!(schema["properties"]["inner"]["description"], "What it is.");
        assert_eq!(schema["properties"]["count"]["type"], "integer");
        assert_eq!(schema["additionalProperties"], false);
    }
}
