//! The pure half of `process`: options, promises, and where its steps differ from the standard ones.
//! Must not know a process.

use mainstay_model::{
    Class, Complaint, Declared, Draft, FenceClass, Idempotence, Kind, KindSchema, LossMode, Move,
    Phase, SealStrength, Traits, standard_lower,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::options::ProcessAt;
use crate::shared::{complaints, empty_schema, schema_of};

/// The kind's name in plan files.
pub(crate) const NAME: &str = "process";

/// The most instances that one site may declare.
const MOST: usize = 1000;

/// The pure half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessKind;

impl Kind for ProcessKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Workload]
    }

    fn schema(&self, _: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<ProcessAt>(),
            options: empty_schema(),
        }
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let mut found = Vec::new();
        for (site, value) in &declared.at {
            if let Ok(at) = ProcessAt::deserialize(value) {
                check_at(&at, site.as_str(), &mut found);
            }
        }
        found
    }

    fn traits(&self, _: &Declared) -> Traits {
        Traits {
            fence: FenceClass::F0,
            loss: LossMode::Disposable,
            seal: SealStrength::Asserted,
            idempotence: Idempotence::Idempotent,
        }
    }

    fn lower(&self, declared: &Declared, phase: Phase, mv: &Move) -> Vec<Draft> {
        if phase == Phase::Reconcile {
            let has = |option: &str| {
                let at = declared.at.get(&mv.site);
                at.is_some_and(|at| at.get(option).is_some())
            };
            // A program that has to run to be asked only serves where it runs already.
            return match (has("reconcile"), has("verify")) {
                (true, _) => standard_lower(declared, phase, mv),
                (false, true) => standard_lower(declared, Phase::Verify, mv),
                (false, false) => Vec::new(),
            };
        }
        let mut drafts = standard_lower(&counted(declared), phase, mv);

        if phase == Phase::Rebind {
            // It is ready before it reconnects, too: only the action can say that it did.
            for draft in &mut drafts {
                draft.goals.clear();
            }
        }
        drafts
    }
}

/// The standard steps wait for `replicas` instances; here they may be listed instead.
fn counted(declared: &Declared) -> Declared {
    let mut declared = declared.clone();
    for value in declared.at.values_mut() {
        let count = ProcessAt::deserialize(&*value).map(|at| at.instances().len());
        if let (Ok(count), Value::Object(fields)) = (count, value) {
            fields.insert("replicas".to_owned(), json!(count));
        }
    }
    declared
}

fn check_at(at: &ProcessAt, site: &str, found: &mut Vec<Complaint>) {
    let mut complain = |path: &[&str], what: &str, help: &str| {
        let keys = ["at", site];
        found.push(Complaint {
            path: keys.iter().chain(path).map(|&key| key.to_owned()).collect(),
            what: what.to_owned(),
            help: Some(help.to_owned()),
        });
    };
    if at.command.first().is_none_or(String::is_empty) {
        let help = "write command: [program, argument]";
        complain(&["command"], "a process needs a program", help);
    }
    if at.replicas.is_some() && !at.instances.is_empty() {
        let help = "leave replicas out: the list says how many there are";
        complain(&["replicas"], "give replicas or instances, not both", help);
    }
    if at.replicas == Some(0) || at.replicas.is_some_and(|count| count as usize > MOST) {
        let help = "write replicas: 1";
        complain(&["replicas"], "there are 1 to 1000 instances", help);
    }
    if let Some(version) = &at.version
        && version.get.is_some() != version.command.is_empty()
    {
        let help = "write version: { get: \"http://...\" }";
        complain(
            &["version"],
            "a version comes from a url or a command",
            help,
        );
    }
    let reconcile = at.reconcile.as_ref();
    if reconcile.is_some_and(|program| program.command.first().is_none_or(String::is_empty)) {
        let help = "write command: [program, argument]";
        complain(&["reconcile", "command"], "there is no program", help);
    }
    if at.hold.is_some() != at.held.is_some() || at.hold.is_some() != at.release.is_some() {
        let help = "a scheduler has all three: hold, release and held";
        complain(&[], "hold, release and held belong together", help);
    }
    let calls = [
        ("ready", &at.ready),
        ("verify", &at.verify),
        ("hold", &at.hold),
        ("release", &at.release),
        ("held", &at.held),
    ];
    for (name, call) in calls {
        found.extend(
            call.iter()
                .flat_map(|call| complaints(call, &["at", site, name])),
        );
    }
    for (index, instance) in at.instances.iter().enumerate() {
        let index = index.to_string();
        let path = ["at", site, "instances", &index, "ready"];
        found.extend(
            instance
                .ready
                .iter()
                .flat_map(|call| complaints(call, &path)),
        );
    }
}
