//! A mapping against an object schema: known, missing and unknown fields.
//! Must not know what the fields mean.

use serde_json::{Map, Value};

use super::check::{Checker, ENOUGH, list};
use crate::{
    Entry, Node, Place, check_name,
    diagnostic::{code, nearest, one_of, quote},
};

/// The most field names that a help text lists.
const LISTED: usize = 12;

impl<'a> Checker<'a> {
    pub(super) fn check_object(
        &mut self,
        node: &Node,
        blame: Place,
        schema: &'a Map<String, Value>,
    ) {
        let known = schema.get("properties").and_then(Value::as_object);
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        for entry in node.entries() {
            if self.found.len() >= ENOUGH {
                return;
            }
            if let Some(own) = known.and_then(|known| known.get(&entry.key)) {
                self.check(&entry.value, entry.key_place, own);
                continue;
            }
            let by_pattern = patterns.into_iter().flatten();
            let mut matched = false;
            for (pattern, own) in by_pattern {
                if self.matches(pattern, &entry.key) {
                    matched = true;
                    self.check(&entry.value, entry.key_place, own);
                }
            }
            match schema.get("additionalProperties") {
                _ if matched => {}
                Some(Value::Bool(false)) => self.unknown(node, entry, known, patterns.is_some()),
                Some(own) => self.check(&entry.value, entry.key_place, own),
                None => {}
            }
        }
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            if node.entry(name).is_none() {
                let message = format!("the field {} is missing", quote(name));
                let known = known.and_then(|known| known.get(name));
                let what = known.and_then(|own| self.resolve(own).get("description"));
                let help = what
                    .and_then(Value::as_str)
                    .map(|what| format!("{name}: {what}"));
                self.report(code::MISSING_FIELD, blame, message, help);
            }
        }
        if let Some(least) = schema.get("minProperties").and_then(Value::as_u64)
            && (node.entries().len() as u64) < least
        {
            let message = format!("at least {least} entries are needed here");
            self.report(code::BAD_VALUE, blame, message, None);
        }
        if let Some(most) = schema.get("maxProperties").and_then(Value::as_u64)
            && (node.entries().len() as u64) > most
        {
            let message = format!("at most {most} entries are possible here");
            self.report(code::BAD_VALUE, blame, message, None);
        }
    }

    fn unknown(
        &mut self,
        node: &Node,
        entry: &Entry,
        known: Option<&Map<String, Value>>,
        names: bool,
    ) {
        if names && known.is_none_or(Map::is_empty) {
            let why = match check_name(&entry.key) {
                Err(error) => error.to_string(),
                Ok(()) => "names have letters, digits, '-', '_' and '.'".to_owned(),
            };
            let message = format!("{} is not a name", quote(&entry.key));
            return self.report(code::BAD_NAME, entry.key_place, message, Some(why));
        }
        let free: Vec<&str> = (known.into_iter().flat_map(Map::keys))
            .filter(|name| node.entry(name).is_none())
            .map(String::as_str)
            .collect();
        let message = format!("unknown field {}", quote(&entry.key));
        let help = match nearest(&entry.key, free.iter().copied()) {
            Some(guess) => Some(format!("did you mean {}?", quote(guess))),
            None if free.is_empty() => Some("no other field is possible here".to_owned()),
            None if free.len() > LISTED => None,
            None => Some(format!("possible here: {}", one_of(free))),
        };
        self.report(code::UNKNOWN_FIELD, entry.key_place, message, help);
    }
}
