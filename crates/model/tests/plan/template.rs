//! The file of `mainstay init` passes, with nothing to say about it, and so do the pieces that it has as comments.

use mainstay_model::template;

use crate::common::{check, found};

#[test]
fn the_template_passes() {
    assert_eq!(found(template()), "");
    let plan = check(template()).unwrap().plan;
    assert_eq!(
        plan.stores.len() + plan.workloads.len() + plan.routes.len(),
        5
    );
}

#[test]
fn what_it_has_as_comments_passes_too() {
    let text: Vec<String> = (template().lines())
        .map(|line| {
            let bare = line.trim_start();
            let field = bare
                .strip_prefix("# ")
                .and_then(|rest| Some((rest, rest.split_once(':')?.0)));
            let known = [
                "lease",
                "act",
                "externals",
                "tenants",
                "windows",
                "contacts",
            ];
            match field.filter(|(_, name)| known.contains(name)) {
                Some((rest, _)) => format!("{}{rest}", &line[..line.len() - bare.len()]),
                None => line.to_owned(),
            }
        })
        .collect();
    let text = text.join("\n");
    let plan = check(&text)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .plan;
    assert!(plan.tenants.is_some() && plan.stores["ledger"].lease.is_some());
    assert_eq!(plan.detect.unwrap().act.len(), 1);
}
