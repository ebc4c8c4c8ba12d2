//! The pure half of `haproxy`: its options, its promises, when a route is as wanted.
//! Must not know the runtime API.

use std::collections::BTreeMap;

use mainstay_model::{
    Class, Complaint, Declared, FenceClass, Goal, Idempotence, Kind, KindSchema, LossMode, Sample,
    SealStrength, Timestamp, Traits, Tri,
};

use super::{
    options::{HaproxyOptions, HaproxyTarget},
    state::scaled,
};
use crate::shared::{routed, schema_of};

/// The key of [`mainstay_model::Facts::extra`] under which servers that do not fit the plan file are reported.
pub(super) const ODD: &str = "odd-servers";

/// Routes in HAProxy.
#[derive(Debug, Clone, Copy, Default)]
pub struct HaproxyKind;

impl Kind for HaproxyKind {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Route]
    }

    fn schema(&self, _class: Class) -> KindSchema {
        KindSchema {
            at: schema_of::<HaproxyTarget>(),
            options: schema_of::<HaproxyOptions>(),
        }
    }

    fn check(&self, declared: &Declared) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        let mut complain = |path: &[&str], what: String, help: &str| {
            complaints.push(Complaint {
                path: path.iter().map(|key| (*key).to_owned()).collect(),
                what,
                help: Some(help.to_owned()),
            });
        };
        if let Ok(options) = HaproxyOptions::of(declared) {
            for socket in &options.sockets {
                let known = socket.starts_with("unix:")
                    || (socket.starts_with("tcp:") && socket.matches(':').count() >= 2);
                if !known {
                    complain(
                        &["sockets"],
                        format!("{socket:?} is no runtime API address"),
                        "write unix:PATH or tcp:HOST:PORT",
                    );
                }
            }
        }
        let mut owner = BTreeMap::new();
        for (site, at) in &declared.at {
            let Ok(HaproxyTarget(servers)) = serde_json::from_value(at.clone()) else {
                continue;
            };
            for server in servers {
                let path = ["to", site.as_str()];
                let plain = server.split('/').count() == 2
                    && !server.starts_with('/')
                    && !server.ends_with('/')
                    && !server.contains(|c: char| c.is_whitespace() || c.is_control() || c == ';');
                if !plain {
                    complain(
                        &path,
                        format!("{server:?} is no server's name"),
                        "write BACKEND/SERVER",
                    );
                }
                if let Some(other) = owner.insert(server.clone(), site).filter(|s| *s != site) {
                    complain(
                        &path,
                        format!("{server} is a server of {other} too"),
                        "give each site servers of its own: they tell which site gets traffic",
                    );
                }
            }
        }
        complaints
    }

    fn traits(&self, _declared: &Declared) -> Traits {
        Traits {
            // HAProxy keeps the epoch but does not compare it: Mainstay does, under a lock of its own agent.
            fence: FenceClass::F0,
            loss: LossMode::Disposable,
            seal: SealStrength::Asserted,
            idempotence: Idempotence::Idempotent,
        }
    }

    fn holds(&self, goal: &Goal, sample: &Sample, now: Timestamp) -> Tri {
        routed(goal, sample, now, ODD, |seen, wanted| {
            *seen == scaled(wanted)
        })
    }
}
