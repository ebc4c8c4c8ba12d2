//! A value against several schemas of which one must fit: which one was meant, and what is wrong with that.
//! Must not know what the alternatives mean.

use serde_json::{Map, Value};

use super::{
    check::{Checker, list, types, word},
    format,
};
use crate::{
    Node, NodeValue, Place,
    diagnostic::{code, one_of},
};

impl<'a> Checker<'a> {
    pub(super) fn alternatives(&mut self, node: &Node, blame: Place, branches: &'a [Value]) {
        let mut flat = Vec::new();
        self.flatten(branches, &mut flat);
        if let Some(words) = words_only(&flat) {
            if !words.contains(&&node.to_json()) {
                match &node.value {
                    NodeValue::List(_) | NodeValue::Map(_) => self.no_branch(node, &flat),
                    _ => self.not_one_of(node, &words),
                }
            }
            return;
        }
        let fitting: Vec<&'a Value> = flat
            .iter()
            .copied()
            .filter(|branch| {
                branch
                    .as_object()
                    .is_none_or(|schema| Self::type_fits(node, schema))
            })
            .collect();
        let real = |branch: &&&Value| branch.get("type").and_then(Value::as_str) != Some("null");
        if fitting.is_empty()
            && let [only] = flat.iter().filter(real).collect::<Vec<_>>()[..]
        {
            return self.check(node, blame, only);
        }
        if fitting.is_empty() {
            return self.no_branch(node, &flat);
        }
        let meant = match self.meant(node, &fitting) {
            Some(one) => vec![one],
            None => fitting,
        };
        let before = self.take();
        let mut best: Option<Vec<_>> = None;
        for branch in meant {
            self.check(node, blame, branch);
            let found = self.take();
            if best.as_ref().is_none_or(|best| found.len() < best.len()) {
                best = Some(found);
            }
        }
        self.found = before;
        self.found.extend(best.unwrap_or_default());
    }

    /// Alternatives of alternatives are alternatives.
    fn flatten(&self, branches: &'a [Value], into: &mut Vec<&'a Value>) {
        for branch in branches {
            let branch = self.resolve(branch);
            let inner = branch.as_object().map(|schema| {
                let [one, any] = ["oneOf", "anyOf"].map(|keyword| list(schema, keyword));
                if one.is_empty() { any } else { one }
            });
            match inner {
                Some(inner) if !inner.is_empty() && into.len() < 64 => self.flatten(inner, into),
                _ => into.push(branch),
            }
        }
    }

    /// The branch that a mapping's fields point to: by the word in its tag field, or by a field that only it needs.
    fn meant(&self, node: &Node, branches: &[&'a Value]) -> Option<&'a Value> {
        let tagged = |branch: &&&Value| {
            let properties = branch.get("properties").and_then(Value::as_object);
            properties.into_iter().flatten().any(|(name, schema)| {
                let tag = self.resolve(schema).get("const").and_then(Value::as_str);
                tag.is_some() && node.get(name).and_then(Node::text) == tag
            })
        };
        let keyed = |branch: &&&Value| {
            let needed = branch
                .as_object()
                .map_or(&[][..], |schema| list(schema, "required"));
            !needed.is_empty()
                && (needed.iter().filter_map(Value::as_str)).all(|name| node.get(name).is_some())
        };
        let by = |test: &dyn Fn(&&&Value) -> bool| {
            let mut found = branches.iter().filter(|branch| test(branch));
            let first = found.next()?;
            found.next().is_none().then_some(*first)
        };
        by(&tagged).or_else(|| by(&keyed))
    }

    fn no_branch(&mut self, node: &Node, branches: &[&Value]) {
        let mut wanted: Vec<String> = Vec::new();
        for schema in branches.iter().filter_map(|branch| branch.as_object()) {
            let text = expectation(schema);
            if text != "nothing" && !wanted.contains(&text) {
                wanted.push(text);
            }
        }
        let message = format!("expected {}, found {}", wanted.join(" or "), node.what());
        self.report(code::WRONG_TYPE, node.place, message, None);
    }
}

/// The words, if every branch is a list of words or nothing.
fn words_only<'a>(branches: &[&'a Value]) -> Option<Vec<&'a Value>> {
    let mut words = Vec::new();
    let mut some = false;
    for schema in branches {
        match (schema.get("const"), schema.get("enum")) {
            (Some(one), _) => words.push(one),
            (None, Some(Value::Array(several))) => words.extend(several),
            _ if schema.get("type").and_then(Value::as_str) == Some("null") => {
                words.push(&Value::Null);
                continue;
            }
            _ => return None,
        }
        some = true;
    }
    some.then_some(words)
}

/// What a schema wants, in words: for a mapping with one needed field, that field.
fn expectation(schema: &Map<String, Value>) -> String {
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && let Some(text) = format::describe(format)
    {
        return text.to_owned();
    }
    if let Some(one) = schema.get("const").and_then(Value::as_str) {
        return one_of([one]);
    }
    let needed: Vec<&str> = (list(schema, "required").iter())
        .filter_map(Value::as_str)
        .collect();
    if types(schema) == ["object"] && !needed.is_empty() {
        return format!("`{{ {}: ... }}`", needed.join(": ..., "));
    }
    types(schema)
        .into_iter()
        .map(word)
        .collect::<Vec<_>>()
        .join(" or ")
}
