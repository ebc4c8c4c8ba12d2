//! The mover's death, and who carries on: the journal is read back, and must say the same.
//! Must not decide what a resumed run does.

use mainstay_engine::{Event, Illegal, Run, RunPhase, Seq, read_log_with, unfinished_with};
use mainstay_model::{ExecutorEpoch, PersonId, Pinned, Runbook, Span};

use super::{Active, Memory, Parked, disk::Disk};
use crate::{
    bugs::Own,
    clock::{MS, SECOND},
    faults::Kind,
    options::Dies,
    topology::name,
    world::{Ev, World},
};

/// What two runs say about themselves, where they differ.
fn differ(a: &Run, b: &Run) -> Option<String> {
    if a.phase() != b.phase() {
        return Some(format!("phase {:?} became {:?}", a.phase(), b.phase()));
    }
    if a.executor() != b.executor() || a.head() != b.head() {
        return Some("executor or head".to_owned());
    }
    if a.next_wake() != b.next_wake() {
        return Some(format!(
            "timer {:?} became {:?}",
            a.next_wake(),
            b.next_wake()
        ));
    }
    let mut steps = a.steps().zip(b.steps());
    let found = steps.find(|(a, b)| a != b);
    found.map(|(a, b)| format!("{a:?} became {b:?}"))
}

impl World {
    /// The mover's process dies.
    pub(crate) fn mover_dies(&mut self, kind: Kind) {
        let Some(active) = self.mover.active.take() else {
            return;
        };
        self.fault(kind);
        self.mover.deaths += 1;
        self.trace.say(self.now, || "the mover dies".to_owned());
        self.check_replay(&active);
        let Active {
            pinned,
            mut disk,
            memory,
            ..
        } = active;
        disk.crash(&mut self.fault_dice);
        self.mover.parked.push(Parked {
            runbook: pinned,
            disk,
            memory,
        });
        self.mover.down = true;
        let back = self.fault_dice.between(300 * MS, 25 * SECOND);
        self.at(self.now + back, Ev::MoverUp);
    }

    /// It comes back, and mostly carries on where it was.
    pub(crate) fn mover_up(&mut self) {
        self.mover.down = false;
        // A run that is over on disk needs nobody, and whoever comes next sees that.
        let last = self.mover.parked.last();
        let another = last.is_some_and(|parked| !self.phase_on_disk(parked).is_over())
            && self.options.faults
            && !matches!(self.options.dies, Dies::AtEntry(_))
            && self.fault_dice.chance(120);
        if another {
            // Somebody else moves first; the old run is found again later.
            self.fault(Kind::SecondMover);
            return;
        }
        self.resume_parked();
    }

    /// Carries on with the newest parked run.
    pub(crate) fn resume_parked(&mut self) {
        if self.mover.active.is_some() {
            return;
        }
        let Some(parked) = self.mover.parked.pop() else {
            return;
        };
        let Parked {
            runbook,
            mut disk,
            memory,
        } = parked;
        let Some(run) = self.read_back(&runbook, &mut disk, &memory) else {
            return;
        };
        let over = run.phase().is_over();
        let before = run.executor();
        self.activate((run, runbook), disk, memory);
        if over {
            let phase = self.mover.active.as_ref().map(|it| it.run.phase());
            self.finish(phase.unwrap_or(RunPhase::Cancelled));
            return;
        }
        self.check_newest();
        self.old_executor_is_refused(before);
        let executor = self.next_executor();
        self.greet();
        let by = name::<PersonId>("ben");
        let said = self.feed(&Event::Resumed { executor, by });
        let now = self.mover.active.as_ref().map(|it| it.run.executor());
        if said.is_ok() && now.is_some_and(|now| now != executor) {
            let words = format!("executor {now:?} executes, {executor:?} resumed");
            self.checks.fail(self.now, "I20", words);
        }
    }

    /// Whether an earlier run keeps a new one from beginning, by the dispatcher's rule.
    pub(super) fn leaves_unfinished(&self) -> bool {
        let runs = self.mover.parked.iter();
        let runs = runs.map(|parked| ((), self.phase_on_disk(parked)));
        unfinished_with(runs, self.options.engine).is_some()
    }

    /// What a run's journal says of it. One that has no entry was never there.
    fn phase_on_disk(&self, parked: &Parked) -> RunPhase {
        let (disk, bugs) = (&parked.disk, self.options.engine);
        match read_log_with(&disk.synced, disk.durable, bugs) {
            Ok(log) if log.entries.is_empty() => RunPhase::Cancelled,
            Ok(log) => Run::replay_with(parked.runbook.clone(), log.entries, bugs)
                .map_or(RunPhase::Running, |run| run.phase()),
            Err(_) => RunPhase::Running,
        }
    }

    fn old_executor_is_refused(&mut self, old: ExecutorEpoch) {
        let now = self.mover_now();
        let Some(active) = &self.mover.active else {
            return;
        };
        let mut copy = active.run.clone();
        let event = Event::Resumed {
            executor: old,
            by: name("eve"),
        };
        if !matches!(copy.handle(&event, now), Err(Illegal::OldExecutor { .. })) {
            let words = format!("executor {} resumed twice", old.0);
            self.checks.fail(self.now, "I20", words);
        }
    }

