//! What is left to do, for threads that help each other: folders and files last in, first out, so that few are open
//! at a time; chunks of a large file before anything else, and only when somebody has nothing to do.
//! Must not know what the tasks are.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Something to do.
pub(super) enum Work<T, C> {
    Task(T),
    Chunk(C),
}

/// Tasks and chunks that wait.
pub(super) struct Queue<T, C> {
    state: Mutex<State<T, C>>,
    wake: Condvar,
    /// How many threads wait, less how many chunks wait for them.
    spare: AtomicUsize,
}

struct State<T, C> {
    tasks: Vec<T>,
    chunks: VecDeque<C>,
    working: usize,
    waiting: usize,
    over: bool,
}

/// So long a thread waits for others before it looks for something to help with.
const PATIENCE: Duration = Duration::from_millis(2);

impl<T, C> Queue<T, C> {
    pub(super) fn new(first: T) -> Self {
        Self {
            state: Mutex::new(State {
                tasks: vec![first],
                chunks: VecDeque::new(),
                working: 0,
                waiting: 0,
                over: false,
            }),
            wake: Condvar::new(),
            spare: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T, C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next thing to do, or nothing when all is done. What is taken must be followed by [`Queue::finished`].
    pub(super) fn next(&self) -> Option<Work<T, C>> {
        let mut state = self.state();
        loop {
            if state.over {
                return None;
            }
            if let Some(chunk) = state.chunks.pop_front() {
                state.working += 1;
                return Some(Work::Chunk(chunk));
            }
            if let Some(task) = state.tasks.pop() {
                state.working += 1;
                return Some(Work::Task(task));
            }
            if state.working == 0 {
                state.over = true;
                self.wake.notify_all();
                return None;
            }
            state.waiting += 1;
            self.spare.fetch_add(1, Ordering::Relaxed);
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
            self.note(&state);
        }
    }

    fn note(&self, state: &State<T, C>) {
        let spare = state.waiting.saturating_sub(state.chunks.len());
        self.spare.store(spare, Ordering::Relaxed);
    }

    /// Says that what was taken is done.
    pub(super) fn finished(&self) {
        let mut state = self.state();
        state.working -= 1;
        if state.working == 0 && state.tasks.is_empty() && state.chunks.is_empty() {
            self.wake.notify_all();
        }
    }

    /// Adds tasks; the first of them is done first.
    pub(super) fn add(&self, tasks: impl DoubleEndedIterator<Item = T>) {
        let mut state = self.state();
        let before = state.tasks.len();
        state.tasks.extend(tasks.rev());
        match state.tasks.len() - before {
            0 => {}
            1 => self.wake.notify_one(),
            _ => self.wake.notify_all(),
        }
    }

    /// Whether somebody waits for a chunk. A guess, without waiting.
    pub(super) fn has_spare(&self) -> bool {
        self.spare.load(Ordering::Relaxed) > 0
    }

    /// Hands a chunk to somebody who waits.
    pub(super) fn hand_over(&self, chunk: C) {
        let mut state = self.state();
        state.chunks.push_back(chunk);
        self.note(&state);
        drop(state);
        self.wake.notify_all();
    }

    /// A chunk that nobody has begun with.
    pub(super) fn help(&self) -> Option<C> {
        let mut state = self.state();
        let chunk = state.chunks.pop_front();
        self.note(&state);
        chunk
    }

    /// Waits a little for others.
    pub(super) fn pause() {
        std::thread::sleep(PATIENCE);
    }

    /// Ends everything, whatever is left.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.over = true;
        state.tasks.clear();
        state.chunks.clear();
        self.wake.notify_all();
    }
}
