//! What every container promises, tried through the interface alone.
//! Must not know which container it is.

use std::sync::Barrier;

use mainstay_storage::{Created, ObjectName, Part, Storage, StorageError};

pub(crate) fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn names(storage: &dyn Storage, folder: &str) -> Vec<String> {
    let listed = storage.list(&name(folder)).unwrap();
    listed.into_iter().map(|one| one.name.to_string()).collect()
}

fn read(storage: &dyn Storage, object: &str) -> Vec<u8> {
    let mut bytes = vec![9; 3];
    let read = storage.read(&name(object), Part::Whole, &mut bytes);
    read.unwrap();
    bytes
}

/// All promises, on an empty container.
pub(crate) fn keeps(storage: &dyn Storage) {
    listings(storage);
    parts(storage);
    writes(storage);
    only_one_creates(storage);
    many_are_removed(storage);
    growing(storage);
}

fn listings(storage: &dyn Storage) {
    assert!(storage.list(&name("data")).unwrap().is_empty());
    storage.write(&name("data/ff/ffa"), b"12345").unwrap();
    storage.write(&name("data/00/00b"), b"").unwrap();
    storage.write(&name("data/0"), b"1").unwrap();
    storage.write(&name("datum/x"), b"no").unwrap();
    let all = ["data/0", "data/00/00b", "data/ff/ffa"];
    assert_eq!(names(storage, "data"), all);
    assert_eq!(names(storage, "data/ff"), ["data/ff/ffa"]);
    assert_eq!(storage.list(&name("data")).unwrap()[2].size, 5);
    assert_eq!(storage.list(&name("data")).unwrap()[1].size, 0);
    assert_eq!(read(storage, "data/00/00b"), b"");
}

fn parts(storage: &dyn Storage) {
    let object = name("data/ff/ffa");
    let mut bytes = vec![9; 3];
    for (from, len, expected) in [
        (1, 3, &b"234"[..]),
        (0, 5, b"12345"),
        (4, 1, b"5"),
        (5, 0, b""),
    ] {
        storage
            .read(&object, Part::Range { from, len }, &mut bytes)
            .unwrap();
        assert_eq!(bytes, expected);
    }
    for (from, len) in [(3, 3), (5, 1), (6, 0), (7, 2), (u64::MAX, 2)] {
        let read = storage.read(&object, Part::Range { from, len }, &mut bytes);
        let Err(StorageError::Short { has: 5, wanted, .. }) = read else {
            panic!("{from}, {len}: {read:?}");
        };
        assert_eq!(wanted, from.saturating_add(len));
    }
    for part in [
        Part::Whole,
        Part::Range { from: 0, len: 0 },
        Part::Range { from: 1, len: 2 },
    ] {
        let absent = storage.read(&name("data/nothing"), part, &mut bytes);
        assert!(
            matches!(absent, Err(StorageError::Absent { .. })),
            "{absent:?}"
        );
    }
}

fn writes(storage: &dyn Storage) {
    let config = name("config");
    assert_eq!(storage.create(&config, b"one").unwrap(), Created::Now);
    assert_eq!(
        storage.create(&config, b"two").unwrap(),
        Created::ThereAlready
    );
    assert_eq!(read(storage, "config"), b"one");
    storage.write(&config, b"three").unwrap();
    assert_eq!(read(storage, "config"), b"three");

    let some = ["data/ff/ffa", "data/gone", "data/00/00b", "data/0"].map(name);
    storage.delete(&some).unwrap();
    storage.delete(&some).unwrap();
    storage.delete(&[]).unwrap();
    assert!(names(storage, "data").is_empty());
    assert_eq!(names(storage, "datum"), ["datum/x"]);
    storage.flush().unwrap();
    assert!(storage.uploads() > 0);
}

fn only_one_creates(storage: &dyn Storage) {
    let (object, start) = (name("locks/one"), Barrier::new(8));
    let won: Vec<u8> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u8)
            .map(|number| {
                let (object, start) = (&object, &start);
                scope.spawn(move || {
                    start.wait();
                    let created = storage.create(object, &[number; 1000]);
                    (created.unwrap() == Created::Now).then_some(number)
                })
            })
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(read(storage, "locks/one"), [won[0]; 1000]);
}

fn many_are_removed(storage: &dyn Storage) {
    let many: Vec<ObjectName> = (0..300).map(|n| name(&format!("many/{n:03}"))).collect();
    std::thread::scope(|scope| {
        for some in many.chunks(60) {
            scope.spawn(move || {
                for one in some {
                    storage.write(one, one.as_str().as_bytes()).unwrap();
                }
            });
        }
    });
    let listed = storage.list(&name("many")).unwrap();
    assert!(listed.iter().map(|object| &object.name).eq(&many));
    storage.delete(&many[1..]).unwrap();
    assert_eq!(names(storage, "many"), ["many/000"]);
}

fn growing(storage: &dyn Storage) {
    let Some(mut growing) = storage.begin().unwrap() else {
        return;
    };
    growing.append(b"one ").unwrap();
    growing.append(b"two").unwrap();
    assert!(names(storage, "grown").is_empty());
    growing.finish(&name("grown/a")).unwrap();
    assert_eq!(read(storage, "grown/a"), b"one two");
    let mut again = storage.begin().unwrap().unwrap();
    again.append(b"three").unwrap();
    again.finish(&name("grown/a")).unwrap();
    let mut never = storage.begin().unwrap().unwrap();
    never.append(b"never").unwrap();
    drop(never);
    assert_eq!(read(storage, "grown/a"), b"three");
    assert_eq!(names(storage, "grown"), ["grown/a"]);
}

/// An object that goes in several parts, and listings of several pages.
pub(crate) fn keeps_when_large(storage: &dyn Storage) {
    // No stretch of it is equal to another one in the same place of a part.
    let mut large = vec![0; 33 << 20];
    for (number, word) in large.chunks_exact_mut(512).enumerate() {
        word[..8].copy_from_slice(&number.to_le_bytes());
    }
    large.extend(b"the end");
    storage.write(&name("data/large"), &large).unwrap();
    assert_eq!(
        storage.list(&name("data")).unwrap()[0].size,
        large.len() as u64
    );
    let mut bytes = Vec::new();
    let (from, len) = ((16 << 20) - 3, 9_usize);
    let part = Part::Range {
        from: from as u64,
        len: len as u64,
    };
    storage.read(&name("data/large"), part, &mut bytes).unwrap();
    assert_eq!(bytes, large[from..from + len]);
    assert!(read(storage, "data/large") == large);
    let again = storage.create(&name("data/large"), &large[1..]).unwrap();
    assert_eq!(again, Created::ThereAlready);
    assert!(read(storage, "data/large") == large);
    storage.delete(&[name("data/large")]).unwrap();
}

/// A listing of more objects than a page has.
pub(crate) fn lists_pages(storage: &dyn Storage, objects: usize) {
    let many: Vec<ObjectName> = (0..objects)
        .map(|n| name(&format!("pages/{n:05}")))
        .collect();
    std::thread::scope(|scope| {
        for some in many.chunks(objects / 8 + 1) {
            scope.spawn(move || {
                for one in some {
                    storage.write(one, b"x").unwrap();
                }
            });
        }
    });
    let listed = storage.list(&name("pages")).unwrap();
    assert!(listed.iter().map(|object| &object.name).eq(&many));
    storage.delete(&many).unwrap();
    assert!(storage.list(&name("pages")).unwrap().is_empty());
}
