//! A plan file after its values were checked one by one: what could be read, and what could not but has a name.
//! The checks of a file as a whole work on this, so that one bad value hides no other problem.
//! Must not know defaults that depend on other parts of the file.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    document::{CLASSES, FENCE, definition},
    secrets::Secrets,
    shape::{
        ContactShape, ControlShape, DetectShape, ExternalShape, GroupShape, ObjectivesShape,
        PlacementShape, RepositoryShape, RouteShape, SiteShape, StepShape, StoreShape,
        TenantsShape, WindowShape, WorkloadShape,
    },
};
use crate::{
    Class, Diagnostic, Diagnostics, Entry, Kind, Kinds, Node, NodeValue, Severity,
    diagnostic::{code, nearest, one_of, quote},
    schema::Checker,
};

/// A named part of the file. Without a value it was refused, and that was reported.
#[derive(Debug)]
pub(super) struct Item<'a, T> {
    pub(super) entry: &'a Entry,
    pub(super) value: Option<T>,
}

/// A section: its items by name.
pub(super) type Section<'a, T> = BTreeMap<&'a str, Item<'a, T>>;

/// The whole file.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) root: &'a Node,
    pub(super) sites: Section<'a, SiteShape>,
    pub(super) placement: Section<'a, PlacementShape>,
    pub(super) objectives: ObjectivesShape,
    pub(super) control: ControlShape,
    pub(super) repositories: Section<'a, RepositoryShape>,
    pub(super) stores: Section<'a, StoreShape>,
    pub(super) groups: Section<'a, GroupShape>,
    pub(super) workloads: Section<'a, WorkloadShape>,
    pub(super) routes: Section<'a, RouteShape>,
    pub(super) externals: Section<'a, ExternalShape>,
    pub(super) tenants: Option<TenantsShape>,
    pub(super) windows: Vec<WindowShape>,
    pub(super) detect: Option<DetectShape>,
    pub(super) steps: Section<'a, StepShape>,
    pub(super) contacts: Section<'a, ContactShape>,
    pub(super) drills: Section<'a, Value>,
}

impl<'a> Draft<'a> {
    /// Checks every value by the schema and reads what can be read.
    pub(super) fn read(
        root: &'a Node,
        schema: &Value,
        kinds: &Kinds,
        secrets: &Secrets,
        out: &mut Diagnostics,
    ) -> Self {
        let mut values = Values {
            root,
            schema,
            kinds,
            secrets,
            out,
        };
        values.check();
        Self {
            root,
            sites: values.section("sites"),
            placement: values.section("placement"),
            objectives: values.part("objectives").unwrap_or_default(),
            control: values.part("control").unwrap_or_default(),
            repositories: values.section("repositories"),
            stores: values.section("stores"),
            groups: values.section("groups"),
            workloads: values.section("workloads"),
            routes: values.section("routes"),
            externals: values.section("externals"),
            tenants: values.part("tenants"),
            windows: values.part("windows").unwrap_or_default(),
            detect: values.part("detect"),
            steps: values.section("steps"),
            contacts: values.section("contacts"),
            drills: values.section("drills"),
        }
    }
}

struct Values<'a, 'b> {
    root: &'a Node,
    schema: &'b Value,
    kinds: &'b Kinds,
    secrets: &'b Secrets,
    out: &'b mut Diagnostics,
}

