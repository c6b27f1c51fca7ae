//! Compaction: what is superseded goes, what is asked stays, and the fold of what is left is the same.

mod engine_support;

use engine_support::random::{Dice, random_command};
use engine_support::{
    Draft, Log, assert_sound, check_evaluated, done, head, kinds_after, line, materialized,
    new_log, of_type, rebuild, rows, store,
};
use eventlog::command::{Command, NewDocument, Put, Removal};
use eventlog::compaction::{Compacted, Keep};
use eventlog::record::{Kind, Record, Space, StatusFacet};
use eventlog::store::{OpenOptions, Outcome, Snapshot, Transaction, maintenance};
use eventlog::{Error, EventLog, Sequence};

const A: &str = r#"["a"]"#;

/// What the clock shows, after every time in these logs.
const NOW: f64 = 100.0;

fn compact(log: &EventLog, keep: Keep) -> Compacted {
    log.compact(keep, NOW, &mut |_, _, _| Ok(())).unwrap()
}

/// Compacts; the rows stay, and a refold and a rebuild give the same.
fn compact_soundly(log: &EventLog, keep: Keep) -> Compacted {
    let before = (rows(log), head(log));
    let compacted = compact(log, keep);
    assert_eq!((rows(log), head(log)), before);
    assert_sound(log);
    rebuild(log);
    assert_eq!(rows(log), before.0);
    compacted
}

fn put(log: &EventLog, space: Space, key: &str, body: u8, now: f64) {
    let document = NewDocument {
        space,
        put: Put::Upsert,
        id: None,
        key: key.into(),
        created: None,
        terms: Vec::new(),
        body: vec![body],
    };
    let documents = vec![document];
    engine_support::execute(log, &Command::PutDocuments { documents, now }).unwrap();
}

fn heartbeats(log: &EventLog, count: u8) {
    (0..count).for_each(|beat| put(log, Space::Heartbeat, "SENSOR", beat, f64::from(beat)));
}

fn remove(log: &EventLog, space: Space, key: &str) {
    let removal = Removal {
        space,
        key: key.into(),
        required: true,
        kept_by: None,
    };
    let removals = vec![removal];
    done(log, &Command::RemoveDocuments { removals, now: 9.0 });
}

/// Key and kind of each frame of the log, and the sequences that it stands for.
fn frames(log: &EventLog) -> Vec<(u64, Kind, u64)> {
    log.query(|reader| {
        let mut found = Vec::new();
        for sequence in (1..=reader.head()?.get()).map(Sequence::new) {
            if let Some(record) = reader.record(sequence)? {
                let stands_for = match &record {
                    Record::Husk(husk) => husk.also_before + 1,
                    _ => 1,
                };
                found.push((sequence.get(), record.kind(), stands_for));
            }
        }
        Ok(found)
    })
    .unwrap()
}

/// Bytes of the log's frames, and of its pages.
fn log_bytes(log: &EventLog) -> (u64, u64) {
    let page = log.store().info().unwrap().page_size as u64;
    let read = |snapshot: &Snapshot<'_>| {
        let tree = snapshot.trees().log;
        let mut frames = 0;
        for row in snapshot.view().range(tree, &[], &[])? {
            frames += row?.1.len() as u64;
        }
        let stat = snapshot.view().stat(tree)?;
        let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
        Ok((frames, pages as u64 * page))
    };
    log.store().read(read).unwrap()
}

/// Bytes of the head's frame.
fn last_frame(log: &EventLog) -> u64 {
    let read =
        |reader: &eventlog::query::Reader<'_>| Ok(reader.frame(reader.head()?)?.unwrap().len());
    log.query(read).unwrap() as u64
}

#[test]
fn superseded_registers_go_and_one_frame_stands_for_all_of_them() {
    let log = new_log();
    heartbeats(&log, 100);
    let compacted = compact_soundly(&log, Keep::Nothing);
    assert_eq!(compacted.records, 99);
    assert_eq!(compacted.registers_from, Sequence::new(101));
    assert_eq!(compacted.whole_from, Sequence::new(1));
    assert_eq!(
        frames(&log),
        [(99, Kind::Husk, 99), (100, Kind::Document, 1)]
    );
    heartbeats(&log, 50);
    compact_soundly(&log, Keep::Nothing);
    assert_eq!(
        frames(&log),
        [(149, Kind::Husk, 149), (150, Kind::Document, 1)]
    );
    assert_eq!(compact_soundly(&log, Keep::Nothing).records, 0);
}

