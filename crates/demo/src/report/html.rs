//! The report as one HTML file that needs nothing else: no script, no font, no other request.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::scale::seconds_between;
use super::story::{ActStory, Report};
use super::table::{COLUMNS, time};
use super::timeline::timeline;
use crate::result::{Act, DemoResult};

const STYLE: &str = include_str!("style.css");

/// Renders the report.
#[must_use]
pub fn render(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Mainstay demo: what was promised and what was measured" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Two sites, one application, and a disaster" }
                p class="soft" {
                    "Played " (report.played_at) " on " (report.result.database)
                    " with Mainstay " (report.version) ". Every figure was measured."
                }
                (verdict(&report.result))
                (figures(&report.result))
                @for story in &report.stories { (act(story)) }
                footer {
                    p {
                        "A write counts as lost when a client had its acknowledgement and the "
                        "surviving site lacks its row, its attachment, or the attachment's bytes. "
                        "The loss bound is what was shown before the move."
                    }
                }
            }
        }
    };
    page.into_string()
}

fn verdict(result: &DemoResult) -> Markup {
    let broken: Vec<String> = result
        .acts
        .iter()
        .filter(|act| !act.keeps_its_promise())
        .map(|act| act.act.to_string())
        .collect();
    html! {
        @if result.ok {
            p class="verdict ok" { "Every promise was kept." }
        } @else if broken.is_empty() {
            p class="verdict broken" { "The demo did not come to its end." }
        } @else {
            p class="verdict broken" { "A promise was broken: " (broken.join(", ")) "." }
        }
    }
}

fn figures(result: &DemoResult) -> Markup {
    html! {
        div class="wide" {
            table {
                thead { tr {
                    th { "act" }
                    @for (heading, _) in COLUMNS { th { (heading) } }
                } }
                tbody {
                    @for act in &result.acts {
                        tr {
                            td { (title(act.act)) }
                            @for (_, cell) in COLUMNS { td { (cell(act)) } }
                        }
                    }
                }
            }
        }
    }
}

fn act(story: &ActStory) -> Markup {
    html! {
        section {
            h2 { (title(story.act)) }
            p { (story.summary) }
            p class="legend" {
                @for (number, site) in story.sites.iter().enumerate() {
                    span { i class=(format!("site-{number}")) {} "served by " (site) }
                }
                @for (class, label) in [
                    ("ready", "getting ready"), ("data", "data"), ("start", "starting"),
                    ("traffic", "commit and traffic"),
                ] {
                    span { i class=(class) {} (label) }
                }
            }
            div class="wide" { (timeline(story)) }
            (recorded_lost(story))
            (details(story))
        }
    }
}

fn recorded_lost(story: &ActStory) -> Markup {
    html! {
        @if !story.recorded_lost.is_empty() {
            details {
                summary { "Attachments recorded as lost: " (story.recorded_lost.len()) }
                p {
                    "The database had reached the other site before these orders' attachments had. The application \
                     compared the two before it started there, and recorded them; its own check then accepted exactly \
                     these."
                }
                p class="soft" { (story.recorded_lost.join(", ")) }
            }
        }
    }
}

fn details(story: &ActStory) -> Markup {
    html! {
        @if !story.steps.is_empty() {
            details {
                summary { (story.steps.len()) " steps" }
                div class="wide" {
                    table {
                        thead { tr {
                            th { "step" } th { "phase" } th { "at" } th { "took" } th { "outcome" }
                        } }
                        tbody {
                            @for step in &story.steps {
                                tr {
                                    td { (step.step) }
                                    td class="left" { (step.phase) }
                                    td class="left" { (step.at) }
                                    td { (time(Some(seconds_between(step.from_us, step.to_us)))) }
                                    td class="left" { (format!("{:?}", step.outcome).to_lowercase()) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn title(act: Act) -> &'static str {
    match act {
        Act::Switchover => "Switchover under load",
        Act::SiteLoss => "Sudden loss of a site",
        Act::Failback => "The way home",
        Act::CrashResume => "Mainstay killed within a move",
        Act::Restore => "Data destroyed by an application error",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::load::{Gap, Served};
    use crate::report::story::{Landmark, LandmarkKind, Outcome, StepSpan};
    use crate::result::ActResult;

    fn report() -> Report {
        let second = |number: u64| 1_000_000_000 + number * 1_000_000;
        let mut figures = ActResult::new(Act::SiteLoss);
        (figures.lost, figures.true_loss_s) = (Some(2), Some(0.25));
        (figures.reported_loss_bound_s, figures.rto_s) = (Some(1.0), Some(3.0));
        let step = |step: &str, phase: &str, from: u64, to: u64| StepSpan {
            step: step.to_owned(),
            phase: phase.to_owned(),
            at: "dr".to_owned(),
            from_us: second(from),
            to_us: second(to),
            outcome: Outcome::Done,
        };
        let served = (0..8).map(|number| Served {
            from_us: second(number),
            by_site: BTreeMap::from([match number {
                0..=2 => ("prod".to_owned(), 200),
                3..=5 => ("dr".to_owned(), 0),
                _ => ("dr".to_owned(), 190),
            }]),
            failed: u64::from((3..=5).contains(&number)),
        });
        let mark = |at: u64, kind, label: &str| Landmark {
            at_us: second(at),
            kind,
            label: label.to_owned(),
        };
        Report {
            result: DemoResult::new("sqlite", vec![figures]),
            played_at: "2026-11-26 02:00".to_owned(),
            version: "0.1.0".to_owned(),
            stories: vec![ActStory {
                act: Act::SiteLoss,
                summary: "prod was killed <at once> & noticed.".to_owned(),
                sites: vec!["prod".to_owned(), "dr".to_owned()],
                steps: vec![
                    step("fence prod", "fence", 4, 5),
                    step("shift app", "shift", 5, 6),
                ],
                landmarks: vec![
                    mark(3, LandmarkKind::Kill, "prod killed"),
                    mark(4, LandmarkKind::Detect, "noticed"),
                ],
                outage: Some(Gap {
                    from_us: second(3),
                    to_us: second(6),
                }),
                served: served.collect(),
                slice_us: 1_000_000,
                recorded_lost: vec!["t01/o-7".to_owned()],
            }],
        }
    }

    #[test]
    fn the_page_is_whole_escaped_and_needs_nothing_else() {
        let page = render(&report());
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
        assert!(page.contains("prod was killed &lt;at once&gt; &amp; noticed."));
        assert!(page.contains("Every promise was kept."));
        assert!(page.contains("Attachments recorded as lost: 1") && page.contains("t01/o-7"));
        for outside in ["http://", "https://", "<script", "<link", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        let mut broken = report();
        broken.result.acts[0].true_loss_s = Some(1.5);
        broken.result.ok = false;
        assert!(render(&broken).contains("A promise was broken: site-loss."));
    }

    #[test]
    fn an_act_is_drawn_to_scale() {
        let story = &report().stories[0];
        insta::assert_snapshot!(
            "site_loss",
            timeline(story).into_string().replace("><", ">\n<")
        );
    }

    #[test]
    fn an_act_of_which_nothing_is_known_is_still_a_page() {
        let mut empty = report();
        let story = &mut empty.stories[0];
        story.steps.clear();
        story.landmarks.clear();
        story.served.clear();
        story.outage = None;
        story.slice_us = 0;
        assert!(!render(&empty).contains("NaN"));
    }
}
