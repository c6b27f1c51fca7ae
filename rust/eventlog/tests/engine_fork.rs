//! Forks: the history up to a moment as a store of its own.

mod engine_support;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use engine_support::random::{Dice, random_command};
use engine_support::{Log, assert_sound, done, head, line, new_log, of_type, rows, store};
use eventlog::command::{Command, NewDocument, Put};
use eventlog::compaction::Keep;
use eventlog::fork::{Fork, ForkOptions, Moment};
use eventlog::projection::{Carry, LogSource, TABLES, Table, fold};
use eventlog::query::open_record;
use eventlog::record::Space;
use eventlog::store::lmdb::{Environment, EnvironmentOptions};
use eventlog::store::{OpenOptions, Outcome, maintenance};
use eventlog::{Error, EventLog, Result, Sequence};
use tempfile::TempDir;

const NOW: f64 = 1e9;

type Rows = Vec<(&'static str, Vec<u8>, Vec<u8>)>;

/// A fork, open, in a directory that goes with it.
struct Forked {
    log: EventLog,
    made: Fork,
    _directory: TempDir,
}

fn try_fork(log: &EventLog, destination: &std::path::Path, at: u64) -> Result<Fork> {
    let options = ForkOptions::default();
    log.fork(destination, Sequence::new(at), options, &mut |_, _, _| {
        Ok(())
    })
}

fn fork_with(log: &EventLog, at: u64, options: ForkOptions) -> Forked {
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("fork");
    let made = log
        .fork(&destination, Sequence::new(at), options, &mut |_, _, _| {
            Ok(())
        })
        .unwrap();
    let log = EventLog::open(&destination, &OpenOptions::default()).unwrap();
    Forked {
        log,
        made,
        _directory: directory,
    }
}

fn fork(log: &EventLog, at: u64) -> Forked {
    fork_with(log, at, ForkOptions::default())
}

fn resolve(log: &EventLog, moment: &Moment) -> Result<u64> {
    log.resolve(moment, NOW, &mut |_, _, _| Ok(()))
        .map(Sequence::get)
}

fn put(log: &EventLog, space: Space, key: &str, now: f64) {
    let document = NewDocument {
        space,
        put: Put::Upsert,
        id: None,
        key: key.into(),
        created: None,
        terms: Vec::new(),
        body: now.to_be_bytes().to_vec(),
    };
    let documents = vec![document];
    engine_support::execute(log, &Command::PutDocuments { documents, now }).unwrap();
}

/// The log's first records, folded one by one into an environment of their own.
fn refolded(log: &EventLog, to: u64) -> Rows {
    let directory = tempfile::tempdir().unwrap();
    let options = EnvironmentOptions {
        map_size: 1 << 30,
        max_readers: 1,
        max_trees: TABLES.len() as u32,
        scratch: true,
        read_only: false,
        no_lock: true,
    };
    let environment = Environment::open(directory.path(), &options).unwrap();
    let mut writing = environment.write().unwrap();
    let trees: Vec<_> = TABLES
        .iter()
        .map(|name| writing.create_tree(name).unwrap())
        .collect();
    log.store()
        .read(|snapshot| {
            let (view, tree) = (snapshot.view(), snapshot.trees().log);
            for row in eventlog::log::scan(view, tree, Sequence::ZERO)? {
                let (sequence, frame) = row?;
                if sequence.get() > to {
                    break;
                }
                let source = LogSource::Other(view, tree);
                let mut carry = Carry::default();
                let mut target = carry.target(&mut writing, &trees, source);
                fold(&mut target, sequence, &open_record(sequence, frame)?)?;
                carry.finish(&mut writing, &trees)?;
            }
            Ok(())
        })
        .unwrap();
    let mut found = Vec::new();
    for table in Table::ALL {
        for row in writing
            .view()
            .range(trees[table as usize], &[], &[])
            .unwrap()
        {
            let (key, value) = row.unwrap();
            found.push((table.name(), key.to_vec(), value.to_vec()));
        }
    }
    found
}

#[test]
fn a_fork_has_the_rows_that_the_store_had_at_each_moment() {
    for seed in 1..=2u64 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        let log = new_log();
        let mut was = Vec::new();
        for _ in 0..120 {
            random_command(&log, &mut dice);
            was.push((head(&log), rows(&log)));
        }
        let now = (head(&log), rows(&log));
        for (at, rows_then) in was.iter().filter(|(at, _)| *at > 0).step_by(9) {
            let forked = fork(&log, *at);
            assert_eq!(rows(&forked.log), *rows_then, "seed {seed}, record {at}");
            assert_eq!(head(&forked.log), *at);
            assert_sound(&forked.log);
        }
        // Within a commit there were no rows to see; the fold of what came before is what counts.
        for at in 1..=head(&log).min(60) {
            assert_eq!(rows(&fork(&log, at).log), refolded(&log, at), "record {at}");
        }
        assert_eq!((head(&log), rows(&log)), now, "the source is as it was");
    }
}