    /// The run as its disk tells it.
    fn read_back(&mut self, runbook: &Pinned, disk: &mut Disk, memory: &Memory) -> Option<Run> {
        let bytes = disk.synced.clone();
        let log = match read_log_with(&bytes, disk.durable, self.options.engine) {
            Ok(log) => log,
            Err(damage) => {
                let words = format!("an undamaged journal was refused: {damage}");
                self.checks.fail(self.now, "I18", words);
                return None;
            }
        };
        let mut entries = log.entries.clone();
        let mut end = log.end;
        if self.has(Own::RecoveryDropsTail)
            && entries.len() > 1
            && let Some(last) = entries.pop()
        {
            end -= last.len();
        }
        if entries.is_empty() {
            if !memory.handed.is_empty() {
                let words = "effects were handed out and no entry survived".to_owned();
                self.checks.fail(self.now, "I16", words);
            }
            self.begin_again();
            return None;
        }
        let last = Seq(u64::try_from(entries.len()).unwrap_or(0));
        let run = Run::replay_with(runbook.clone(), entries, self.options.engine);
        disk.cut(end, last);
        match run {
            Ok(run) => {
                self.check_intents(&run, memory);
                Some(run)
            }
            Err(damage) => {
                let words = format!("an undamaged journal was not replayed: {damage}");
                self.checks.fail(self.now, "I18", words);
                None
            }
        }
    }

    /// Everything that was ever handed out is in the journal.
    fn check_intents(&mut self, run: &Run, memory: &Memory) {
        for ((step, direction), attempt) in &memory.handed {
            let (forward, back) = run.attempts(*step);
            let known = match direction {
                mainstay_model::Direction::Forward => forward,
                mainstay_model::Direction::Undo => back,
            };
            if known < *attempt {
                let words = format!(
                    "attempt {attempt} of step {} was handed out, the journal knows {known}",
                    step.0
                );
                self.checks.fail(self.now, "I16", words);
            }
        }
    }

    /// A replay of everything that was written says what the living run says (I17).
    pub(crate) fn check_replay(&mut self, active: &Active) {
        let mut disk = active.disk.clone();
        disk.sync();
        let log = match read_log_with(&disk.synced, disk.durable, self.options.engine) {
            Ok(log) => log,
            Err(damage) => {
                self.checks.fail(self.now, "I18", damage.to_string());
                return;
            }
        };
        let runbook = active.pinned.clone();
        match Run::replay_with(runbook, log.entries.iter().copied(), self.options.engine) {
            Ok(run) => {
                if let Some(words) = differ(&active.run, &run) {
                    self.checks.fail(self.now, "I17", words);
                }
            }
            Err(damage) => self.checks.fail(self.now, "I17", damage.to_string()),
        }
        self.check_damage(active, &disk);
    }

    /// A damaged journal and a changed runbook are noticed (I18, I19).
    fn check_damage(&mut self, active: &Active, disk: &Disk) {
        let bugs = self.options.engine;
        let Ok(log) = read_log_with(&disk.synced, disk.durable, bugs) else {
            return;
        };
        let entries: Vec<&[u8]> = log.entries.clone();
        let mut bytes = disk.synced.clone();
        match self.fault_dice.below(3) {
            0 => {
                let at = self.fault_dice.index(bytes.len());
                bytes[at] ^= 1 << self.fault_dice.below(8);
            }
            1 => {
                let keep = entries.len() - 1;
                bytes = entries[..keep].concat();
            }
            _ if entries.len() > 2 => {
                let at = 1 + self.fault_dice.index(entries.len() - 2);
                let mut other = entries.clone();
                other.swap(at, at + 1);
                bytes = other.concat();
            }
            _ => return,
        }
        let runbook = active.pinned.clone();
        let noticed = match read_log_with(&bytes, disk.durable, bugs) {
            Err(_) => true,
            Ok(log) => Run::replay_with(runbook.clone(), log.entries, bugs).is_err(),
        };
        if !noticed {
            let words = "a damaged journal was read as if nothing were wrong".to_owned();
            self.checks.fail(self.now, "I18", words);
        }
        // The same for a journal that is kept entry by entry.
        let mut whole: Vec<Vec<u8>> = entries.iter().map(|entry| entry.to_vec()).collect();
        let at = self.fault_dice.index(whole.len());
        let byte = self.fault_dice.index(whole[at].len());
        whole[at][byte] ^= 1 << self.fault_dice.below(8);
        let damaged = whole.iter().map(Vec::as_slice);
        if Run::replay_with(runbook.clone(), damaged, bugs).is_ok() {
            let words = format!("a damaged entry {} was replayed", at + 1);
            self.checks.fail(self.now, "I18", words);
        }
        let mut other = Runbook::clone(&runbook.runbook);
        other.estimate = Span(other.estimate.0 ^ 1);
        if let Some(step) = other.steps.last_mut() {
            step.after.clear();
        }
        if Run::replay_with(other, entries, bugs).is_ok() {
            let words = "a journal was replayed with another runbook".to_owned();
            self.checks.fail(self.now, "I19", words);
        }
    }
}
