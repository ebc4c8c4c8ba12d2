//! Every signal at every place of a step, in every circumstance, by the real transition function.
//! Must not interpret: a condition is listed if all circumstances with that result share it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mainstay_model::{Direction, Tri};

use crate::{
    Bugs, Look, StepState,
    machine::{
        About, Fate, Next, Permit, Place, Said, Shape, Signal, Stage, Task, Why, Word, transition,
    },
};

const STAGES: [(Stage, &str); 14] = [
    (Stage::Idle, "waits for other steps, or for its turn"),
    (Stage::Looking, "a look before acting is under way"),
    (
        Stage::Acting,
        "the intent is recorded, the action has no outcome yet",
    ),
    (Stage::Polling, "a long operation goes on and is polled"),
    (
        Stage::Recalling,
        "after a restart, or after an order that was not answered and has no goals, the poll has not answered yet",
    ),
    (
        Stage::Confirming,
        "the action said done, the goal is looked at",
    ),
    (
        Stage::Settling,
        "nobody knows the outcome, the goal is looked at",
    ),
    (Stage::Asking, "a question waits for a person"),
    (
        Stage::Unresolved,
        "the outcome cannot be told, a person decides",
    ),
    (
        Stage::Unsettled,
        "the outcome is unknown, the retreat undoes it",
    ),
    (Stage::Held, "the goal held before anything was done"),
    (Stage::Done, "over, as wanted"),
    (Stage::Failed, "over, not as wanted"),
    (Stage::Skipped, "a person went on without it"),
];

/// The section about steps.
pub(super) fn page() -> String {
    let mut page = String::from(
        "## A step\n\n\
         Each place on a step's way has a name inside the machine and a state that users see. Not listed signals are \
         refused at that place. \"when\" names what all circumstances with that result have in common.\n\n",
    );
    for direction in [Direction::Forward, Direction::Undo] {
        for (stage, meaning) in STAGES {
            let place = Place { direction, stage };
            if is_possible(place) {
                section(&mut page, place, meaning);
            }
        }
    }
    page
}

/// Undoing begins with an action, and is over once; it neither waits in a queue nor asks questions of its own.
fn is_possible(place: Place) -> bool {
    place.direction == Direction::Forward
        || !matches!(
            place.stage,
            Stage::Idle | Stage::Asking | Stage::Unsettled | Stage::Held
        )
}

fn section(page: &mut String, place: Place, meaning: &str) {
    let way = match place.direction {
        Direction::Forward => "forward",
        Direction::Undo => "undo",
    };
    let mut rows = String::new();
    let all = circumstances(place);
    for (signal, name) in signals() {
        for (result, when) in results(place, signal, &all) {
            // Writing to a String cannot fail.
            let _ = writeln!(rows, "| {name} | {result} | {when} |");
        }
    }
    let _ = write!(
        page,
        "### {way}: {:?} (`{}`)\n\n{}.\n\n",
        place.stage,
        visible(place),
        upper(meaning)
    );
    if rows.is_empty() {
        page.push_str("Nothing happens to it any more.\n\n");
    } else {
        let _ = write!(page, "| signal | goes to | when |\n|---|---|---|\n{rows}\n");
    }
}

fn upper(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn visible(place: Place) -> String {
    match place.state("", "") {
        StepState::Failed { .. } => "Failed".to_owned(),
        StepState::UndoFailed { .. } => "UndoFailed".to_owned(),
        StepState::Skipped { .. } => "Skipped".to_owned(),
        plain => format!("{plain:?}"),
    }
}

fn signals() -> Vec<(Signal, String)> {
    let mut all = vec![(Signal::Begin, "its turn comes".to_owned())];
    for (look, name) in [
        (Look::Before, "look before acting"),
        (Look::After, "look after acting"),
        (Look::Settle, "look to settle"),
    ] {
        for goals in [Tri::Holds, Tri::DoesNot, Tri::CannotTell] {
            // Only a look before acting asks about requirements.
            let asked: &[Tri] = match look {
                Look::Before => &[Tri::Holds, Tri::DoesNot, Tri::CannotTell],
                Look::After | Look::Settle => &[Tri::Holds],
            };
            for requires in asked {
                let signal = Signal::Saw {
                    look,
                    requires: *requires,
                    goals,
                };
                let about = match look {
                    Look::Before => format!(", requirements: {}", tri(*requires)),
                    Look::After | Look::Settle => String::new(),
                };
                all.push((signal, format!("{name}: goals: {}{about}", tri(goals))));
            }
        }
    }
    for (said, name) in [
        (Said::Done, "done"),
        (Said::Running, "goes on"),
        (Said::NotDone { may_pass: true }, "not done, may pass"),
        (Said::NotDone { may_pass: false }, "not done"),
        (Said::Stale, "somebody newer was here"),
        (Said::Unknown, "outcome unknown"),
    ] {
        all.push((Signal::Acted(said), format!("driver: {name}")));
    }
    for (signal, name) in [
        (Signal::Answered(Word::Yes), "a person says yes"),
        (Signal::Answered(Word::No), "a person says no"),
        (Signal::Late, "its time is over"),
        (Signal::Resumed, "a new executor"),
        (Signal::Withdrawn, "nothing new is to start"),
        (Signal::Retreat, "the retreat begins"),
        (Signal::Undo, "its turn to be undone comes"),
        (Signal::Retry, "a person retries"),
        (Signal::Skip, "a person skips"),
    ] {
        all.push((signal, name.to_owned()));
    }
    all
}

fn tri(answer: Tri) -> &'static str {
    match answer {
        Tri::Holds => "hold",
        Tri::DoesNot => "do not hold",
        Tri::CannotTell => "cannot be told",
    }
}

