//! One act as a picture: who served how much, the outage, landmarks, and a bar per step. Drawn on
//! the server as SVG; colours come from the page's style sheet.

use maud::{Markup, html};

use super::scale::{GUTTER, Scale, WIDTH, rows, seconds_between, text_width};
use super::story::{ActStory, Landmark, LandmarkKind, Outcome, StepSpan};
use super::table::time;
use crate::load::{Served, Window, seconds};

/// Height of a row of labels.
const LABEL: f64 = 15.0;
/// Height of the chart of requests.
const CHART: f64 = 96.0;
/// Height of the time axis.
const AXIS: f64 = 22.0;
/// Height of a step's row.
const ROW: f64 = 16.0;
/// Time shown before the first and after the last event.
const LEAD_US: u64 = 1_000_000;

/// Where the parts of one picture are.
struct Frame {
    scale: Scale,
    zero_us: u64,
    chart_top: f64,
    steps_top: f64,
    bottom: f64,
}

/// Draws an act.
pub(super) fn timeline(story: &ActStory) -> Markup {
    let window = shown(story);
    let scale = Scale::new(window);
    let zero_us = zero(story, window);
    let mut landmarks: Vec<&Landmark> = story.landmarks.iter().collect();
    landmarks.sort_by_key(|landmark| landmark.at_us);
    let places: Vec<_> = landmarks
        .iter()
        .map(|landmark| (scale.x(landmark.at_us), landmark.label.chars().count()))
        .collect();
    let label_rows = rows(&places);
    let highest = label_rows.iter().max().map_or(0, |row| row + 1);
    let chart_top = row_offset(highest, LABEL) + 8.0;
    let steps_top = chart_top + CHART + AXIS + 6.0;
    let bottom = steps_top + row_offset(story.steps.len(), ROW) + 4.0;
    let frame = Frame {
        scale,
        zero_us,
        chart_top,
        steps_top,
        bottom,
    };
    html! {
        svg class="timeline" viewBox=(format!("0 0 {WIDTH} {bottom:.0}")) role="img"
            aria-label=(format!("timeline of the act {}", story.act)) {
            (outage(story, &frame))
            (axis(&frame))
            (chart(story, window, &frame))
            (steps(story, &frame))
            @for ((landmark, (x, characters)), row) in landmarks.iter().zip(&places).zip(&label_rows) {
                (mark(landmark, *x, *characters, *row, &frame))
            }
        }
    }
}

/// The part of time that the act's events take, with a little around them.
fn shown(story: &ActStory) -> Window {
    let starts = story.steps.iter().map(|step| step.from_us);
    let ends = story.steps.iter().map(|step| step.to_us);
    let marks = story.landmarks.iter().map(|landmark| landmark.at_us);
    let outage = story.outage.iter().flat_map(|gap| [gap.from_us, gap.to_us]);
    let moments: Vec<u64> = starts.chain(ends).chain(marks).chain(outage).collect();
    let served = story.served.iter().map(|slice| slice.from_us);
    let first = moments
        .iter()
        .min()
        .copied()
        .or_else(|| served.clone().min());
    let last = moments.iter().max().copied().or_else(|| served.max());
    Window {
        from_us: first.unwrap_or_default().saturating_sub(LEAD_US),
        to_us: last.unwrap_or_default().saturating_add(LEAD_US),
    }
}

/// The moment that times are counted from: what set the act off.
fn zero(story: &ActStory, window: Window) -> u64 {
    let sets_off = |kind| matches!(kind, LandmarkKind::Begin | LandmarkKind::Kill);
    let marks = story
        .landmarks
        .iter()
        .filter(|landmark| sets_off(landmark.kind));
    let first = marks.map(|landmark| landmark.at_us).min();
    let step = story.steps.iter().map(|step| step.from_us).min();
    first.or(step).unwrap_or(window.from_us)
}

fn outage(story: &ActStory, frame: &Frame) -> Markup {
    let Some(gap) = story.outage else {
        return html! {};
    };
    let (from, to) = (frame.scale.x(gap.from_us), frame.scale.x(gap.to_us));
    let label = format!("no answer for {}", time(Some(gap.seconds())));
    // Beside the band when it is too narrow for the words.
    let inside = to - from > text_width(label.chars().count());
    let text_x = if inside {
        f64::midpoint(from, to)
    } else {
        to + 5.0
    };
    html! {
        g class="outage" {
            rect x=(px(from)) y=(px(frame.chart_top)) width=(px((to - from).max(1.0)))
                height=(px(frame.bottom - frame.chart_top)) { title { (label) } }
            text x=(px(text_x)) y=(px(frame.chart_top + 14.0))
                text-anchor=(if inside { "middle" } else { "start" }) { (label) }
        }
    }
}

fn axis(frame: &Frame) -> Markup {
    let base = frame.chart_top + CHART;
    html! {
        g class="axis" {
            line x1=(px(GUTTER)) x2=(px(WIDTH)) y1=(px(base)) y2=(px(base)) {}
            @for (x, at) in frame.scale.ticks(frame.zero_us) {
                line x1=(px(x)) x2=(px(x)) y1=(px(base)) y2=(px(base + 4.0)) {}
                text x=(px(x)) y=(px(base + 16.0)) text-anchor="middle" { (tick_label(at)) }
            }
        }
    }
}

