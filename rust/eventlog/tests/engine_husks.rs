//! Husks: which records may go, and that the log's fold is the same without them.

mod engine_support;

use engine_support::random::{Dice, random_command};
use engine_support::{
    assert_sound, assert_stays, check_evaluated, check_planned, claim, done, execute, head, husk,
    line, materialized, new_log, rebuild, rows, sequences_of, set_limit, store,
};
use eventlog::EventLog;
use eventlog::command::Command;
use eventlog::record::{Kind, Record};
use eventlog::value::{Shape, ShapeKind};

const A: &str = r#"["a"]"#;

fn delete_run(log: &EventLog, run_id: &str) {
    done(
        log,
        &Command::DeleteRunEvents {
            run_id: run_id.into(),
            step: 1_000,
            now: 9.0,
        },
    );
}

/// Husks everything that may go, one after the other in some order; the rows stay, and a refold and
/// a rebuild give the same.
fn husk_all(log: &EventLog, backward: bool) -> Vec<u64> {
    let before = rows(log);
    let mut sequences: Vec<_> = (1..=head(log)).collect();
    if backward {
        sequences.reverse();
    }
    let mut gone: Vec<_> = sequences
        .iter()
        .flat_map(|each| husk(log, &[*each]))
        .collect();
    gone.sort_unstable();
    assert_eq!(rows(log), before);
    assert_sound(log);
    rebuild(log);
    assert_eq!(rows(log), before);
    gone
}

#[test]
fn an_event_goes_once_its_run_is_deleted_and_keeps_the_names_it_brought() {
    let log = new_log();
    let stored = store(
        &log,
        &[line("r1"), materialized("r1", A, Some("p")), line("r2")],
    );
    stored.iter().for_each(|each| assert_stays(&log, *each));
    delete_run(&log, "r1");
    assert_eq!(husk_all(&log, false), [1, 2]);
    let left = log.query(|reader| {
        let frame = reader.record(eventlog::Sequence::new(2))?;
        Ok(format!("{frame:?}"))
    });
    let left = left.unwrap();
    assert!(
        left.contains("Asset(") && left.contains("known_assets"),
        "{left}"
    );
    store(&log, &[materialized("r1", A, None)]);
    assert_sound(&log);
}

#[test]
fn rows_of_a_planned_check_go_with_their_event_in_any_order() {
    for backward in [false, true] {
        let log = new_log();
        store(
            &log,
            &[check_planned("r1", A, "c", &["p", "q", "x"]), line("r2")],
        );
        store(&log, &[check_evaluated("r1", A, "c", Some("q"))]);
        (1..=3).for_each(|each| assert_stays(&log, each));
        delete_run(&log, "r1");
        // The tombstone finds the rows through the events of their check, here or gone.
        let first: &[u64] = if backward { &[2, 5] } else { &[1, 5] };
        assert_eq!(husk(&log, first), first);
        assert_sound(&log);
        let gone = husk_all(&log, backward);
        assert_eq!(gone, [3 - first[0], 3]);
    }
}

#[test]
fn a_register_goes_once_a_later_record_of_its_key_is_there() {
    let log = new_log();
    let partition = |present: bool| {
        let (definition, key) = ("d".to_string(), "k".to_string());
        let command = if present {
            let keys = vec![key];
            Command::AddDynamicPartitions {
                definition,
                keys,
                now: 1.0,
            }
        } else {
            Command::DeleteDynamicPartition {
                definition,
                key,
                now: 1.0,
            }
        };
        done(&log, &command);
    };
    partition(true);
    assert_stays(&log, 1);
    partition(false);
    assert_stays(&log, 2);
    partition(true);
    assert_eq!(husk_all(&log, false), [1, 2]);
    set_limit(&log, "pool", 1);
    set_limit(&log, "pool", 2);
    claim(&log, "pool", "r1", "s", 0);
    let held = head(&log);
    assert_stays(&log, held);
    done(
        &log,
        &Command::DeletePoolLimit {
            pool: "pool".into(),
            now: 1.0,
        },
    );
    assert_eq!(husk_all(&log, true), [4, 5, held]);
    let free = Command::FreeSlots {
        run_id: "r1".into(),
        step_key: None,
        now: 1.0,
    };
    done(&log, &free);
    assert_eq!(husk_all(&log, false), [held + 2], "the step's retirement");
}