const FACTS: usize = 10;

/// The facts of one circumstance, by name.
type Facts = [(&'static str, &'static str); FACTS];

fn facts(about: &About) -> Facts {
    let yes = |fact: bool| if fact { "yes" } else { "no" };
    let body = match about.shape {
        Shape::Join => "join",
        Shape::Check => "check",
        Shape::Ask => "ask",
        Shape::Act => "act",
    };
    let permit = match about.permit {
        Permit::Go => "yes",
        Permit::Wait => "approval expired",
        Permit::NoAcceptance => "no acceptance",
    };
    let fate = match about.fate {
        Fate::Ask => "ask",
        Fate::Fail => "exception (advisory)",
        Fate::Undo => "retreat",
    };
    [
        ("body", body),
        ("has goals", yes(about.goals)),
        ("once only", yes(about.once)),
        ("tries left", yes(about.again)),
        ("late", yes(about.late)),
        ("long operation known", yes(about.handle)),
        ("acted before", yes(about.attempted)),
        ("run retreats", yes(about.leaving)),
        ("permit", permit),
        ("if it cannot be told", fate),
    ]
}

fn circumstances(place: Place) -> Cases {
    let forward = place.direction == Direction::Forward;
    let mut all = Vec::new();
    let shapes: &[Shape] = if forward {
        &[Shape::Join, Shape::Check, Shape::Ask, Shape::Act]
    } else {
        &[Shape::Act]
    };
    let fates: &[Fate] = if forward {
        &[Fate::Ask, Fate::Fail, Fate::Undo]
    } else {
        &[Fate::Ask]
    };
    for shape in shapes {
        for fate in fates {
            for permit in [Permit::Go, Permit::Wait, Permit::NoAcceptance] {
                for bits in 0..128_u8 {
                    let bit = |n: u8| bits & (1 << n) != 0;
                    let about = About {
                        shape: *shape,
                        goals: bit(0),
                        once: bit(1),
                        again: bit(2),
                        late: bit(3),
                        handle: bit(4),
                        leaving: bit(5),
                        attempted: bit(6),
                        irreversible: false,
                        fate: *fate,
                        permit,
                        bugs: Bugs::NONE,
                    };
                    if is_reachable(place, &about) {
                        all.push((about, facts(&about)));
                    }
                }
            }
        }
    }
    all
}

/// Leaves out circumstances that the run never puts a step into.
fn is_reachable(place: Place, about: &About) -> bool {
    let forward = place.direction == Direction::Forward;
    let permit = about.permit == Permit::Go || forward && place.stage == Stage::Looking;
    let acts = is_quiet(place.stage) || about.shape == Shape::Act;
    // A run that retreats lets go of looks and questions, and does not turn round twice.
    let stays = matches!(
        place.stage,
        Stage::Acting | Stage::Polling | Stage::Recalling
    );
    let leaving = !about.leaving || forward && stays && about.fate != Fate::Undo;
    let looked = !matches!(place.stage, Stage::Confirming | Stage::Settling) || about.goals;
    let joins = about.shape != Shape::Join || place.stage == Stage::Idle;
    let acted = about.attempted || !forward || acts && is_quiet(place.stage);
    let knows = !about.handle || about.attempted;
    permit && acts && leaving && looked && joins && acted && knows
}

/// Places that a step can be at without ever having acted.
fn is_quiet(stage: Stage) -> bool {
    !matches!(
        stage,
        Stage::Acting
            | Stage::Polling
            | Stage::Recalling
            | Stage::Confirming
            | Stage::Settling
            | Stage::Unresolved
            | Stage::Unsettled
    )
}

/// Circumstances with their facts.
type Cases = Vec<(About, Facts)>;

/// Each result of a signal, with what its circumstances share and other circumstances do not.
fn results(place: Place, signal: Signal, all: &Cases) -> Vec<(String, String)> {
    let mut groups: BTreeMap<String, Vec<&Facts>> = BTreeMap::new();
    for (about, facts) in all {
        if let Ok(next) = transition(place, signal, about) {
            groups.entry(describe(place, next)).or_default().push(facts);
        }
    }
    let everything: Vec<&Facts> = all.iter().map(|(_, facts)| facts).collect();
    let mut rows = Vec::new();
    for (result, group) in groups {
        let shared = (0..FACTS).filter_map(|at| {
            let (here, anywhere) = (values(&group, at), values(&everything, at));
            let words: Vec<_> = here.iter().copied().collect();
            let name = group[0][at].0;
            (here.len() < anywhere.len()).then(|| format!("{name}: {}", words.join(" or ")))
        });
        rows.push((result, shared.collect::<Vec<_>>().join("; ")));
    }
    rows
}

fn values(of: &[&Facts], at: usize) -> BTreeSet<&'static str> {
    of.iter().map(|facts| facts[at].1).collect()
}

fn describe(from: Place, next: Next) -> String {
    let way = match (from.direction, next.place.direction) {
        (Direction::Forward, Direction::Undo) => "undo: ",
        _ => "",
    };
    let then = match next.task {
        Task::None | Task::Queue => "",
        Task::Look(..) => ", looks",
        Task::Act | Task::Repeat => ", acts",
        Task::Poll => ", polls",
        Task::PollAgain => ", polls after a while",
        Task::Ask => ", asks",
    };
    let why = match next.why.map(Why::code) {
        None => String::new(),
        Some(None) => ": the driver's code".to_owned(),
        Some(Some(code)) => format!(": `{code}`"),
    };
    format!(
        "{way}{:?} (`{}`){why}{then}",
        next.place.stage,
        visible(next.place)
    )
}