fn chart(story: &ActStory, window: Window, frame: &Frame) -> Markup {
    let per_second = 1.0 / seconds(story.slice_us.max(1));
    let visible: Vec<&Served> = story
        .served
        .iter()
        .filter(|slice| window.contains(slice.from_us))
        .collect();
    let rate = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX)) * per_second;
    let total = |slice: &&Served| rate(slice.by_site.values().sum());
    let highest = visible.iter().map(total).fold(1.0, f64::max);
    let base = frame.chart_top + CHART;
    html! {
        g class="chart" {
            text x="0" y=(px(frame.chart_top + 12.0)) class="heading" { "served per second" }
            text x=(px(GUTTER - 6.0)) y=(px(frame.chart_top + 12.0)) text-anchor="end" {
                (format!("{highest:.0}"))
            }
            @for slice in visible {
                @let (from, to) = (frame.scale.x(slice.from_us),
                    frame.scale.x(slice.from_us + story.slice_us));
                @for (class, bottom, height, site, rate) in stack(story, slice, &rate) {
                    @let (y, h) = (base - (bottom + height) / highest * CHART, height / highest * CHART);
                    rect class=(class) x=(px(from)) y=(px(y)) height=(px(h))
                        width=(px((to - from).max(0.5))) {
                        title { (format!("{site}: {rate:.0} per second")) }
                    }
                }
                @if slice.failed > 0 {
                    rect class="failed" x=(px(from)) y=(px(base - 3.0)) height="3"
                        width=(px((to - from).max(0.5))) {
                        title { (slice.failed) " attempts without an answer" }
                    }
                }
            }
        }
    }
}

/// One slice's bars from the bottom up: class, bottom, height, site and rate.
fn stack<'a>(
    story: &'a ActStory,
    slice: &Served,
    rate: &impl Fn(u64) -> f64,
) -> Vec<(String, f64, f64, &'a str, f64)> {
    let mut bottom = 0.0;
    let mut bars = Vec::new();
    for (number, site) in story.sites.iter().enumerate() {
        let height = rate(slice.by_site.get(site).copied().unwrap_or_default());
        if height > 0.0 {
            bars.push((
                format!("site-{number}"),
                bottom,
                height,
                site.as_str(),
                height,
            ));
            bottom += height;
        }
    }
    bars
}

fn steps(story: &ActStory, frame: &Frame) -> Markup {
    let mut steps: Vec<&StepSpan> = story.steps.iter().collect();
    steps.sort_by(|a, b| (a.from_us, a.to_us, &a.step).cmp(&(b.from_us, b.to_us, &b.step)));
    let phases: Vec<&str> = steps.iter().map(|step| step.phase.as_str()).collect();
    html! {
        g class="steps" {
            @for (number, step) in steps.iter().enumerate() {
                @let y = frame.steps_top + row_offset(number, ROW);
                @let (from, to) = (frame.scale.x(step.from_us), frame.scale.x(step.to_us));
                @let took = time(Some(seconds_between(step.from_us, step.to_us)));
                @if number == 0 || phases.get(number - 1) != phases.get(number) {
                    text class="heading" x="0" y=(px(y + 11.0)) { (step.phase) }
                }
                text class="step" x=(px(GUTTER - 6.0)) y=(px(y + 11.0)) text-anchor="end" {
                    (shortened(&step.step))
                }
                rect class=(format!("bar {} {}", group(&step.phase), outcome(step.outcome)))
                    x=(px(from)) y=(px(y + 2.0)) rx="2" height=(px(ROW - 5.0))
                    width=(px((to - from).max(2.5))) {
                    title { (format!("{} ({}) at {}: {took}, {}", step.step, step.phase, step.at,
                        outcome(step.outcome))) }
                }
            }
        }
    }
}

fn mark(landmark: &Landmark, x: f64, characters: usize, row: usize, frame: &Frame) -> Markup {
    let y = row_offset(row, LABEL) + 11.0;
    // Near the right edge, the label goes to the left of its line.
    let fits = x + text_width(characters) + 8.0 < WIDTH;
    let (text_x, anchor) = if fits {
        (x + 4.0, "start")
    } else {
        (x - 4.0, "end")
    };
    html! {
        g class=(format!("landmark {}", kind(landmark.kind))) {
            line x1=(px(x)) x2=(px(x)) y1=(px(y - 9.0)) y2=(px(frame.bottom)) {}
            text x=(px(text_x)) y=(px(y)) text-anchor=(anchor) { (landmark.label) }
        }
    }
}

/// The four colours of bars: getting ready, the data, starting, and the traffic.
fn group(phase: &str) -> &'static str {
    match phase {
        "gate" | "provision" | "hold" | "drain" | "quiesce" => "ready",
        "seal" | "fence" | "recover-source" | "catch-up" | "promote" | "reconcile" | "salvage"
        | "rebuild" | "restore" => "data",
        "rebind" | "activate" | "verify" => "start",
        _ => "traffic",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Already => "already",
        Outcome::Failed => "failed",
        Outcome::Skipped => "skipped",
        Outcome::Undone => "undone",
    }
}

fn kind(kind: LandmarkKind) -> &'static str {
    match kind {
        LandmarkKind::Begin => "begin",
        LandmarkKind::Kill => "kill",
        LandmarkKind::Detect => "detect",
        LandmarkKind::Commit => "commit",
        LandmarkKind::Resume => "resume",
        LandmarkKind::FirstServed => "first-served",
    }
}

/// A step's name as it fits the gutter.
fn shortened(name: &str) -> String {
    if name.chars().count() <= 24 {
        return name.to_owned();
    }
    name.chars().take(23).chain(std::iter::once('…')).collect()
}

fn tick_label(at: f64) -> String {
    let text = if at.fract().abs() < 0.01 {
        format!("{at:.0} s")
    } else {
        format!("{at:.1} s")
    };
    if at > 0.0 { format!("+{text}") } else { text }
}

fn row_offset(rows: usize, height: f64) -> f64 {
    f64::from(u32::try_from(rows).unwrap_or_default()) * height
}

/// A length with one decimal: enough for a picture, and small.
fn px(value: f64) -> String {
    format!("{value:.1}")
}