impl<'a> Values<'a, '_> {
    fn check(&mut self) {
        let mut checker = Checker::new(self.schema, &self.secrets.starts);
        checker.check(self.root, self.root.place_at::<&str>(&[]), self.schema);
        for (class, section, shape, _) in CLASSES {
            for entry in self.root.get(section).map_or(&[][..], Node::entries) {
                // What is no mapping was reported by the file's own shape.
                if !matches!(entry.value.value, NodeValue::Map(_)) {
                    continue;
                }
                let name = self.component(class, entry);
                let place = format!("/$defs/{}", name.as_deref().unwrap_or(shape));
                if let Some(schema) = self.schema.pointer(&place) {
                    checker.check(&entry.value, entry.key_place, schema);
                }
            }
        }
        for entry in self.root.get("sites").map_or(&[][..], Node::entries) {
            for fence in entry.value.get("fence").map_or(&[][..], Node::items) {
                let name = self.fence(fence);
                let place = format!("/$defs/{}", name.as_deref().unwrap_or(FENCE));
                if let Some(schema) = self.schema.pointer(&place) {
                    checker.check(fence, fence.place, schema);
                }
            }
        }
        for entry in self.root.get("steps").map_or(&[][..], Node::entries) {
            let kind = entry.value.get("kind");
            if let Some((node, kind)) = kind.and_then(|node| Some((node, node.text()?)))
                && self.kinds.get(kind).is_none()
            {
                let all: Vec<&str> = self.kinds.iter().map(Kind::name).collect();
                self.unknown_kind(node, kind, &all);
            }
        }
        let known = self.out.list().len();
        for found in checker.take() {
            // A secret was reported as such already.
            let again = self.out.list()[..known]
                .iter()
                .any(|one| one.code == code::SECRET && one.place == found.place);
            if !again {
                self.out.push(found);
            }
        }
    }

    /// The definition that a component is checked by; none when its kind is not known.
    fn component(&mut self, class: Class, entry: &Entry) -> Option<String> {
        let node = entry.value.get("kind")?;
        let kind = node.text()?;
        if let Some(known) = self.kinds.get(kind) {
            if known.classes().contains(&class) {
                return Some(definition(Some(class), kind));
            }
            let wanted = match known.classes() {
                [] => "a way to fence a site".to_owned(),
                classes => format!(
                    "for {}",
                    classes
                        .iter()
                        .copied()
                        .map(plural)
                        .collect::<Vec<_>>()
                        .join(" and ")
                ),
            };
            let message = format!(
                "the kind {} is {wanted}, not for {}",
                quote(kind),
                plural(class)
            );
            let help = format!(
                "kinds of {}: {}",
                plural(class),
                one_of(self.of_class(class))
            );
            self.out.error(code::WRONG_CLASS, node.place, message, help);
            return None;
        }
        let known = self.of_class(class);
        self.unknown_kind(node, kind, &known);
        None
    }

    fn of_class(&self, class: Class) -> Vec<&'static str> {
        let of = self
            .kinds
            .iter()
            .filter(|kind| kind.classes().contains(&class));
        of.map(Kind::name).collect()
    }

    fn fence(&mut self, fence: &Node) -> Option<String> {
        let node = fence.get("kind")?;
        let kind = node.text()?;
        let fences = self
            .kinds
            .iter()
            .filter(|kind| kind.fence_schema().is_some());
        let mut known: Vec<&str> = fences.map(Kind::name).collect();
        if !known.contains(&"agent") {
            known.push("agent");
        }
        if known.contains(&kind) {
            return Some(definition(None, kind));
        }
        self.unknown_kind(node, kind, &known);
        None
    }

    fn unknown_kind(&mut self, node: &Node, kind: &str, known: &[&str]) {
        let known = || known.iter().copied();
        let help = match nearest(kind, known()) {
            Some(guess) if known().count() == 1 => format!("did you mean {}?", quote(guess)),
            Some(guess) => format!(
                "did you mean {}? known here: {}",
                quote(guess),
                one_of(known())
            ),
            None => format!("known here: {}", one_of(known())),
        };
        let message = format!("unknown kind {}", quote(kind));
        self.out
            .error(code::UNKNOWN_KIND, node.place, message, help);
    }

    fn section<T: DeserializeOwned>(&mut self, name: &str) -> Section<'a, T> {
        let entries = self.root.get(name).map_or(&[][..], Node::entries);
        let mut section = Section::new();
        for entry in entries {
            let value = self.value(entry);
            section.insert(entry.key.as_str(), Item { entry, value });
        }
        section
    }

    fn part<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let entry = self.root.entry(name)?;
        self.value(entry)
    }

    /// Reads a value. What the schema let pass and the type refuses is reported here.
    fn value<T: DeserializeOwned>(&mut self, entry: &Entry) -> Option<T> {
        let error = match serde_json::from_value(entry.value.to_json()) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let (start, end) = (entry.key_place.start, entry.value.place.end);
        let told = |one: &Diagnostic| {
            one.severity == Severity::Error && (start..=end.max(start)).contains(&one.place.start)
        };
        if !self.out.list().iter().any(told) && self.out.left_out() == 0 {
            let message = format!("{} is not possible here: {error}", quote(&entry.key));
            self.out
                .error(code::BAD_VALUE, entry.key_place, message, None);
        }
        None
    }
}

/// The class's section.
pub(super) fn plural(class: Class) -> &'static str {
    match class {
        Class::Store => "stores",
        Class::Workload => "workloads",
        Class::Route => "routes",
    }
}
