//! The JSON schema of a whole plan file, put together from the file's own shape and the kinds' options.
//! What is published is what is checked. Must not know a value of any file.

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::shape::Shape;
use crate::{Class, KindSchema, Kinds};

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
    let mut schema = Document::new(kinds).schema;
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
        open(&mut schema, section, &branches[section]);
    }
    if let Some(fence) = schema.pointer_mut("/$defs/SiteShape/properties/fence/items") {
        *fence = branches["fence"].clone();
    }
    schema
}

/// The same schema, but open where the kind decides: components and fences are checked by their definitions.
pub(super) struct Document {
    pub(super) schema: Value,
    /// For each class and kind: common fields that are options of the kind too, such as a DNS record's `ttl`.
    shared: BTreeMap<String, BTreeSet<String>>,
}

impl Document {
    pub(super) fn new(kinds: &Kinds) -> Self {
        let generator = SchemaSettings::draft2020_12().into_generator();
        let mut schema = generator.into_root_schema_for::<Shape>().to_value();
        let mut added = Map::new();
        let mut shared = BTreeMap::new();
        for (class, section, shape, at) in CLASSES {
            let common = schema["$defs"][shape].clone();
            for kind in kinds.iter().filter(|kind| kind.classes().contains(&class)) {
                let name = definition(Some(class), kind.name());
                let own = kind.schema(class);
                shared.insert(name.clone(), both(&common, &own.options));
                let component = component(&common, kind.name(), own, &name, at, &mut added);
                added.insert(name, component);
            }
            open(&mut schema, section, &json!({ "type": "object" }));
        }
        fences(kinds, &mut added);
        if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
            definitions.append(&mut added);
        }
        without_null(&mut schema);
        Self { schema, shared }
    }

    /// Whether a field of a component is an option of its kind.
    pub(super) fn is_option(&self, class: Class, kind: &str, field: &str) -> bool {
        let shape = CLASSES
            .iter()
            .find(|(of, ..)| *of == class)
            .map(|(_, _, shape, _)| *shape);
        !self.is_common(shape.unwrap_or_default(), field)
            || (self.shared.get(&definition(Some(class), kind)))
                .is_some_and(|both| both.contains(field))
    }

    /// Whether a shape has that field.
    pub(super) fn is_common(&self, shape: &str, field: &str) -> bool {
        let fields = self.schema.pointer(&format!("/$defs/{shape}/properties"));
        fields.is_some_and(|fields| fields.get(field).is_some())
    }
}

/// Names that both object schemas have as properties.
fn both(common: &Value, own: &Value) -> BTreeSet<String> {
    let names = own
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::keys);
    names
        .filter(|name| common["properties"].get(name.as_str()).is_some())
        .cloned()
        .collect()
}

/// The definition of a component of one kind.
fn component(
    common: &Value,
    kind: &str,
    own: KindSchema,
    name: &str,
    at: &str,
    added: &mut Map<String, Value>,
) -> Value {
    let options = hoist(own.options, &format!("{name}.options"), added);
    let each = hoist(own.at, &format!("{name}.{at}"), added);
    let mut merged = merge(common.clone(), options, kind);
    open(&mut merged, at, &each);
    merged
}

/// Gives every value of a mapping from names this schema.
fn open(schema: &mut Value, mapping: &str, each: &Value) {
    let place = format!("/properties/{mapping}/patternProperties");
    let patterns = schema.pointer_mut(&place).and_then(Value::as_object_mut);
    for value in patterns.into_iter().flat_map(Map::values_mut) {
        value.clone_from(each);
    }
}

/// A field that may be left out is left out; `null` is not offered for it.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            match map.get_mut("default") {
                Some(Value::Null) => drop(map.remove("default")),
                Some(Value::Object(fields)) => fields.retain(|_, value| !value.is_null()),
                _ => {}
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
                branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = &branches[..] {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (keyword, value) in only {
                        map.entry(keyword).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}
/// Ways of fencing: the kinds that can. Every site has an agent.
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
    for kind in kinds.iter() {
        let Some(options) = kind.fence_schema() else {
            continue;
        };
        let name = definition(None, kind.name());

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
    let others = own(&mut options, "additionalProperties");
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
    common["additionalProperties"] = others.unwrap_or(Value::Bool(!alternatives.is_empty()));
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
