//! Patience by a clock that only the waits move.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    Created, Failure, Faulty, FaultyOp, Memory, ObjectName, Pace, Part, Patience, Patient, Storage,
    StorageError,
};

/// Notes every wait.
#[derive(Debug, Default)]
struct Still(Mutex<Vec<Duration>>);

impl Still {
    fn waits(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }
}

impl Pace for Still {
    fn now(&self) -> Duration {
        self.waits().iter().sum()
    }

    fn sleep(&self, time: Duration) {
        self.0.lock().unwrap().push(time);
    }

    fn random(&self) -> u64 {
        0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(self.waits().len() as u64 + 1)
    }
}

const PATIENCE: Patience = Patience {
    attempts: 5,
    first: Duration::from_secs(2),
    longest: Duration::from_secs(10),
    total: Duration::from_secs(1000),
};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn patient<S: Storage>(inner: S) -> (Patient<S>, Arc<Still>) {
    let pace = Arc::new(Still::default());
    (
        Patient::paced(inner, PATIENCE, Arc::clone(&pace) as _),
        pace,
    )
}

fn failing(op: FaultyOp, at: u64, failure: Failure) -> Faulty<Memory> {
    Faulty::new(Memory::default(), op, at, failure)
}

fn whole(storage: &dyn Storage, object: &ObjectName) -> Vec<u8> {
    let mut bytes = Vec::new();
    storage.read(object, Part::Whole, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_passes_is_not_noticed() {
    let a = name("data/a");
    for failure in [Failure::Before, Failure::After, Failure::Torn] {
        for at in 0..6 {
            let (storage, pace) = patient(failing(FaultyOp::Any, at, failure));
            storage.write(&a, b"1234").unwrap();
            assert_eq!(storage.list(&name("data")).unwrap()[0].size, 4);
            assert_eq!(whole(&storage, &a), b"1234");
            storage.flush().unwrap();
            storage.delete(std::slice::from_ref(&a)).unwrap();
            assert!(storage.list(&name("data")).unwrap().is_empty());
            assert_eq!(pace.waits().len(), 1, "{failure:?} {at}");
        }
    }
}

#[test]
fn waits_grow_up_to_the_longest_and_end() {
    let (storage, pace) = patient(failing(FaultyOp::Any, 0, Failure::Gone));
    let error = storage.list(&name("data")).unwrap_err();
    assert_eq!(error.code(), "listing-failed");
    let waits = pace.waits();
    assert_eq!(storage.inner().calls(), 5);
    assert_eq!(waits.len(), 4);
    for (wait, most) in waits.iter().zip([2, 4, 8, 10]) {
        let most = Duration::from_secs(most);
        assert!(*wait >= most / 2 && *wait <= most, "{waits:?}");
    }
    // They are spread, not all at the end of their range.
    assert!(waits[0] != Duration::from_secs(1) && waits[0] != Duration::from_secs(2));
}

#[test]
fn patience_ends_with_its_time() {
    let pace = Arc::new(Still::default());
    let patience = Patience {
        attempts: u32::MAX,
        total: Duration::from_secs(100),
        ..PATIENCE
    };
    let inner = failing(FaultyOp::Any, 0, Failure::Gone);
    let storage = Patient::paced(inner, patience, Arc::clone(&pace) as _);
    assert!(storage.flush().is_err());
    let waited = pace.now();
    assert!(
        waited <= patience.total && waited + patience.longest > patience.total,
        "{waited:?}"
    );
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    let (storage, pace) = patient(Memory::default());
    let mut bytes = Vec::new();
    let absent = storage.read(&name("data/a"), Part::Whole, &mut bytes);
    assert!(matches!(absent, Err(StorageError::Absent { .. })));
    assert!(pace.waits().is_empty());
}

#[test]
fn a_create_whose_answer_was_lost_is_settled_by_reading() {
    let config = name("config");
    // It was done.
    let (storage, _) = patient(failing(FaultyOp::Write, 0, Failure::After));
    assert_eq!(storage.create(&config, b"ours").unwrap(), Created::Now);
    assert_eq!(storage.inner().calls(), 1);
    // It was not.
    let (storage, _) = patient(failing(FaultyOp::Write, 0, Failure::Before));
    assert_eq!(storage.create(&config, b"ours").unwrap(), Created::Now);
    assert_eq!(whole(&storage, &config), b"ours");
    // Somebody else was faster, and so was their object before the answer was lost.
    let theirs = Memory::default();
    theirs.write(&config, b"theirs").unwrap();
    let (storage, _) = patient(Faulty::new(theirs, FaultyOp::Write, 0, Failure::After));
    let created = storage.create(&config, b"ours").unwrap();
    assert_eq!(created, Created::ThereAlready);
    assert_eq!(whole(&storage, &config), b"theirs");
    // The container does not keep its word: what is there is not ours.
    let (storage, _) = patient(failing(FaultyOp::Write, 0, Failure::Torn));
    let created = storage.create(&config, b"ours").unwrap();
    assert_eq!(created, Created::ThereAlready);
}

#[test]
fn what_cannot_be_settled_is_said_to_be_unknown() {
    let config = name("config");
    // Created, the answer lost, and nothing can be read from then on.
    let gone = failing(FaultyOp::Any, 1, Failure::Gone);
    let (storage, _) = patient(Faulty::new(gone, FaultyOp::Write, 0, Failure::After));
    let error = storage.create(&config, b"ours").unwrap_err();
    assert_eq!(error.code(), "object-outcome-unknown");
    // Written, the answer lost, and every later attempt surely not done.
    let gone = failing(FaultyOp::Any, 1, Failure::Gone);
    let (storage, pace) = patient(Faulty::new(gone, FaultyOp::Write, 0, Failure::After));
    let error = storage.write(&config, b"ours").unwrap_err();
    assert_eq!(error.code(), "object-outcome-unknown");
    assert_eq!(pace.waits().len(), 4);
}
