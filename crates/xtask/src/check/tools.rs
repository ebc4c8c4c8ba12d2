//! The two checks that the Rust tool chain makes itself: format and lints.

use super::house::House;
use super::report::Report;
use crate::error::Error;
use crate::process;

/// `cargo fmt --check` over the workspace.
pub(crate) fn format(house: &House) -> Result<Report, Error> {
    passes(house, &["fmt", "--all", "--check"], "cargo fmt --all")
}

/// clippy over every target with every feature, warnings refused.
pub(crate) fn lints(house: &House) -> Result<Report, Error> {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
    ];
    let args: Vec<&str> = args.into_iter().chain(["--", "-D", "warnings"]).collect();
    passes(house, &args, "mend what clippy says above")
}

fn passes(house: &House, args: &[&str], mend: &str) -> Result<Report, Error> {
    let mut report = Report::default();
    let status = process::run(process::cargo(&house.root).args(args))?;
    if !status.success() {
        report.find(format!("`cargo {}` ended with {status}: {mend}", args[0]));
    }
    Ok(report)
}