#[test]
fn husks_merge_across_what_was_between_them_once_that_goes() {
    let log = new_log();
    heartbeats(&log, 3);
    put(&log, Space::Instigator, "sensor", 1, 3.0);
    heartbeats(&log, 3);
    compact(&log, Keep::Nothing);
    let spread = [
        (3, Kind::Husk, 3),
        (4, Kind::Document, 1),
        (6, Kind::Husk, 2),
        (7, Kind::Document, 1),
    ];
    assert_eq!(frames(&log), spread);
    put(&log, Space::Instigator, "sensor", 2, 4.0);
    compact_soundly(&log, Keep::Nothing);
    let merged = [
        (6, Kind::Husk, 6),
        (7, Kind::Document, 1),
        (8, Kind::Document, 1),
    ];
    assert_eq!(frames(&log), merged);
}

#[test]
fn what_was_added_and_removed_leaves_nothing_but_its_sequences() {
    let log = new_log();
    put(&log, Space::Instigator, "sensor", 1, 1.0);
    put(&log, Space::Instigator, "sensor", 2, 2.0);
    remove(&log, Space::Instigator, "sensor");
    let keys = vec!["k".to_string()];
    let definition = "d".to_string();
    let now = 1.0;
    let (key, add) = ("k".to_string(), definition.clone());
    done(
        &log,
        &Command::AddDynamicPartitions {
            definition: add,
            keys,
            now,
        },
    );
    done(
        &log,
        &Command::DeleteDynamicPartition {
            definition,
            key,
            now,
        },
    );
    assert_eq!(compact_soundly(&log, Keep::Nothing).records, 5);
    assert_eq!(frames(&log), [(5, Kind::Husk, 5)]);
    assert_eq!(head(&log), 5, "the head is the log's last key");
    put(&log, Space::Instigator, "sensor", 3, 3.0);
    assert_eq!(frames(&log), [(5, Kind::Husk, 5), (6, Kind::Document, 1)]);
    compact_soundly(&log, Keep::Nothing);
}

#[test]
fn a_retirement_stays_while_what_it_retires_is_kept() {
    let log = new_log();
    put(&log, Space::Instigator, "sensor", 1, 1.0);
    heartbeats(&log, 1);
    put(&log, Space::Instigator, "sensor", 2, 20.0);
    remove(&log, Space::Instigator, "sensor");
    let keep = Keep::Since(5.0);
    assert_eq!(compact_soundly(&log, keep).records, 0);
    assert_eq!(compact_soundly(&log, Keep::Nothing).records, 3);
}

#[test]
fn history_since_a_time_stays_whole_but_for_registers() {
    let log = new_log();
    for now in 1..=10u8 {
        put(&log, Space::Instigator, "sensor", now, f64::from(now));
        put(&log, Space::Heartbeat, "SENSOR", now, f64::from(now));
    }
    let keep = Keep::Since(5.0);
    let compacted = compact_soundly(&log, keep);
    // States 1 to 4 are superseded by time 5, and all heartbeats but the last.
    assert_eq!(compacted.records, 4 + 9);
    assert_eq!(compacted.whole_from, Sequence::new(11));
    assert_eq!(compacted.registers_from, Sequence::new(21));
    let left = frames(&log)
        .into_iter()
        .filter(|frame| frame.1 == Kind::Document);
    let left: Vec<_> = left.map(|frame| frame.0).collect();
    assert_eq!(left, [9, 11, 13, 15, 17, 19, 20]);
}

#[test]
fn a_record_with_a_time_that_is_still_to_come_holds_nothing_back() {
    let log = new_log();
    put(&log, Space::Instigator, "sensor", 1, 1000.0);
    put(&log, Space::Instigator, "sensor", 2, 2.0);
    put(&log, Space::Instigator, "sensor", 3, 3.0);
    let keep = Keep::Since(2.0);
    assert_eq!(compact_soundly(&log, keep).records, 1);
}

