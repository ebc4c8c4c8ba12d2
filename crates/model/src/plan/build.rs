//! A draft without errors as a plan: defaults filled, paths made absolute.
//! Must not know what is allowed; that was checked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    defaults,
    document::Document,
    draft::{Draft, Item, Section},
    file::{
        Contact, Control, Detect, External, FencerSpec, Group, Objectives, OnLoss, PlanFile,
        Repository, Route, Secret, Site, Standby, StandingAct, Store, TeamStep, Tenants, Use,
        Window, Workload, Writers,
    },
    paths,
    shape::{DetectShape, ObjectivesShape, SiteShape, TenantsShape, UseShape},
};
use crate::{Class, ComponentId, Declared, Entry, KindName, SiteId, Span, Weights};

/// The fields of an entry that are options, as values.
fn options(entry: &Entry, folder: &str, is_option: impl Fn(&str) -> bool) -> Value {
    let own = entry
        .value
        .entries()
        .iter()
        .filter(|own| is_option(&own.key));
    let own = own.map(|own| (own.key.clone(), own.value.to_json()));
    paths::within(folder, Value::Object(own.collect()))
}

struct Builder<'a> {
    folder: &'a str,
    document: &'a Document,
    objectives: Objectives,
    placement: BTreeMap<ComponentId, Weights>,
}

impl Builder<'_> {
    fn declared(
        &self,
        class: Class,
        entry: &Entry,
        kind: &KindName,
        at: &BTreeMap<SiteId, Value>,
        timeout: Option<Span>,
    ) -> Option<Declared> {
        let at = at
            .iter()
            .map(|(site, value)| (site.clone(), paths::within(self.folder, value.clone())));
        Some(Declared {
            name: ComponentId::new(&entry.key).ok()?,
            class,
            kind: kind.clone(),
            at: at.collect(),
            options: options(entry, self.folder, |field| {
                self.document.is_option(class, kind.as_str(), field)
            }),
            timeout,
        })
    }

    fn objectives(&self, own: ObjectivesShape) -> Objectives {
        Objectives {
            rpo: own.rpo.unwrap_or(self.objectives.rpo),
            rto: own.rto.unwrap_or(self.objectives.rto),
        }
    }

    /// What waits elsewhere, when the file does not say: a component that is active at several sites serves at all of them.
    fn standby(&self, name: &ComponentId, own: Option<Standby>) -> Standby {
        let active = |weights: &Weights| weights.values().filter(|weight| **weight > 0).count();
        let several = self
            .placement
            .get(name)
            .is_some_and(|weights| active(weights) > 1);
        own.unwrap_or(if several { Standby::Hot } else { Standby::Warm })
    }
}

/// The components that can be read, as far as they can.
pub(super) fn declared(draft: &Draft<'_>, folder: &str, document: &Document) -> Vec<Declared> {
    let builder = Builder {
        folder,
        document,
        objectives: defaults::objectives(draft.objectives),
        placement: BTreeMap::new(),
    };
    let mut all = Vec::new();
    for Item { entry, value } in draft.stores.values() {
        all.extend(
            value
                .as_ref()
                .and_then(|it| builder.declared(Class::Store, entry, &it.kind, &it.at, it.timeout)),
        );
    }
    for Item { entry, value } in draft.workloads.values() {
        all.extend(
            value.as_ref().and_then(|it| {
                builder.declared(Class::Workload, entry, &it.kind, &it.at, it.timeout)
            }),
        );
    }
    for Item { entry, value } in draft.routes.values() {
        all.extend(
            value
                .as_ref()
                .and_then(|it| builder.declared(Class::Route, entry, &it.kind, &it.to, it.timeout)),
        );
    }
    all
}

