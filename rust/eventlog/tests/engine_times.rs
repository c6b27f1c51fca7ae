//! Which sequence a time is: by marks, by the log alone, and where a compaction took what would tell.

mod engine_support;

use std::collections::HashSet;

use engine_support::random::Dice;
use engine_support::{Draft, assert_sound, done, line, materialized, new_log, of_type, store};
use eventlog::command::{Command, NewDocument, Put};
use eventlog::compaction::Keep;
use eventlog::fork::{ForkOptions, Moment};
use eventlog::record::{Record, Space, StatusFacet};
use eventlog::store::{OpenOptions, Outcome};
use eventlog::value::{Shape, ShapeKind};
use eventlog::{Error, EventLog, Result, Sequence};

const NOW: f64 = 1e9;

fn resolve(log: &EventLog, moment: &Moment) -> Result<u64> {
    log.resolve(moment, NOW, &mut |_, _, _| Ok(()))
        .map(Sequence::get)
}

fn at_time(log: &EventLog, time: f64) -> u64 {
    resolve(log, &Moment::Time(time)).unwrap()
}

/// The same; zero before the first record.
fn at_or_zero(log: &EventLog, time: f64) -> u64 {
    resolve(log, &Moment::Time(time)).unwrap_or(0)
}

fn line_at(timestamp: f64) -> Draft<'static> {
    Draft {
        timestamp,
        ..line("r1")
    }
}

fn put(log: &EventLog, space: Space, key: &str, now: f64) {
    put_all(log, space, &[key], now);
}

fn put_all(log: &EventLog, space: Space, keys: &[&str], now: f64) {
    let document = |key: &&str| NewDocument {
        space,
        put: Put::Upsert,
        id: None,
        key: (*key).into(),
        created: None,
        terms: Vec::new(),
        body: now.to_be_bytes().to_vec(),
    };
    let documents = keys.iter().map(document).collect();
    engine_support::execute(log, &Command::PutDocuments { documents, now }).unwrap();
}

#[test]
fn a_time_is_before_the_first_record_that_came_later() {
    let log = new_log();
    for time in [10.0, 20.0, 5.0, 5.0, 20.5, 30.0, 20.0, 31.0] {
        store(&log, &[line_at(time)]);
    }
    let expected = [
        (10.0, 1),
        (19.9, 1),
        (20.0, 4),
        (20.4, 4),
        (20.5, 5),
        (29.0, 5),
        (30.0, 7),
        (31.0, 8),
        (500.0, 8),
    ];
    let check = |what: &str| {
        for (time, sequence) in expected {
            assert_eq!(at_time(&log, time), sequence, "at {time}, {what}");
        }
        for time in [9.9, 0.0, -1.0, f64::NEG_INFINITY, f64::NAN, NOW + 1.0] {
            let error = resolve(&log, &Moment::Time(time)).unwrap_err();
            assert!(
                matches!(error, Error::NoSuchMoment { .. }),
                "{time}, {what}: {error}"
            );
        }
    };
    check("by marks");
    assert_eq!(marks(&log), [(10.0, 1), (20.0, 2), (30.0, 6), (31.0, 8)]);
    clear_marks(&log);
    check("by the log alone");
}

/// The marks of times that the store has.
fn marks(log: &EventLog) -> Vec<(f64, u64)> {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    log.store()
        .read(|snapshot| {
            let rows = snapshot.view().range(snapshot.trees().times, &[], &[])?;
            rows.map(|row| {
                let (key, value) = row?;
                Ok((f64::from_bits(number(key)), number(value)))
            })
            .collect()
        })
        .unwrap()
}

