//! Which of the agent's environment variables its programs may see.
//! Must not know the programs.

use std::ffi::OsString;

/// Variables that a program may need; everything else, secrets of the agent included, stays with the agent.
const PASSED_ON: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Those of them that are set.
pub(crate) fn passed_on() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED_ON
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
}
