//! What a plan file says about an `exec` workload, store, step or fence. The documentation of the fields is the schema's.
//! Must not know how they are used.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::shared::Program;

/// A workload at one site, by the programs that operate it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExecAt {
    /// Makes it run; over when it is ready.
    pub(crate) start: Option<Program>,
    /// Makes it stop; over when it has. Needs `running`, which proves that it did.
    pub(crate) stop: Option<Program>,
    /// Says whether it runs.
    pub(crate) running: Option<Program>,
    /// Says whether it is ready.
    pub(crate) ready: Option<Program>,
    /// For a scheduler: makes it start no new work; over when running work is.
    pub(crate) hold: Option<Program>,
    /// For a scheduler: lets it work again.
    pub(crate) release: Option<Program>,
    /// For a scheduler: says whether it is held.
    pub(crate) held: Option<Program>,
    /// Makes it reconnect to a store that moved.
    pub(crate) rebind: Option<Program>,
    /// The application's own read-only check.
    pub(crate) verify: Option<Program>,
    /// Compares the stores of a group that names this workload as its `check`, after they were promoted. With
    /// `MAINSTAY_SKEW=refused` in its environment it ends with 1 if anything does not fit together; with `reported` it
    /// records that as lost, so that `verify` accepts exactly that. What it prints goes into the run's record.
    pub(crate) reconcile: Option<Program>,
    /// Lists what still reached the old site; what it prints goes into the report.
    pub(crate) sweep: Option<Program>,
    /// Prints the deployed version.
    pub(crate) version: Option<Program>,
    /// Creates it (cold standby).
    pub(crate) provision: Option<Program>,
    /// Removes what `provision` created.
    pub(crate) deprovision: Option<Program>,
    /// Says whether it exists (cold standby).
    pub(crate) exists: Option<Program>,
}

/// A store at one site, by the programs that save it and bring it back.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecStoreAt {
    /// Prints a dump of the whole store. Only a dump whose program ends with 0 becomes a backup. Default of its
    /// `timeout`, as of the others that see a whole dump: 4h.
    pub(crate) dump: Program,
    /// Reads a dump from its standard input and puts it in the place of what is here. Without it the store is not
    /// restored in place, only into a folder.
    #[serde(default)]
    pub(crate) load: Option<Program>,
    /// Checks a restored dump, the file `MAINSTAY_DUMP`.
    #[serde(default)]
    pub(crate) check: Option<Program>,
    /// Says whether this site has the store now, where something else than Mainstay decides that. Without it the site
    /// has it that the plan file places it at, until Mainstay moves it.
    #[serde(default)]
    pub(crate) owns: Option<Program>,
}

impl ExecStoreAt {
    /// Every program with its field's name.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&'static str, &Program)> {
        let others = [
            ("load", &self.load),
            ("check", &self.check),
            ("owns", &self.owns),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, program)| Some((name, program.as_ref()?)));
        [("dump", &self.dump)].into_iter().chain(others)
    }
}

/// A way of fencing a site from outside: by its power, its network or its credentials.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecFence {
    /// Cuts the site off. It ends with 0 only when that is confirmed.
    pub(crate) fence: Program,
    /// Says whether the site is cut off now.
    pub(crate) check: Program,
}

impl ExecAt {
    /// Every program with its field's name.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&'static str, &Program)> {
        [
            ("start", &self.start),
            ("stop", &self.stop),
            ("running", &self.running),
            ("ready", &self.ready),
            ("hold", &self.hold),
            ("release", &self.release),
            ("held", &self.held),
            ("rebind", &self.rebind),
            ("verify", &self.verify),
            ("reconcile", &self.reconcile),
            ("sweep", &self.sweep),
            ("version", &self.version),
            ("provision", &self.provision),
            ("deprovision", &self.deprovision),
            ("exists", &self.exists),
        ]
        .into_iter()
        .filter_map(|(name, program)| Some((name, program.as_ref()?)))
    }
}
