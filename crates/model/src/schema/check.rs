//! One value against one schema: the keywords that schemars writes for typed structs. See JSON Schema 2020-12.
//! Must not know where a schema comes from.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::format;
use crate::{
    Diagnostic, Node, NodeValue, Place, Severity,
    diagnostic::{code, nearest, one_of, quote},
};

/// When so many problems were found, checking ends.
pub(super) const ENOUGH: usize = 500;

/// A schema with its definitions, ready to check values.
pub(crate) struct Checker<'a> {
    root: &'a Value,
    /// Where secrets start: what stands there is never repeated in a message.
    secrets: &'a BTreeSet<usize>,
    patterns: BTreeMap<String, Option<Regex>>,
    pub(super) found: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(root: &'a Value, secrets: &'a BTreeSet<usize>) -> Self {
        Self {
            root,
            secrets,
            patterns: BTreeMap::new(),
            found: Vec::new(),
        }
    }

    /// What was found so far, and forgets it.
    pub(crate) fn take(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.found)
    }

    pub(super) fn report(
        &mut self,
        code: &'static str,
        place: Place,
        message: String,
        help: Option<String>,
    ) {
        self.found.push(Diagnostic {
            code,
            severity: Severity::Error,
            message,
            place,
            help,
        });
    }

    /// Checks a value. `blame` is where a missing field is reported: the value's key, if it has one.
    pub(crate) fn check(&mut self, node: &Node, blame: Place, schema: &'a Value) {
        if self.found.len() >= ENOUGH {
            return;
        }
        let Some(schema) = schema.as_object() else {
            return;
        };
        let target = schema.get("$ref").and_then(Value::as_str);
        if let Some(target) = target.and_then(|target| self.definition(target)) {
            self.check(node, blame, target);
        }
        for part in list(schema, "allOf") {
            self.check(node, blame, part);
        }
        let branches = ["oneOf", "anyOf"].map(|keyword| list(schema, keyword));
        for branches in branches.into_iter().filter(|branches| !branches.is_empty()) {
            self.alternatives(node, blame, branches);
        }
        if !Self::type_fits(node, schema) {
            self.wrong_type(node, schema);
            return;
        }
        self.check_words(node, schema);
        match &node.value {
            NodeValue::Text(text) => self.check_text(node, text, schema),
            NodeValue::Number(number) => self.check_number(node, number, schema),
            NodeValue::List(items) => self.check_list(node, items, schema),
            NodeValue::Map(_) => self.check_object(node, blame, schema),
            NodeValue::Null | NodeValue::Bool(_) => {}
        }
    }

    /// What a local reference points to.
    fn definition(&self, reference: &str) -> Option<&'a Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }

    /// Follows references.
    pub(super) fn resolve(&self, mut schema: &'a Value) -> &'a Value {
        // A chain that comes back to itself would never end.
        for _ in 0..8 {
            let next = schema.get("$ref").and_then(Value::as_str);
            match next.and_then(|next| self.definition(next)) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// The value in backquotes, unless it must not be repeated.
    pub(super) fn show(&self, node: &Node) -> String {
        match &node.value {
            _ if self.secrets.contains(&node.place.start) => "this value".to_owned(),
            NodeValue::Text(text) => quote(text),
            NodeValue::Number(number) => quote(&number.to_string()),
            NodeValue::Bool(yes) => quote(if *yes { "true" } else { "false" }),
            _ => node.what().to_owned(),
        }
    }

    pub(super) fn type_fits(node: &Node, schema: &Map<String, Value>) -> bool {
        let names = types(schema);
        names.is_empty() || names.iter().any(|name| is_a(node, name))
    }

    fn wrong_type(&mut self, node: &Node, schema: &Map<String, Value>) {
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && let NodeValue::Number(number) = &node.value
            && let Some(help) = format::with_unit(format, number)
        {
            let message = format!("{} has no unit", self.show(node));
            return self.report(code::UNIT, node.place, message, Some(help));
        }
        let wanted = types(schema)
            .into_iter()
            .map(word)
            .collect::<Vec<_>>()
            .join(" or ");
        let wanted = match schema.get("format").and_then(Value::as_str) {
            Some(format) => format::describe(format).unwrap_or(&wanted).to_owned(),
            None => wanted,
        };
        let help = match &node.value {
            NodeValue::Number(_) | NodeValue::Bool(_)
                if types(schema).contains(&"string")
                    && !self.secrets.contains(&node.place.start) =>
            {
                Some(format!(
                    "put it in quotes: \"{}\"",
                    self.show(node).trim_matches('`')
                ))
            }
            NodeValue::Text(text) if types(schema).contains(&"array") && text.len() < 40 => Some(
                format!("write a list: [{}]", self.show(node).trim_matches('`')),
            ),
            _ => None,
        };
        let message = format!("expected {wanted}, found {}", node.what());
        self.report(code::WRONG_TYPE, node.place, message, help);
    }

    /// `const` and `enum`.
    fn check_words(&mut self, node: &Node, schema: &Map<String, Value>) {
        let allowed: Vec<&Value> = match (schema.get("const"), schema.get("enum")) {
            (Some(one), _) => vec![one],
            (None, Some(Value::Array(some))) => some.iter().collect(),
            _ => return,
        };
        let value = node.to_json();
        if !allowed.contains(&&value) {
            self.not_one_of(node, &allowed);
        }
    }

    pub(super) fn not_one_of(&mut self, node: &Node, allowed: &[&Value]) {
        let words: Vec<String> = (allowed.iter())
            .filter(|value| !value.is_null())
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
            .collect();
        let words = || words.iter().map(String::as_str);
        let message = format!("{} is not possible here", self.show(node));
        let guess = node.text().and_then(|text| nearest(text, words()));
        let help = match guess {
            Some(guess) => format!(
                "did you mean {}? possible: {}",
                quote(guess),
                one_of(words())
            ),
            None => format!("possible: {}", one_of(words())),
        };
        self.report(code::BAD_VALUE, node.place, message, Some(help));
    }

    fn check_text(&mut self, node: &Node, text: &str, schema: &Map<String, Value>) {
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && let Some((code, help)) = format::complain(format, text)
        {
            let wanted = format::describe(format).unwrap_or(format);
            let message = format!("{} is not {wanted}", self.show(node));
            return self.report(code, node.place, message, Some(help));
        }
        let length = text.chars().count() as u64;
        let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
        if limit("minLength").is_some_and(|least| length < least) {
            let message = format!("{} is too short", self.show(node));
            return self.report(code::BAD_VALUE, node.place, message, None);
        }
        if let Some(most) = limit("maxLength").filter(|most| length > *most) {
            let message = format!("{} is longer than {most} characters", self.show(node));
            return self.report(code::BAD_VALUE, node.place, message, None);
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && !self.matches(pattern, text)
        {
            let message = format!("{} is not possible here", self.show(node));
            let help = match schema.get("description").and_then(Value::as_str) {
                Some(description) => format!("expected: {description}"),
                None => format!("it must match the pattern {pattern}"),
            };
            self.report(code::BAD_VALUE, node.place, message, Some(help));
        }
    }

    /// Whether the text matches. A pattern that this engine cannot read matches everything; a test reads all of ours.
    pub(super) fn matches(&mut self, pattern: &str, text: &str) -> bool {
        if !self.patterns.contains_key(pattern) {
            self.patterns
                .insert(pattern.to_owned(), Regex::new(pattern).ok());
        }
        match self.patterns.get(pattern) {
            Some(Some(regex)) => regex.is_match(text),
            _ => true,
        }
    }

    fn check_number(
        &mut self,
        node: &Node,
        number: &serde_json::Number,
        schema: &Map<String, Value>,
    ) {
        let Some(value) = number.as_f64() else { return };
        let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        let too = [
            (
                limit("minimum").is_some_and(|least| value < least),
                "minimum",
                "at least",
            ),
            (
                limit("maximum").is_some_and(|most| value > most),
                "maximum",
                "at most",
            ),
            (
                limit("exclusiveMinimum").is_some_and(|least| value <= least),
                "exclusiveMinimum",
                "more than",
            ),
            (
                limit("exclusiveMaximum").is_some_and(|most| value >= most),
                "exclusiveMaximum",
                "less than",
            ),
        ];
        if let Some((_, keyword, words)) = too.iter().find(|(wrong, ..)| *wrong) {
            let message = format!("{} must be {words} {}", self.show(node), schema[*keyword]);
            self.report(code::BAD_VALUE, node.place, message, None);
        }
    }

    fn check_list(&mut self, node: &Node, items: &[Node], schema: &'a Map<String, Value>) {
        let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
        let length = items.len() as u64;
        if let Some(least) = limit("minItems").filter(|least| length < *least) {
            let message = format!("the list needs at least {least} items");
            self.report(code::BAD_VALUE, node.place, message, None);
        }
        if let Some(most) = limit("maxItems").filter(|most| length > *most) {
            let message = format!("the list has at most {most} items");
            self.report(code::BAD_VALUE, node.place, message, None);
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = BTreeSet::new();
            for item in items {
                if !seen.insert(item.to_json().to_string()) {
                    let message = format!("{} is in the list twice", self.show(item));
                    self.report(code::BAD_VALUE, item.place, message, None);
                }
            }
        }
        if let Some(each) = schema.get("items") {
            for item in items {
                self.check(item, item.place, each);
            }
        }
    }
}

/// The items of a schema's list keyword.
pub(super) fn list<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    match schema.get(keyword) {
        Some(Value::Array(items)) => items,
        _ => &[],
    }
}

/// The types that a schema names; none means any.
pub(super) fn types(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_a(node: &Node, name: &str) -> bool {
    match (&node.value, name) {
        (NodeValue::Null, "null")
        | (NodeValue::Bool(_), "boolean")
        | (NodeValue::Number(_), "number")
        | (NodeValue::Text(_), "string")
        | (NodeValue::List(_), "array")
        | (NodeValue::Map(_), "object") => true,
        (NodeValue::Number(number), "integer") => !number.is_f64(),
        _ => false,
    }
}

/// A type in words.
pub(super) fn word(name: &str) -> &str {
    match name {
        "null" => "nothing",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a mapping",
        other => other,
    }
}