#[test]
fn events_of_deleted_runs_go_with_all_but_what_is_known_of_their_assets() {
    let log = new_log();
    store(
        &log,
        &[line("r1"), materialized("r1", A, Some("p")), line("r2")],
    );
    let (run_id, now) = ("r1".to_string(), 9.0);
    done(
        &log,
        &Command::DeleteRunEvents {
            run_id,
            step: 1_000,
            now,
        },
    );
    let compacted = compact_soundly(&log, Keep::Nothing);
    assert_eq!(compacted.records, 2);
    assert_eq!(compacted.whole_from, Sequence::new(5));
    assert_eq!(
        kinds_after(&log, 0)[2..],
        [Kind::Event, Kind::RunEventsDeleted]
    );
}

#[test]
fn a_compaction_that_was_broken_off_is_gone_on_with_by_its_own_cutoff() {
    let log = new_log();
    for round in 0..3 {
        for key in 0..400u32 {
            put(
                &log,
                Space::Instigator,
                &key.to_string(),
                round,
                f64::from(round),
            );
        }
    }
    let before = log_bytes(&log);
    let mut steps = 0;
    let broken = log.compact(Keep::Nothing, NOW, &mut |phase, _, _| {
        steps += u32::from(phase == "compact");
        if steps == 1 {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    });
    assert!(matches!(broken, Err(Error::Interrupted)));
    let begun = log.store().info().unwrap().meta.compaction.unwrap();
    assert!(
        1 < begun.next_sequence && begun.next_sequence < head(&log),
        "{begun:?}"
    );
    let horizon = log.store().info().unwrap().meta.whole_from;
    assert_eq!(horizon, 1201, "the horizon moves with the first step");
    assert_sound(&log);
    assert_eq!((begun.records, begun.log_before), (500, before.1));
    assert_eq!(begun.bytes as u64, before.0 - log_bytes(&log).0);
    // What is superseded after the pass began goes with the next one.
    put(&log, Space::Instigator, "0", 9, 9.0);
    let before = (before.0 + last_frame(&log), before.1);
    let mut places = Vec::new();
    let compacted = log.compact(Keep::Since(8.0), NOW, &mut |phase, done, _| {
        if phase == "compact" {
            places.push(done);
        }
        Ok(())
    });
    assert!(places[0] > 500, "{places:?}");
    // It tells of the whole pass, whoever began it.
    let compacted = compacted.unwrap();
    assert_eq!(compacted.records, 800);
    assert_eq!(
        (compacted.bytes, compacted.log_before),
        (before.0 - log_bytes(&log).0, before.1)
    );
    assert!(compacted.log_after < compacted.log_before);
    assert_eq!(log.store().info().unwrap().meta.compaction, None);
    assert_sound(&log);
    assert_eq!(compact_soundly(&log, Keep::Nothing).records, 1);
}

#[test]
fn compaction_and_what_reads_the_log_in_steps_exclude_each_other() {
    let log = new_log();
    heartbeats(&log, 3);
    let refused = |result: Result<(), Error>| {
        assert!(
            matches!(result, Err(Error::MaintenanceRunning { .. })),
            "{result:?}"
        );
    };
    let busy = || Error::Interrupted;
    let name = maintenance::COMPACTION;
    let shared = maintenance::shared(log.directory.path(), name, busy).unwrap();
    refused(
        log.compact(Keep::Nothing, NOW, &mut |_, _, _| Ok(()))
            .map(drop),
    );
    assert_sound(&log);
    drop(shared);
    let alone = maintenance::alone(log.directory.path(), name, busy).unwrap();
    refused(
        log.compact(Keep::Nothing, NOW, &mut |_, _, _| Ok(()))
            .map(drop),
    );
    refused(log.verify(&mut |_, _, _| Ok(())).map(drop));
    refused(log.rebuild(&mut |_, _, _| Ok(())).map(drop));
    drop(alone);
    assert_eq!(compact_soundly(&log, Keep::Nothing).records, 2);
}

#[test]
fn a_rebuild_that_died_before_a_compaction_begins_anew() {
    let log = new_log();
    put(&log, Space::Instigator, "sensor", 1, 1.0);
    for _ in 0..120 {
        store(&log, &vec![line("r1"); 200]);
    }
    let died = log.rebuild(&mut |phase, at, _| {
        if phase == "refold" && at > 0 {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    });
    assert!(matches!(died, Err(Error::Interrupted)));
    assert!(log.store().info().unwrap().meta.rebuild.is_some());
    remove(&log, Space::Instigator, "sensor");
    assert_eq!(compact(&log, Keep::Nothing).records, 2);
    let before = rows(&log);
    rebuild(&log);
    assert_eq!(rows(&log), before);
    assert_sound(&log);
}

#[test]
fn writers_and_readers_go_on_beside_a_compaction() {
    let log = new_log();
    for round in 0..20 {
        for key in 0..100u32 {
            put(&log, Space::Instigator, &key.to_string(), round, 1.0);
        }
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..200).for_each(|_| drop(store(&log, &[line("beside")]))));
        let mut last = 0;
        log.compact(Keep::Nothing, NOW, &mut |_, done, total| {
            assert!(done <= total);
            last = head(&log);
            Ok(())
        })
        .unwrap();
        writer.join().unwrap();
        assert!(head(&log) >= last);
    });
    assert_eq!(head(&log), 2200);
    assert_sound(&log);
}