#[test]
fn tombstones_shapes_and_husks_stay() {
    let log = new_log();
    let shape = Shape {
        kind: ShapeKind::Object,
        name: "A".into(),
        fields: Vec::new(),
        constants: String::new(),
        plan: 0,
    };
    let shapes = vec![shape];
    execute(&log, &Command::DefineShapes { shapes }).unwrap();
    store(
        &log,
        &[
            materialized("r1", A, Some("p")),
            materialized("r2", A, None),
        ],
    );
    let wipes = [
        Command::WipeAssetPartitions {
            asset_key: A.into(),
            partitions: vec!["p".into()],
            now: 1.0,
        },
        Command::WipeAsset {
            asset_key: A.into(),
            now: 1.0,
        },
        Command::DeleteRunEvents {
            run_id: "r1".into(),
            step: 1_000,
            now: 1.0,
        },
        Command::Wipe { now: 1.0 },
    ];
    for wipe in wipes {
        done(&log, &wipe);
        assert_stays(&log, head(&log));
    }
    assert_eq!(husk_all(&log, false), [2, 3]);
    assert_eq!(sequences_of(&log, Kind::Husk), [2, 3]);
    assert_eq!(husk_all(&log, true), Vec::<u64>::new());
    let no_records = [0, head(&log) + 1, u64::MAX];
    assert_eq!(husk(&log, &no_records), Vec::<u64>::new());
    assert_eq!(husk_all(&log, false), Vec::<u64>::new());
}

#[test]
fn what_a_wipe_of_an_asset_hides_stays_in_its_run() {
    let log = new_log();
    store(
        &log,
        &[
            materialized("r1", A, Some("p")),
            check_planned("r1", A, "c", &["p", "q"]),
        ],
    );
    done(
        &log,
        &Command::WipeAsset {
            asset_key: A.into(),
            now: 1.0,
        },
    );
    assert_eq!(husk_all(&log, false), [3], "the further row of the check");
    delete_run(&log, "r1");
    assert_eq!(husk_all(&log, false), [1, 2]);
}

/// `ENGINE_SEEDS` makes it longer.
#[test]
fn random_logs_fold_the_same_with_any_records_husked() {
    let seeds = std::env::var("ENGINE_SEEDS").map_or(8, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        let log = new_log();
        for round in 0..6 {
            for _ in 0..25 {
                random_command(&log, &mut dice);
            }
            assert_sound(&log);
            let before = rows(&log);
            let asked: Vec<_> = (1..=head(&log)).filter(|_| dice.below(2) == 0).collect();
            let gone = husk(&log, &asked);
            assert!(gone.iter().all(|each| asked.contains(each)));
            assert_eq!(rows(&log), before);
            let found = engine_support::differences(&log);
            assert!(
                found.is_empty(),
                "seed {seed}, round {round}: {gone:?} of {found:#?}"
            );
            if dice.below(3) == 0 {
                rebuild(&log);
                assert_eq!(rows(&log), before, "seed {seed}, round {round}");
            }
        }
        assert!(!sequences_of(&log, Kind::Husk).is_empty(), "seed {seed}");
        // What is left of each record still decodes.
        for sequence in 1..=head(&log) {
            let record = |reader: &eventlog::query::Reader<'_>| {
                let found = reader.record(eventlog::Sequence::new(sequence))?;
                Ok(found.map(|record: Record<'_>| record.kind()))
            };
            assert!(log.query(record).unwrap().is_some());
        }
    }
}
