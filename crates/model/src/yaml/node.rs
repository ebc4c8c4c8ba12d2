//! A value of a plan file that still knows where it stands. Must not know what it means.

use serde_json::{Map, Number, Value};

use crate::Place;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub value: NodeValue,
}

/// A value as YAML 1.2's core schema reads it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum NodeValue {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Mapping),
}

/// Entries in the order of the file, found by key in logarithmic time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mapping {
    entries: Vec<Entry>,
    /// Indices of `entries`, in the order of their keys.
    order: Vec<usize>,
}

impl Mapping {
    /// A mapping of these entries, whose keys differ.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|a, b| entries[*a].key.cmp(&entries[*b].key));
        Self { entries, order }
    }

    fn find(&self, key: &str) -> Option<&Entry> {
        let by_key = |index: &usize| self.entries[*index].key.as_str().cmp(key);
        let at = self.order.binary_search_by(by_key).ok()?;
        self.entries.get(self.order[at])
    }
}

/// A key and its value. Keys of one mapping differ.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

impl Node {
    /// The entries of a mapping; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            NodeValue::Map(mapping) => &mapping.entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            NodeValue::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar that is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entry of a mapping with that key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            NodeValue::Map(mapping) => mapping.find(key),
            _ => None,
        }
    }

    /// The value of a mapping's entry.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The place of what the path leads to, keys and indices from here; where it leads nowhere, of what it still reached.
    #[must_use]
    pub fn place_at<S: AsRef<str>>(&self, path: &[S]) -> Place {
        let mut at = self;
        let mut place = self.place;
        for step in path {
            let step = step.as_ref();
            if let Some(item) = step.parse().ok().and_then(|i: usize| at.items().get(i)) {
                (at, place) = (item, item.place);
            } else if let Some(entry) = at.entry(step) {
                at = &entry.value;
                // A block is long; its key is what one looks for.
                place = match at.value {
                    NodeValue::Map(_) | NodeValue::List(_) => entry.key_place,
                    _ => at.place,
                };
            } else {
                break;
            }
        }
        place
    }

    /// The value without its places.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(yes) => Value::Bool(*yes),
            NodeValue::Number(number) => Value::Number(number.clone()),
            NodeValue::Text(text) => Value::String(text.clone()),
            NodeValue::List(items) => items.iter().map(Self::to_json).collect(),
            NodeValue::Map(mapping) => {
                let entries = (mapping.entries.iter()).map(|e| (e.key.clone(), e.value.to_json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// A word for what it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self.value {
            NodeValue::Null => "nothing",
            NodeValue::Bool(_) => "true or false",
            NodeValue::Number(_) => "a number",
            NodeValue::Text(_) => "text",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a mapping",
        }
    }
}