#[test]
fn a_fork_is_a_store_of_its_own_that_says_where_it_is_from() {
    let log = new_log();
    store(&log, &[line("r1"), line("r2"), line("r3")]);
    let forked = fork(&log, 2);
    let meta = forked.log.store().info().unwrap().meta;
    let from = meta.forked.unwrap();
    assert_eq!(
        (from.store, from.sequence),
        (log.store().id(), 2),
        "{from:?}"
    );
    assert_eq!(forked.made.store, forked.log.store().id());
    assert_ne!(forked.log.store().id(), log.store().id());
    assert_eq!(forked.made.sequence.get(), 2);
    assert_eq!(forked.made.records, 2);
    // Each goes its own way from there.
    assert_eq!(store(&forked.log, &[line("r4")]), [3]);
    assert_eq!(store(&log, &[line("r5")]), [4]);
    assert_sound(&forked.log);
    let again = fork(&forked.log, 3);
    assert_eq!(rows(&again.log), rows(&forked.log));
    let meta = again.log.store().info().unwrap().meta;
    assert_eq!(meta.forked.unwrap().store, forked.log.store().id());
}

#[test]
fn what_was_cached_and_what_came_later_stays_behind() {
    let log = new_log();
    let asset = r#"["a"]"#;
    store(&log, &[engine_support::materialized("r1", asset, None)]);
    log.set_cached_status(asset, Some("cached"), &|| false)
        .unwrap();
    store(&log, &[line("later")]);
    let forked = fork(&log, 1);
    let cached = forked.log.cached_status(&[asset.to_owned()]).unwrap();
    assert!(cached.is_empty());
    let later = forked.log.query(|reader| reader.run("later")).unwrap();
    assert_eq!(later, None);
}

/// Names in a directory, hidden ones too.
fn names(directory: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Forks to a fresh path, which fails and leaves nothing.
fn assert_refused(log: &EventLog, at: u64) -> Error {
    let directory = tempfile::tempdir().unwrap();
    let error = try_fork(log, &directory.path().join("fork"), at).unwrap_err();
    assert_eq!(names(directory.path()), Vec::<String>::new());
    error
}

#[test]
fn records_that_the_log_does_not_have_are_refused() {
    let log = new_log();
    assert!(matches!(
        assert_refused(&log, 1),
        Error::NoSuchMoment { .. }
    ));
    store(&log, &[line("r1"), line("r1")]);
    for at in [0, 3, u64::MAX] {
        let error = assert_refused(&log, at);
        assert!(matches!(error, Error::NoSuchMoment { .. }), "{error}");
        let error = resolve(&log, &Moment::Sequence(Sequence::new(at))).unwrap_err();
        assert!(matches!(error, Error::NoSuchMoment { .. }), "{error}");
    }
    assert_eq!(
        resolve(&log, &Moment::Sequence(Sequence::new(2))).unwrap(),
        2
    );
}

#[test]
fn a_destination_that_exists_is_left_as_it_was() {
    let log = new_log();
    store(&log, &[line("r1")]);
    let directory = tempfile::tempdir().unwrap();
    let (empty, file) = (
        directory.path().join("empty"),
        directory.path().join("file"),
    );
    let link = directory.path().join("link");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(&file, "content").unwrap();
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for destination in [
        &empty,
        &file,
        &link,
        &PathBuf::from(log.store().directory()),
    ] {
        let error = try_fork(&log, destination, 1).unwrap_err();
        assert!(matches!(error, Error::DestinationExists { .. }), "{error}");
    }
    assert_eq!(names(directory.path()), ["empty", "file", "link"]);
    assert_eq!(std::fs::read(&file).unwrap(), b"content");
    // What came to be there meanwhile stays as well.
    let late = directory.path().join("late");
    let error = log.fork(
        &late,
        Sequence::new(1),
        ForkOptions::default(),
        &mut |phase, _, _| {
            if phase == "flush" {
                std::fs::create_dir(&late).unwrap();
                std::fs::write(late.join("a"), "b").unwrap();
            }
            Ok(())
        },
    );
    assert!(matches!(error, Err(Error::DestinationExists { .. })));
    assert_eq!(names(directory.path()), ["empty", "file", "late", "link"]);
    assert_eq!(names(&late), ["a"]);
}

#[test]
fn a_fork_that_is_broken_off_leaves_nothing_and_one_that_was_killed_goes_with_the_next() {
    let log = new_log();
    store(&log, &[line("r1")]);
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("fork");
    let mut seen = Vec::new();
    let broken = log.fork(
        &destination,
        Sequence::new(1),
        ForkOptions::default(),
        &mut |phase, _, _| {
            if phase != "flush" {
                return Ok(());
            }
            seen = names(directory.path());
            Err(Error::Interrupted)
        },
    );
    assert!(matches!(broken, Err(Error::Interrupted)));
    let [draft] = seen.as_slice() else {
        panic!("{seen:?}");
    };
    assert!(draft.starts_with(".fork.draft-"), "{draft}");
    assert_eq!(names(directory.path()), Vec::<String>::new());
    // As a kill leaves it; and one whose maker lives, and what is of another destination.
    let (dead, live) = (
        directory.path().join(draft),
        directory.path().join(".fork.draft-live"),
    );
    let other = directory.path().join(".forks.draft-x");
    for path in [&dead, &live, &other] {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("making"), "").unwrap();
    }
    let _maker = maintenance::alone(&live, "making", || Error::Interrupted).unwrap();
    try_fork(&log, &destination, 1).unwrap();
    assert_eq!(
        names(directory.path()),
        [".fork.draft-live", ".forks.draft-x", "fork"]
    );
    assert_eq!(names(&destination), ["data.mdb"]);
}