/// The plan. None only when a name or a value is not what the checks let pass.
pub(super) fn plan(
    draft: &Draft<'_>,
    folder: &str,
    document: &Document,
    hash: String,
) -> Option<PlanFile> {
    let builder = Builder {
        folder,
        document,
        objectives: defaults::objectives(draft.objectives),
        placement: defaults::placement(draft),
    };
    let state = draft.control.state.as_deref().unwrap_or(defaults::STATE);
    let control = Control {
        state: paths::address(folder, state),
    };
    let workloads = builder.workloads(draft)?;
    let stores = builder.stores(draft)?;
    Some(PlanFile {
        system: draft.root.get("system")?.text()?.to_owned(),
        hash,
        sites: sites(&draft.sites, &control, folder)?,
        repositories: repositories(draft, folder)?,
        groups: groups(draft, &stores, &workloads)?,
        routes: builder.routes(draft)?,
        stores,
        workloads,
        externals: named(&draft.externals, |external, _| {
            let check = external.check.clone();
            let check = check.map(|check| paths::within(folder, Value::Object(check)));
            Some(External {
                check,
                drill: external.drill.clone(),
            })
        })?,
        tenants: draft
            .tenants
            .as_ref()
            .map(|tenants| builder.tenants(tenants)),
        windows: (draft.windows.iter())
            .map(|window| Window {
                from: window.from.0,
                until: window.until.0,
                note: window.note.clone(),
            })
            .collect(),
        detect: draft.detect.as_ref().map(detect),
        steps: steps(draft, document, folder)?,
        contacts: named(&draft.contacts, |contact, _| {
            Some(Contact {
                notify: contact.notify.clone(),
                acknowledge: contact.acknowledge,
            })
        })?,
        drills: named(&draft.drills, |drill, _| Some(drill.clone()))?,
        control,
        placement: builder.placement,
        objectives: builder.objectives,
    })
}

/// A section's items under their typed names.
fn named<T, K, V>(
    section: &Section<'_, T>,
    make: impl Fn(&T, &Entry) -> Option<V>,
) -> Option<BTreeMap<K, V>>
where
    K: std::str::FromStr + Ord,
{
    let each = section.iter().map(|(name, Item { entry, value })| {
        Some((name.parse().ok()?, make(value.as_ref()?, entry)?))
    });
    each.collect()
}

fn sites(
    section: &Section<'_, SiteShape>,
    control: &Control,
    folder: &str,
) -> Option<BTreeMap<SiteId, Site>> {
    named(section, |site, entry| {
        let agent = match &site.agent {
            Some(agent) => paths::address(folder, agent),
            None => defaults::agent(control, &entry.key),
        };
        let fence = site.fence.iter().map(|fence| {
            let kind = KindName::new(fence.get("kind")?.as_str()?).ok()?;
            let mut options = fence.clone();
            options.remove("kind");
            Some(FencerSpec {
                kind,
                options: paths::within(folder, Value::Object(options)),
            })
        });
        Some(Site {
            domain: site.domain.clone(),
            role: site.role,
            agent,
            health: site.health.clone(),
            fence: fence.collect::<Option<Vec<_>>>()?,
        })
    })
}

fn repositories(
    draft: &Draft<'_>,
    folder: &str,
) -> Option<BTreeMap<crate::RepositoryId, Repository>> {
    named(&draft.repositories, |repository, _| {
        let password = repository.password.clone().map(|secret| match secret {
            Secret::File(path) => Secret::File(paths::absolute(folder, &path)),
            env @ Secret::Env(_) => env,
        });
        Some(Repository {
            url: paths::address(folder, &repository.url),
            domain: repository.domain.clone(),
            password,
            mirrors: repository.mirrors.clone(),
            scrub: repository.scrub.unwrap_or(defaults::SCRUB),
            options: paths::within(folder, Value::Object(repository.options.clone())),
        })
    })
}