fn clear_marks(log: &EventLog) {
    log.store()
        .write(&|| false, |transaction| {
            transaction.clear(transaction.trees().times)?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
}

#[test]
fn a_record_ahead_of_the_clock_counts_for_nothing() {
    let log = new_log();
    let ahead = 4e9;
    for time in [10.0, ahead, 20.0, 30.0] {
        store(&log, &[line_at(time)]);
    }
    assert_eq!(marks(&log), [(10.0, 1), (20.0, 3), (30.0, 4)]);
    assert_eq!(at_time(&log, 15.0), 2);
    assert_eq!(at_time(&log, 25.0), 3);
    assert_eq!(at_time(&log, 30.0), 4);
}

#[test]
fn marks_and_the_log_alone_say_the_same_of_random_histories() {
    for seed in 1..=6u64 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        let log = new_log();
        let mut clock = 0.0;
        for _ in 0..80 {
            clock += dice.below(30) as f64 / 10.0;
            let drafts: Vec<_> = (0..=dice.below(3))
                .map(|_| line_at((clock - dice.below(40) as f64 / 10.0).max(0.1)))
                .collect();
            store(&log, &drafts);
        }
        let ask = || -> Vec<_> {
            (0..1200)
                .map(|tenth| resolve(&log, &Moment::Time(f64::from(tenth) / 10.0)).ok())
                .collect()
        };
        let by_marks = ask();
        assert!(marks(&log).len() > 20);
        clear_marks(&log);
        assert_eq!(by_marks, ask(), "seed {seed}");
    }
}

#[test]
fn a_time_before_all_that_has_one_is_refused() {
    let log = new_log();
    let shape = Shape {
        kind: ShapeKind::Object,
        name: "C".into(),
        fields: Vec::new(),
        constants: String::new(),
        plan: 0,
    };
    let shapes = vec![shape];
    engine_support::execute(&log, &Command::DefineShapes { shapes }).unwrap();
    store(&log, &[line_at(10.0)]);
    for round in ["by marks", "by the log alone"] {
        assert_eq!(at_time(&log, 10.0), 2, "{round}");
        let error = resolve(&log, &Moment::Time(9.0)).unwrap_err();
        assert!(error.to_string().contains("before its first"), "{error}");
        clear_marks(&log);
    }
}

#[test]
fn forks_have_the_marks_up_to_their_moment_and_compaction_spares_them() {
    let log = new_log();
    for time in [10.0, 20.0, 30.0, 40.0] {
        put(&log, Space::Instigator, "sensor", time);
    }
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("fork");
    let (at, options) = (Sequence::new(3), ForkOptions::default());
    log.fork(&destination, at, options, &mut |_, _, _| Ok(()))
        .unwrap();
    let forked = EventLog::open(&destination, &OpenOptions::default()).unwrap();
    assert_eq!(marks(&forked), [(10.0, 1), (20.0, 2), (30.0, 3)]);
    assert_eq!(at_time(&forked, 25.0), 2);
    let keep = Keep::Since(35.0);
    let done = log.compact(keep, 60.0, &mut |_, _, _| Ok(())).unwrap();
    assert_eq!(done.records, 2);
    // The records that would tell are husks.
    assert_eq!(at_time(&log, 25.0), 2);
    assert_eq!(at_time(&log, 15.0), 1);
}

#[test]
fn a_compaction_leaves_a_mark_where_no_record_that_stays_says_the_time() {
    let log = new_log();
    put(&log, Space::Instigator, "a", 10.0);
    put(&log, Space::Heartbeat, "daemon", 10.4);
    // What happened before the heartbeat is stored after it.
    store(&log, &[line_at(10.2)]);
    put(&log, Space::Heartbeat, "daemon", 10.5);
    // This one says itself that the time before it has passed.
    store(&log, &[line_at(10.6)]);
    put(&log, Space::Heartbeat, "daemon", 20.0);
    let times = [10.0, 10.3, 10.45, 10.5, 10.55, 10.6, 19.0, 20.0];
    let before = times.map(|time| at_time(&log, time));
    assert_eq!(before, [1, 1, 3, 4, 4, 5, 5, 6]);
    assert_eq!(marks(&log), [(10.0, 1), (20.0, 6)]);
    log.compact(Keep::Nothing, 60.0, &mut |_, _, _| Ok(()))
        .unwrap();
    assert_eq!(marks(&log), [(10.0, 1), (10.4, 2), (20.0, 6)]);
    assert_eq!(
        times.map(|time| at_time(&log, time)),
        [1, 1, 4, 4, 4, 5, 5, 6]
    );
}

#[test]
fn a_compaction_that_goes_on_knows_the_latest_time_before() {
    let log = new_log();
    let daemons = vec!["daemon"; 499];
    put_all(&log, Space::Heartbeat, &daemons, 10.0);
    store(&log, &[line_at(10.6)]);
    // The last one of the first step.
    put(&log, Space::Heartbeat, "daemon", 10.2);
    put(&log, Space::Heartbeat, "daemon", 10.5);
    store(&log, &[line_at(10.3)]);
    put(&log, Space::Heartbeat, "daemon", 20.0);
    assert_eq!(at_time(&log, 10.55), 499);
    let mut steps = 0;
    let broken = log.compact(Keep::Nothing, 60.0, &mut |phase, at, _| {
        steps += usize::from(phase == "compact");
        if steps == 1 {
            assert_eq!(at, 501);
            return Err(Error::Interrupted);
        }
        Ok(())
    });
    assert!(matches!(broken, Err(Error::Interrupted)), "{broken:?}");
    log.compact(Keep::Nothing, 60.0, &mut |_, _, _| Ok(()))
        .unwrap();
    assert_eq!(marks(&log), [(10.0, 499), (20.0, 504)]);
    assert_eq!(at_time(&log, 10.55), 499);
}

/// Sequences at which a fold does something that is seen.
fn telling(log: &EventLog) -> HashSet<u64> {
    log.query(|reader| {
        let mut telling = HashSet::new();
        for sequence in (1..=reader.head()?.get()).map(Sequence::new) {
            let says_something = match reader.record(sequence)? {
                None | Some(Record::ShapeDefined(_)) => false,
                Some(Record::Husk(husk)) => husk.status.is_some() || !husk.known_assets.is_empty(),
                Some(_) => true,
            };
            if says_something {
                telling.insert(sequence.get());
            }
        }
        Ok(telling)
    })
    .unwrap()
}

/// One command about the time that the clock shows; events may have happened before.
fn random_command_at(log: &EventLog, dice: &mut Dice, clock: f64) {
    let past = clock - dice.below(20) as f64 / 10.0;
    let now = clock + dice.below(3) as f64 / 10.0;
    let run_id = ["r1", "r2"][dice.below(2)];
    match dice.below(12) {
        0..=3 => put_all(log, Space::Heartbeat, &["1", "2", "3", "4", "5"], now),
        4 | 5 => put(log, Space::Instigator, ["a", "b"][dice.below(2)], now),
        6 => {
            let (run_id, step) = (run_id.to_string(), 1_000);
            done(log, &Command::DeleteRunEvents { run_id, step, now });
        }
        7 => {
            let event = of_type(run_id, "PIPELINE_START");
            let status = StatusFacet {
                status: "STARTED",
                starts: true,
                ..StatusFacet::default()
            };
            let event = Draft {
                timestamp: past,
                status: Some(status),
                ..event
            };
            store(log, &[event]);
        }
        8 => {
            let event = materialized(run_id, ["[\"a\"]", "[\"b\"]"][dice.below(2)], None);
            let timestamp = past;
            store(log, &[Draft { timestamp, ..event }]);
        }
        _ => {
            let drafts: Vec<_> = (0..=dice.below(2))
                .map(|_| Draft {
                    timestamp: past,
                    ..line(run_id)
                })
                .collect();
            store(log, &drafts);
        }
    }
}

/// `ENGINE_SEEDS` makes it longer.
#[test]
fn times_stay_among_the_records_that_compactions_take() {
    let seeds = std::env::var("ENGINE_SEEDS").map_or(6, |seeds| seeds.parse().unwrap());
    let (mut moved, mut broken_off) = (0, 0);
    for seed in 1..=seeds {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        let log = new_log();
        let mut clock: f64 = 10.0;
        // What was there at each tenth of a second, before any compaction.
        let mut known = Vec::new();
        for round in 0..4 {
            for _ in 0..[60, 600][dice.below(2)] {
                clock += dice.below(8) as f64 / 20.0;
                random_command_at(&log, &mut dice, clock);
            }
            log.sweep(clock, &|| false).unwrap();
            // Records so far may be three tenths ahead of it.
            clock += 1.0;
            put(&log, Space::Instigator, "a", clock);
            while 10.0 + known.len() as f64 / 10.0 < clock - 0.5 {
                let time = 10.0 + known.len() as f64 / 10.0;
                known.push((time, at_or_zero(&log, time)));
            }
            let keep = match dice.below(3) {
                0 => Keep::Since(clock - 20.0),
                _ => Keep::Nothing,
            };
            let mut steps = 0;
            let stop = 1 + dice.below(3);
            let broken = log.compact(keep, clock, &mut |phase, _, _| {
                steps += usize::from(phase == "compact");
                if steps == stop {
                    Err(Error::Interrupted)
                } else {
                    Ok(())
                }
            });
            broken_off += usize::from(broken.is_err() && steps == stop);
            let telling = telling(&log);
            for (time, before) in &known {
                let after = at_or_zero(&log, *time);
                let mut between = (after.min(*before) + 1)..=after.max(*before);
                assert!(
                    !between.any(|sequence| telling.contains(&sequence)),
                    "seed {seed}, round {round}: {time} was {before}, is {after}"
                );
                moved += usize::from(after != *before);
            }
        }
        assert_sound(&log);
    }
    assert!(moved > 20 && broken_off > 3, "{moved} {broken_off}");
}
