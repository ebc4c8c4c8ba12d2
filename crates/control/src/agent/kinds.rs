//! The pure halves of the two fences that every agent brings along: `agent` and `lease`.
//! Must not know how they fence.

use mainstay_model::{
    Class, Declared, FenceClass, Idempotence, Kind, KindSchema, Kinds, LossMode, SealStrength,
    Traits,
};
use serde_json::json;

/// Fences a site by its own agent: everything stopped, everything sealed (F2).
#[derive(Debug, Clone, Copy, Default)]
pub struct AgentKind;

/// Fences a store by letting its lease run out (F1).
#[derive(Debug, Clone, Copy, Default)]
pub struct LeaseKind;

/// Adds the kinds that agents bring along.
#[must_use]
pub fn with_builtin(kinds: Kinds) -> Kinds {
    kinds.with(AgentKind).with(LeaseKind)
}

fn no_options() -> KindSchema {
    let nothing = json!({ "type": "object", "additionalProperties": false });
    KindSchema {
        at: nothing.clone(),
        options: nothing,
    }
}

fn fence(class: FenceClass) -> Traits {
    Traits {
        fence: class,
        loss: LossMode::Disposable,
        seal: SealStrength::Enforced,
        idempotence: Idempotence::Idempotent,
    }
}

impl Kind for AgentKind {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn classes(&self) -> &'static [Class] {
        &[]
    }

    fn schema(&self, _: Class) -> KindSchema {
        no_options()
    }

    fn traits(&self, _: &Declared) -> Traits {
        fence(FenceClass::F2)
    }
}

impl Kind for LeaseKind {
    fn name(&self) -> &'static str {
        "lease"
    }

    fn classes(&self) -> &'static [Class] {
        &[]
    }

    fn schema(&self, _: Class) -> KindSchema {
        no_options()
    }

    fn traits(&self, _: &Declared) -> Traits {
        fence(FenceClass::F1)
    }
}