impl Builder<'_> {
    fn stores(&self, draft: &Draft<'_>) -> Option<BTreeMap<ComponentId, Store>> {
        named(&draft.stores, |store, entry| {
            let declared =
                self.declared(Class::Store, entry, &store.kind, &store.at, store.timeout)?;
            let kept = store.copy.is_some() || !store.backup.is_empty();
            let on_loss = match store.disposable {
                Some(_) => OnLoss::StartEmpty,
                None if kept => OnLoss::LastCopy,
                None => OnLoss::Refuse,
            };
            Some(Store {
                standby: self.standby(&declared.name, store.standby),
                declared,
                copy: store.copy.clone(),
                backup: store.backup.clone(),
                disposable: store.disposable.is_some(),
                writers: store.writers.unwrap_or(Writers::One),
                spans: store.spans.clone(),
                on_loss: store.on_loss.unwrap_or(on_loss),
                lease: store.lease,
                objectives: self.objectives(store.objectives),
            })
        })
    }

    fn workloads(&self, draft: &Draft<'_>) -> Option<BTreeMap<ComponentId, Workload>> {
        named(&draft.workloads, |workload, entry| {
            let at = &workload.at;
            let declared =
                self.declared(Class::Workload, entry, &workload.kind, at, workload.timeout)?;
            let uses = workload.uses.iter().map(|one| match one {
                UseShape::Store(store) => Use {
                    store: store.clone(),
                    via: None,
                },
                UseShape::Via(it) => Use {
                    store: it.store.clone(),
                    via: it.via.clone(),
                },
            });
            Some(Workload {
                standby: self.standby(&declared.name, workload.standby),
                declared,
                role: workload.role,
                uses: uses.collect(),
                after: workload.after.clone(),
                required: workload.required,
                grace: workload.grace,
                objectives: self.objectives(workload.objectives),
            })
        })
    }

    fn routes(&self, draft: &Draft<'_>) -> Option<BTreeMap<ComponentId, Route>> {
        named(&draft.routes, |route, entry| {
            Some(Route {
                declared: self.declared(
                    Class::Route,
                    entry,
                    &route.kind,
                    &route.to,
                    route.timeout,
                )?,
                serves: route.serves.clone(),
                ttl: route.ttl,
                required: route.required,
            })
        })
    }

    fn tenants(&self, tenants: &TenantsShape) -> Tenants {
        let tiers = tenants.tiers.iter();
        Tenants {
            isolation: tenants.isolation,
            key: tenants.key.clone(),
            tiers: tiers
                .map(|(name, own)| (name.to_string(), self.objectives(*own)))
                .collect(),
        }
    }
}

fn groups(
    draft: &Draft<'_>,
    stores: &BTreeMap<ComponentId, Store>,
    workloads: &BTreeMap<ComponentId, Workload>,
) -> Option<BTreeMap<crate::GroupId, Group>> {
    let mut groups = named(&draft.groups, |group, _| {
        Some(Group {
            stores: group.stores.clone(),
            on_skew: group.on_skew,
            check: group.check.clone(),
        })
    })?;
    defaults::groups(&mut groups, stores, workloads);
    Some(groups)
}

fn detect(detect: &DetectShape) -> Detect {
    let act = detect.act.iter().map(|act| StandingAct {
        scenario: act.scenario,
        accept_loss: act.accept_loss,
        until: act.until.0,
    });
    Detect {
        observers: detect.observers.clone(),
        every: detect.every,
        confirm: detect.confirm,
        cooldown: detect.cooldown,
        act: act.collect(),
    }
}

fn steps(
    draft: &Draft<'_>,
    document: &Document,
    folder: &str,
) -> Option<BTreeMap<String, TeamStep>> {
    named(&draft.steps, |step, entry| {
        Some(TeamStep {
            kind: step.kind.clone(),
            before: step.before,
            after: step.after,
            at: step.at.clone(),
            options: options(entry, folder, |field| {
                !document.is_common("StepShape", field)
            }),
            required: step.required,
            timeout: step.timeout,
        })
    })
}