#[test]
fn a_damaged_or_missing_record_is_no_part_of_a_fork() {
    let log = new_log();
    store(&log, &[line("r1"), line("r2"), line("r3"), line("r4")]);
    let change = |work: &dyn Fn(&mut eventlog::store::Transaction<'_>)| {
        log.store()
            .write(&|| false, |transaction| {
                work(transaction);
                Ok(Outcome::Commit(()))
            })
            .unwrap();
    };
    let key = 3u64.to_be_bytes();
    let frame = log.query(|reader| Ok(reader.frame(Sequence::new(3))?.unwrap().to_vec()));
    let mut frame = frame.unwrap();
    *frame.last_mut().unwrap() ^= 1;
    change(&|transaction| {
        transaction
            .put(transaction.trees().log, &key, &frame)
            .unwrap()
    });
    let is_third = |error| matches!(error, Error::DamagedRecord { sequence: 3, .. });
    assert!(is_third(assert_refused(&log, 4)));
    assert_eq!(head(&fork(&log, 2).log), 2, "before it all is well");
    change(&|transaction| assert!(transaction.delete(transaction.trees().log, &key).unwrap()));
    assert!(is_third(assert_refused(&log, 4)));
    assert!(is_third(assert_refused(&log, 3)));
}

#[test]
fn writers_go_on_beside_a_fork_and_a_compaction_is_told() {
    let log = new_log();
    (0..30).for_each(|_| drop(store(&log, &vec![line("r1"); 1000])));
    let at = head(&log);
    let then = rows(&log);
    let stop = AtomicBool::new(false);
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("fork");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                store(&log, &[line("beside")]);
            }
        });
        let mut phases = Vec::new();
        let made = log.fork(
            &destination,
            Sequence::new(at),
            ForkOptions::default(),
            &mut |phase, done, _| {
                phases.push((phase.to_owned(), done));
                let busy = log.compact(Keep::Nothing, NOW, &mut |_, _, _| Ok(()));
                assert!(matches!(busy, Err(Error::MaintenanceRunning { .. })));
                Ok(())
            },
        );
        stop.store(true, Ordering::Relaxed);
        made.unwrap();
        let expected = [
            ("copy and fold", 20_000),
            ("copy and fold", 30_000),
            ("flush", 0),
        ];
        let expected: Vec<_> = expected.map(|(phase, at)| (phase.to_owned(), at)).into();
        assert_eq!(phases, expected);
    });
    assert!(head(&log) > at);
    let forked = EventLog::open(&destination, &OpenOptions::default()).unwrap();
    assert_eq!(rows(&forked), then);
    let busy = || Error::MaintenanceRunning {
        path: directory.path().to_owned(),
    };
    let _alone = maintenance::alone(log.directory.path(), "compaction", busy).unwrap();
    let error = assert_refused(&log, 1);
    assert!(matches!(error, Error::MaintenanceRunning { .. }), "{error}");
}

/// Rows but for those of registers, whose past goes.
fn without_registers(rows: Rows) -> Rows {
    let registers = [Space::Heartbeat as u8, Space::CursorValue as u8];
    let is_whole = |(table, key, _): &(&str, Vec<u8>, Vec<u8>)| {
        !(table.starts_with("document") && registers.contains(&key[0]))
    };
    rows.into_iter().filter(is_whole).collect()
}