fn random_log(seed: u64, dice: &mut Dice, log: &Log) {
    for round in 0..6 {
        for _ in 0..40 {
            random_command(log, dice);
        }
        log.sweep(NOW, &|| false).unwrap();
        let keep = match dice.below(3) {
            0 => Keep::Nothing,
            _ => Keep::Since(dice.below(10) as f64),
        };
        let before = (rows(log), head(log));
        let frames_before = log_bytes(log).0 as i64;
        // A clock that is behind many of the records.
        let now = dice.below(12) as f64;
        let compacted = log.compact(keep, now, &mut |_, _, _| Ok(())).unwrap();
        let freed = frames_before - log_bytes(log).0 as i64;
        assert_eq!(
            compacted.bytes as i64,
            freed.max(0),
            "seed {seed}, round {round}"
        );
        assert_eq!((rows(log), head(log)), before, "seed {seed}, round {round}");
        let found = engine_support::differences(log);
        assert!(found.is_empty(), "seed {seed}, round {round}: {found:#?}");
        if dice.below(3) == 0 {
            rebuild(log);
            assert_eq!(rows(log), before.0, "seed {seed}, round {round}");
        }
        // Each sequence up to the head is in one frame.
        let mut next = 1;
        for (key, _, stands_for) in frames(log) {
            assert_eq!(key + 1 - stands_for, next, "seed {seed}, round {round}");
            next = key + 1;
        }
        assert_eq!(next, head(log) + 1);
    }
    compact_soundly(log, Keep::Nothing);
    assert_eq!(
        compact_soundly(log, Keep::Nothing).records,
        0,
        "seed {seed}"
    );
}

fn seeds() -> u64 {
    std::env::var("ENGINE_SEEDS").map_or(8, |seeds| seeds.parse().unwrap())
}

type Rows = Vec<(&'static str, Vec<u8>, Vec<u8>)>;

/// Rows but for those of registers, whose past goes.
fn whole_rows(log: &EventLog) -> Rows {
    let registers = [Space::Heartbeat as u8, Space::CursorValue as u8];
    let is_whole = |(table, key, _): &(&str, Vec<u8>, Vec<u8>)| {
        !(table.starts_with("document") && registers.contains(&key[0]))
    };
    rows(log).into_iter().filter(is_whole).collect()
}

/// The log's first records, folded in a store of their own.
fn as_of(log: &Log, sequence: u64) -> Rows {
    let directory = tempfile::tempdir().unwrap();
    let data = |of: &std::path::Path| of.join("data.mdb");
    std::fs::copy(data(log.directory.path()), data(directory.path())).unwrap();
    let then = EventLog::open(directory.path(), &OpenOptions::default()).unwrap();
    let cut = |transaction: &mut Transaction<'_>| {
        let tree = transaction.trees().log;
        for key in sequence + 1..=head(log) {
            transaction.delete(tree, &key.to_be_bytes())?;
        }
        Ok(Outcome::Commit(()))
    };
    then.store().write(&|| false, cut).unwrap();
    rebuild(&then);
    whole_rows(&then)
}

