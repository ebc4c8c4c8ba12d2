//! The JSON schema of a whole plan file, put together from the file's own shape and the kinds' options.
//! What is published is what is checked. Must not know a value of any file.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::shape::Shape;
use crate::{Class, Kinds};

/// The classes, the file's section of each, its common shape, and the field with the options of each site.
pub(super) const CLASSES: [(Class, &str, &str, &str); 3] = [
    (Class::Store, "stores", "StoreShape", "at"),
    (Class::Workload, "workloads", "WorkloadShape", "at"),
    (Class::Route, "routes", "RouteShape", "to"),
];

/// The name of the definition that every way of fencing has in common.
pub(super) const FENCE: &str = "FenceShape";

/// The name of the definition for a component of that class and kind, or for a way of fencing (no class).
pub(super) fn definition(class: Option<Class>, kind: &str) -> String {
    let class = match class {
        Some(Class::Store) => "store",
        Some(Class::Workload) => "workload",
        Some(Class::Route) => "route",
        None => "fence",
    };
    format!("{class}.{kind}")
}

/// The JSON schema (draft 2020-12) of plan files with these kinds.
#[must_use]
pub fn schema(kinds: &Kinds) -> Value {
    let mut schema = base(kinds);
    let mut branches = Map::new();
    if let Some(definitions) = schema.get("$defs").and_then(Value::as_object) {
        let prefixes = CLASSES.map(|(class, section, ..)| (section, definition(Some(class), "")));
        for (section, prefix) in prefixes
            .into_iter()
            .chain([("fence", definition(None, ""))])
        {
            let known = definitions.keys().filter(|name| name.starts_with(&prefix));
            let known = known.filter(|name| !name[prefix.len()..].contains('.'));
            let refs: Vec<Value> = known.map(|name| reference(name)).collect();
            branches.insert(section.to_owned(), json!({ "oneOf": refs }));
        }
    }
    for (_, section, ..) in CLASSES {
        let place = format!("/properties/{section}/patternProperties");
        let patterns = schema.pointer_mut(&place).and_then(Value::as_object_mut);
        for value in patterns.into_iter().flat_map(Map::values_mut) {
            *value = branches[section].clone();
        }
    }
    if let Some(fence) = schema.pointer_mut("/$defs/SiteShape/properties/fence/items") {
        *fence = branches["fence"].clone();
    }
    schema
}

/// The same schema, but open where the kind decides: components and fences are checked by their definitions.
pub(super) fn base(kinds: &Kinds) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Shape>().to_value();
    let mut added = Map::new();
    for (class, section, shape, at) in CLASSES {
        let common = schema["$defs"][shape].clone();
        for kind in kinds.iter().filter(|kind| kind.classes().contains(&class)) {
            let name = definition(Some(class), kind.name());
            let own = kind.schema(class);
            let options = hoist(own.options, &format!("{name}.options"), &mut added);
            let each = hoist(own.at, &format!("{name}.{at}"), &mut added);
            let mut merged = merge(common.clone(), options, kind.name());
            let place = format!("/properties/{at}/patternProperties");
            let patterns = merged.pointer_mut(&place).and_then(Value::as_object_mut);
            for value in patterns.into_iter().flat_map(Map::values_mut) {
                *value = each.clone();
            }
            added.insert(name, merged);
        }
        let place = format!("/properties/{section}/patternProperties");
        let patterns = schema.pointer_mut(&place).and_then(Value::as_object_mut);
        for value in patterns.into_iter().flat_map(Map::values_mut) {
            *value = json!({ "type": "object" });
        }
    }
    fences(kinds, &mut added);
    if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        definitions.append(&mut added);
    }
    schema
}

/// Ways of fencing: the kinds that operate no component. Every site has an agent.
fn fences(kinds: &Kinds, added: &mut Map<String, Value>) {
    let common = json!({
        "type": "object",
        "description": "a way of fencing a site",
        "properties": { "kind": { "type": "string" } },
        "required": ["kind"]
    });
    added.insert(FENCE.to_owned(), common.clone());
    let agent = json!({ "type": "object" });
    added.insert(
        definition(None, "agent"),
        merge(common.clone(), agent, "agent"),
    );
    for kind in kinds.iter().filter(|kind| kind.classes().is_empty()) {
        let name = definition(None, kind.name());
        let options = kind.schema(Class::Workload).options;
        let options = hoist(options, &format!("{name}.options"), added);
        added.insert(name, merge(common.clone(), options, kind.name()));
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// The common fields and the kind's own, in one object without others.
fn merge(mut common: Value, options: Value, kind: &str) -> Value {
    common["properties"]["kind"] = json!({ "const": kind });
    let Value::Object(mut options) = options else {
        return common;
    };
    let own = |options: &mut Map<String, Value>, keyword: &str| options.remove(keyword);
    let open = own(&mut options, "additionalProperties");
    if let Some(Value::Object(properties)) = own(&mut options, "properties")
        && let Some(all) = common["properties"].as_object_mut()
    {
        for (name, schema) in properties {
            all.entry(name).or_insert(schema);
        }
    }
    if let Some(Value::Array(required)) = own(&mut options, "required") {
        let all = &mut common["required"];
        if let Some(all) = all.as_array_mut() {
            all.extend(required);
        } else {
            *all = Value::Array(required);
        }
    }
    let alternatives = ["oneOf", "anyOf", "allOf"].map(|keyword| {
        options
            .remove(keyword)
            .map(|value| json!({ keyword: value }))
    });
    let alternatives: Vec<Value> = alternatives.into_iter().flatten().collect();
    // What alternatives allow is known to them alone.
    common["additionalProperties"] = open.unwrap_or(Value::Bool(!alternatives.is_empty()));
    if !alternatives.is_empty() {
        common["allOf"] = Value::Array(alternatives);
    }
    if let Some(about) = options.remove("description") {
        common["description"] = about;
    }
    common
}

/// Moves a schema's own definitions to the document's, under names that nobody else has.
fn hoist(mut schema: Value, prefix: &str, into: &mut Map<String, Value>) -> Value {
    let definitions = schema.as_object_mut().and_then(|schema| {
        schema.remove("$schema");
        schema.remove("title");
        schema.remove("$defs")
    });
    rename(&mut schema, prefix);
    if let Some(Value::Object(definitions)) = definitions {
        for (name, mut definition) in definitions {
            rename(&mut definition, prefix);
            into.insert(format!("{prefix}.{name}"), definition);
        }
    }
    schema
}

/// Lets references follow the definitions that [`hoist`] moves.
fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{prefix}.{name}");
                        }
                    }
                    value => rename(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, prefix)),
        _ => {}
    }
}