/// A log of which a compaction has taken some; the rows before each of its last records.
fn compacted_log(seed: u64) -> (Log, Vec<(u64, Rows)>) {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
    let log = new_log();
    (0..120).for_each(|_| random_command(&log, &mut dice));
    let mut was = vec![(head(&log), rows(&log))];
    put(&log, Space::Instigator, "the time", 50.0);
    for _ in 0..12 {
        was.push((head(&log), rows(&log)));
        put(&log, Space::Heartbeat, "SENSOR", 51.0);
        random_command(&log, &mut dice);
    }
    log.sweep(60.0, &|| false).unwrap();
    was.push((head(&log), rows(&log)));
    let keep = Keep::Since(49.0);
    log.compact(keep, 60.0, &mut |_, _, _| Ok(())).unwrap();
    (log, was)
}

#[test]
fn from_the_horizon_on_forks_show_all_but_registers_and_before_it_they_are_refused() {
    for seed in 1..=3u64 {
        let (log, was) = compacted_log(seed);
        let now = head(&log);
        for (at, then) in was {
            let forked = fork(&log, at);
            let made = forked.made;
            assert!(made.whole_from.get() <= at + 1);
            assert_eq!(made.registers_from.get(), now + 1, "{made:?}");
            let found = rows(&forked.log);
            assert_eq!(
                without_registers(found.clone()),
                without_registers(then.clone()),
                "seed {seed}, record {at}"
            );
            if at == now {
                assert_eq!(found, then);
            }
            assert_eq!(head(&forked.log), at);
            assert_sound(&forked.log);
            let meta = forked.log.store().info().unwrap().meta;
            assert_eq!(meta.whole_from.max(1), made.whole_from.get());
        }
        let whole_from = log.store().info().unwrap().meta.whole_from;
        let below = whole_from - 2;
        assert!(below > 20);
        match assert_refused(&log, below) {
            Error::NoLongerWhole {
                at, whole_from: w, ..
            } => assert_eq!((at, w), (below, whole_from)),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn below_the_horizon_an_incomplete_fork_has_what_is_left() {
    let (log, _) = compacted_log(1);
    let incomplete = ForkOptions {
        incomplete: true,
        ..ForkOptions::default()
    };
    let below = log.store().info().unwrap().meta.whole_from - 2;
    // Cuts go through merged husks as well, so each of them is tried.
    for at in 1..=below {
        let forked = fork_with(&log, at, incomplete);
        assert_eq!(head(&forked.log), at);
        assert_eq!(forked.made.sequence.get(), at);
        assert_sound(&forked.log);
        assert_eq!(store(&forked.log, &[line("goes on")]), [at + 1]);
        assert_sound(&forked.log);
    }
}

#[test]
fn a_run_ends_with_its_last_event_or_with_the_last_word_on_its_state() {
    let log = new_log();
    store(
        &log,
        &[
            line("r1"),
            of_type("r1", "PIPELINE_START"),
            line("r2"),
            of_type("r1", "OF_LATER"),
            line("r2"),
        ],
    );
    put(&log, Space::Run, "elsewhere", 1.0);
    store(&log, &[line("r3")]);
    let end = |run_id: &str| resolve(&log, &Moment::RunEnd(run_id.into()));
    assert_eq!(end("r1").unwrap(), 4);
    assert_eq!(end("r2").unwrap(), 5);
    assert_eq!(end("elsewhere").unwrap(), 6);
    let unknown = end("r4").unwrap_err();
    assert!(unknown.to_string().contains("\"r4\""), "{unknown}");
    let (run_id, now) = ("r1".to_string(), 9.0);
    let step = 1_000;
    done(&log, &Command::DeleteRunEvents { run_id, step, now });
    assert!(matches!(end("r1"), Err(Error::NoSuchMoment { .. })));
}

#[test]
fn a_handle_for_reading_stores_nothing() {
    let log = new_log();
    store(&log, &[line("r1")]);
    let options = OpenOptions {
        read_only: true,
        ..OpenOptions::default()
    };
    let reading = EventLog::open(log.directory.path(), &options).unwrap();
    assert_eq!(head(&reading), 1);
    let refused = |result: Result<()>| {
        assert!(matches!(result, Err(Error::ReadOnly { .. })), "{result:?}");
    };
    refused(engine_support::try_store(&reading, &[line("r2")]).map(drop));
    refused(reading.set_cached_status("[\"a\"]", Some("x"), &|| false));
    refused(reading.rebuild(&mut |_, _, _| Ok(())).map(drop));
    refused(
        reading
            .compact(Keep::Nothing, NOW, &mut |_, _, _| Ok(()))
            .map(drop),
    );
    refused(reading.store().resize(1 << 41));
    refused(reading.husk(&[Sequence::new(1)]).map(drop));
    assert_sound(&reading);
    assert_eq!(store(&log, &[line("r2")]), [2]);
    assert_eq!(head(&reading), 2);
}