/// The history so far is what a compaction keeps; what follows comes after its cutoff. The folds from
/// there on stay as they were.
fn assert_kept_from_here(log: &Log, then: &[Command]) {
    put(log, Space::Instigator, "the time", 0, 50.0);
    let mut was = vec![(head(log), whole_rows(log))];
    for command in then {
        engine_support::execute(log, command).unwrap();
        was.push((head(log), whole_rows(log)));
    }
    compact(log, Keep::Since(49.0));
    for (sequence, rows) in was {
        assert_eq!(as_of(log, sequence), rows, "as of {sequence}");
    }
    assert_sound(log);
}

fn deletion(run_id: &str, step: usize) -> Command {
    Command::DeleteRunEvents {
        run_id: run_id.into(),
        step,
        now: 2.0,
    }
}

fn deleted(log: &EventLog, run_id: &str, step: usize) {
    engine_support::execute(log, &deletion(run_id, step)).unwrap();
}

#[test]
fn what_an_unfinished_deletion_hides_stays_also_where_its_run_is_deleted_again() {
    let log = new_log();
    store(&log, &[materialized("r", A, None), line("r"), line("r")]);
    deleted(&log, "r", 1);
    store(&log, &[line("r")]);
    deleted(&log, "r", 10);
    let step = Command::SweepDeletedRuns { step: 1, now: 3.0 };
    assert_kept_from_here(&log, &[step.clone(), step.clone(), step]);
}

#[test]
fn what_a_run_had_between_two_deletions_goes_once_both_are_done() {
    let log = new_log();
    store(&log, &[line("r"), line("r")]);
    deleted(&log, "r", 1);
    store(&log, &[line("r")]);
    deleted(&log, "r", 10);
    log.sweep(NOW, &|| false).unwrap();
    compact_soundly(&log, Keep::Nothing);
    let frames = frames(&log);
    assert!(frames.iter().all(|(_, kind, _)| *kind != Kind::Event));
}

#[test]
fn a_husk_says_what_its_record_brought_also_where_that_is_wiped_later() {
    let log = new_log();
    store(&log, &[check_evaluated("r", A, "c", None)]);
    deleted(&log, "r", 10);
    store(&log, &[check_evaluated("q", A, "c", None)]);
    assert_kept_from_here(&log, &[Command::Wipe { now: 51.0 }]);
}

#[test]
fn a_husk_says_how_its_run_stood_also_where_that_is_removed_later() {
    let log = new_log();
    put(&log, Space::Run, "r", 1, 1.0);
    let status = StatusFacet {
        status: "STARTED",
        starts: true,
        ..StatusFacet::default()
    };
    let started = Draft {
        status: Some(status),
        timestamp: 2.0,
        ..of_type("r", "PIPELINE_START")
    };
    store(&log, &[started]);
    deleted(&log, "r", 10);
    let removal = Command::DeleteRun {
        run_id: "r".into(),
        step: 10,
        now: 51.0,
    };
    assert_kept_from_here(&log, &[removal]);
}

/// `ENGINE_SEEDS` makes it longer.
#[test]
fn from_the_horizon_on_the_log_tells_how_everything_was() {
    for seed in 1..=seeds() {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        let log = new_log();
        (0..150).for_each(|_| random_command(&log, &mut dice));
        let mut was = Vec::new();
        put(&log, Space::Instigator, "the time", 0, 50.0);
        for _ in 0..20 {
            was.push((head(&log), whole_rows(&log)));
            random_command(&log, &mut dice);
        }
        log.sweep(NOW, &|| false).unwrap();
        let keep = Keep::Since(49.0);
        let compacted = compact(&log, keep);
        assert!(compacted.records > 20);
        assert_eq!(compacted.whole_from.get(), was[0].0);
        for (sequence, rows) in was {
            assert_eq!(as_of(&log, sequence), rows, "seed {seed}, as of {sequence}");
        }
    }
}

/// `ENGINE_SEEDS` makes it longer.
#[test]
fn random_logs_fold_the_same_after_compactions() {
    for seed in 1..=seeds() {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        random_log(seed, &mut dice, &new_log());
    }
}
