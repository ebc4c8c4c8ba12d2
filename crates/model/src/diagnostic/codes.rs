//! Every code that this crate gives to a problem. A code keeps its meaning for ever; each has a page in `docs/errors/`.

/// Codes and their titles, in order.
pub const CODES: &[(&str, &str)] = code::ALL;

/// Every code of this crate with its title, for `mainstay explain` and the house check.
#[must_use]
pub fn codes() -> &'static [(&'static str, &'static str)] {
    CODES
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        /// The codes by name.
        pub(crate) mod code {
            $(pub(crate) const $name: &str = $code;)*
            pub(super) const ALL: &[(&str, &str)] = &[$(($code, $title)),*];
        }
    };
}

codes! {
    TOO_LARGE = "MS1001", "the plan file is too large";
    NOT_TEXT = "MS1002", "the plan file is not text";
    SYNTAX = "MS1003", "the plan file is not YAML";
    BUDGET = "MS1004", "the plan file is nested too deeply or has too many values";
    NOT_PLAIN = "MS1005", "the plan file uses a part of YAML that plan files do without";
    DUPLICATE = "MS1006", "a key is written twice";
    KEY = "MS1007", "a key is not a plain word";
    VERSION = "MS1008", "the plan file has another version";
    UNKNOWN_FIELD = "MS1101", "an unknown field";
    MISSING_FIELD = "MS1102", "a field is missing";
    WRONG_TYPE = "MS1103", "a value of another type is expected";
    BAD_VALUE = "MS1104", "the value is not one of those that are possible";
    UNIT = "MS1105", "a quantity without a unit";
    SECRET = "MS1106", "a secret is written as a value";
    UNKNOWN_KIND = "MS1107", "an unknown kind";
    WRONG_CLASS = "MS1108", "a kind is used for the wrong class of component";
    BAD_NAME = "MS1109", "a name has characters that names do not have";
    KIND_SAYS = "MS1110", "the kind refuses these options";
    UNKNOWN_SITE = "MS1201", "an unknown site";
    UNKNOWN_COMPONENT = "MS1202", "an unknown component";
    UNKNOWN_REPOSITORY = "MS1203", "an unknown repository";
    NAME_TWICE = "MS1204", "one name for two components";
    PLACEMENT = "MS1205", "a component is placed where it cannot be";
    ORDER_CYCLE = "MS1206", "workloads wait for each other";
    VIA = "MS1207", "a route does not lead to the store that is used through it";
    SERVES_NOTHING = "MS1208", "a route serves nothing";
    AT_WITNESS = "MS1209", "a component at a witness";
    NO_SECOND_SITE = "MS1210", "there is no second site";
    GROUPED_TWICE = "MS1211", "a store is in two groups";
    ANCHOR = "MS1212", "a team's step has no place in a run, or two";
    UNPROTECTED = "MS1301", "a store has neither a copy nor a backup";
    RPO = "MS1302", "the recovery point objective cannot be met";
    RTO = "MS1303", "the recovery time objective cannot be met";
    ONE_DOMAIN = "MS1304", "two sites in one failure domain";
    BACKUP_DOMAIN = "MS1305", "a backup lies in the failure domain of what it protects";
    QUORUM = "MS1306", "too few observers outside of the failure domain that they watch";
    NO_FENCE = "MS1307", "Mainstay cannot act alone: a store has no sure fence";
    NO_WITNESS = "MS1308", "a lease without a witness";
    EXPIRED = "MS1309", "a standing acceptance has expired";
    NO_PROVISION = "MS1310", "a cold standby that nobody can provision";
    WINDOW = "MS1311", "a window ends before it begins";
    ONE_SITE = "MS1312", "a component is declared at one site only";
}
