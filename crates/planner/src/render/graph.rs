//! The graph of steps as DOT (Graphviz) and as Mermaid. Joins are small, the longest chain is bold.
//! Must not know what a step does.

use std::{collections::BTreeSet, fmt::Write as _};

use mainstay_model::{Body, Necessity, Step, StepId};

use crate::Planned;

/// The graph in Graphviz's language.
#[must_use]
pub fn dot(planned: &Planned) -> String {
    let critical: BTreeSet<StepId> = planned.forecast.critical.iter().copied().collect();
    let mut text =
        String::from("digraph runbook {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    for step in &planned.runbook.steps {
        let label = escape(&label(step));
        let shape = match step.body {
            Body::Join => ", shape=ellipse",
            Body::Ask(_) => ", shape=diamond",
            Body::Check | Body::Act(_) => "",
        };
        let width = if critical.contains(&step.id) {
            ", penwidth=3"
        } else {
            ""
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  s{} [label=\"{label}\"{shape}{width}];", step.id.0);
    }
    for step in &planned.runbook.steps {
        for before in &step.after {
            let both = critical.contains(before) && critical.contains(&step.id);
            let bold = if both { " [penwidth=3]" } else { "" };
            let _ = writeln!(text, "  s{} -> s{}{bold};", before.0, step.id.0);
        }
    }
    text.push_str("}\n");
    text
}

/// The graph in Mermaid's language.
#[must_use]
pub fn mermaid(planned: &Planned) -> String {
    let mut text = String::from("flowchart LR\n");
    for step in &planned.runbook.steps {
        let label = label(step).replace('"', "#quot;");
        let (open, close) = match step.body {
            Body::Join => ("([", "])"),
            Body::Ask(_) => ("{", "}"),
            Body::Check | Body::Act(_) => ("[", "]"),
        };
        let _ = writeln!(text, "  s{}{open}\"{label}\"{close}", step.id.0);
    }
    for step in &planned.runbook.steps {
        for before in &step.after {
            let _ = writeln!(text, "  s{} --> s{}", before.0, step.id.0);
        }
    }
    let longest = planned.forecast.critical.iter();
    let longest: Vec<String> = longest.map(|id| format!("s{}", id.0)).collect();
    if !longest.is_empty() {
        let names = longest.join(",");
        let _ = writeln!(text, "  classDef longest stroke-width:3px");
        let _ = writeln!(text, "  class {names} longest");
    }
    text
}

fn label(step: &Step) -> String {
    let advisory = match step.necessity {
        Necessity::Required => "",
        Necessity::Advisory => " (advisory)",
    };
    if matches!(step.body, Body::Join) {
        return step.title();
    }
    format!("{}{advisory}, {}", step.title(), step.estimate)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
