//! Creating a store beside others who do, and after others who died of it.

mod store_support;

use std::fs::{self, OpenOptions as FileOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use eventlog::error::Error;
use eventlog::store::{OpenOptions, Store};
use store_support::{Player, append, creating, listen, listing, new_store, put, role, rows, tell};

/// Marks a store as one whose creation has not finished.
fn unfinish(directory: &Path) {
    let queue = FileOptions::new()
        .write(true)
        .open(directory.join("queue"))
        .unwrap();
    queue.write_all_at(&[0; 4], 16).unwrap();
}

#[test]
fn what_a_crash_left_of_a_creation_is_completed() {
    type Crash = fn(&Path);
    let crashes: [(&str, Crash); 6] = [
        ("after the queue's name", |path| {
            for name in ["data.mdb", "lock.mdb"] {
                fs::remove_file(path.join(name)).unwrap();
            }
            fs::write(path.join("queue"), "").unwrap();
        }),
        ("after the queue", |path| {
            for name in ["data.mdb", "lock.mdb"] {
                fs::remove_file(path.join(name)).unwrap();
            }
        }),
        ("after the lock file", |path| {
            fs::remove_file(path.join("data.mdb")).unwrap();
        }),
        ("after the data file's name", |path| {
            fs::write(path.join("data.mdb"), "").unwrap();
        }),
        ("within the meta pages", |path| {
            let bytes = fs::read(path.join("data.mdb")).unwrap();
            fs::write(path.join("data.mdb"), &bytes[..4096]).unwrap();
        }),
        ("after the first commit", |_| {}),
    ];
    for (moment, crash) in crashes {
        let (directory, store) = new_store();
        drop(store);
        unfinish(directory.path());
        crash(directory.path());
        let plain = Store::open(
            directory.path(),
            &store_support::SCHEMA,
            &OpenOptions::default(),
        );
        if let Err(error) = plain {
            assert!(
                matches!(error, Error::NotAStore { .. }),
                "{moment}: {error:?}"
            );
        }
        let store = Store::open(directory.path(), &store_support::SCHEMA, &creating())
            .unwrap_or_else(|error| panic!("{moment}: {error}"));
        put(&store, b"key", b"value").unwrap();
    }
}

#[test]
fn a_creator_that_is_killed_leaves_nothing_in_the_way() {
    const TEST: &str = "a_creator_that_is_killed_leaves_nothing_in_the_way";
    if let Some((_, directory)) = role() {
        tell("starting");
        let _store = Store::open(&directory, &store_support::SCHEMA, &creating());
        return;
    }
    for round in 0..25 {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("store");
        let mut creator = Player::start(TEST, "creator", &directory);
        creator.hear();
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(120 * round) {
            std::hint::spin_loop();
        }
        creator.kill();
        let store = Store::open(&directory, &store_support::SCHEMA, &creating()).unwrap();
        assert_eq!(append(&store, b"row").unwrap(), 1);
    }
}

#[test]
fn racing_creators_agree_on_one_store() {
    const TEST: &str = "racing_creators_agree_on_one_store";
    const PROCESSES: usize = 6;
    if let Some((_, directory)) = role() {
        tell("ready");
        assert!(listen());
        let store = Store::open(&directory, &store_support::SCHEMA, &creating()).unwrap();
        append(&store, b"row").unwrap();
        return tell(format!("{:?}", store.id()));
    }
    for _ in 0..3 {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("deep/store");
        let mut creators: Vec<_> = (0..PROCESSES)
            .map(|_| Player::start(TEST, "creator", &directory))
            .collect();
        for creator in &mut creators {
            creator.hear();
        }
        for creator in &mut creators {
            creator.say("go");
        }
        let mut ids: Vec<_> = creators.into_iter().flat_map(Player::end).collect();
        assert_eq!(ids.len(), PROCESSES);
        ids.dedup();
        assert_eq!(ids.len(), 1);
        let store = Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default());
        assert_eq!(rows(&store.unwrap()).unwrap().len(), PROCESSES);
        assert_eq!(
            listing(&directory),
            ["data.mdb", "journal", "lock.mdb", "pidns", "queue"]
        );
    }
}
