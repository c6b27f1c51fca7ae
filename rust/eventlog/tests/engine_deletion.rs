//! Deleting a run: hidden in one commit whatever its length, its rows removed in small ones.

mod engine_support;

use std::collections::HashSet;

use engine_support::random::{Dice, random_command};
use engine_support::{
    assert_changes_nothing, assert_sound, assert_stays, check_evaluated, check_planned, done,
    execute, head, husk, kinds_after, line, materialized, new_log, of_type, rebuild, rows, store,
};
use eventlog::EventLog;
use eventlog::command::{Command, NewDocument, Put, Reply};
use eventlog::compaction::Keep;
use eventlog::query::{Bounds, Reader, assets, checks, documents, events, last_event, partitions};
use eventlog::record::event_type::names;
use eventlog::record::{Kind, Space};

const ASSETS: [&str; 2] = [r#"["a"]"#, r#"["b"]"#];
const A: &str = ASSETS[0];

fn delete(log: &EventLog, run_id: &str, step: usize) -> Reply {
    let (run_id, now) = (run_id.to_string(), 9.0);
    execute(log, &Command::DeleteRun { run_id, step, now }).unwrap()
}

fn sweep(log: &EventLog, step: usize) -> Reply {
    execute(log, &Command::SweepDeletedRuns { step, now: 9.0 }).unwrap()
}

fn add_run(log: &EventLog, run_id: &str) {
    let document = NewDocument {
        space: Space::Run,
        put: Put::Insert,
        id: None,
        key: run_id.into(),
        created: None,
        terms: Vec::new(),
        body: vec![1],
    };
    let documents = vec![document];
    execute(
        log,
        &Command::PutDocuments {
            documents,
            now: 1.0,
        },
    )
    .unwrap();
}

fn typed(event_type: &str) -> events::TypedEvents {
    events::TypedEvents {
        event_type: event_type.into(),
        asset_key: None,
        partitions: None,
        job_names: None,
        sequences: None,
        bounds: Bounds::ALL,
        after_timestamp: None,
        before_timestamp: None,
        limit: None,
        ascending: false,
    }
}

/// Answers to everything that shows events of other runs as well, as text.
fn answers(log: &EventLog) -> Vec<String> {
    log.query(|reader| {
        let mut found = vec![
            format!("{:?}", last_event(reader, &[], usize::MAX)?.found),
            format!(
                "{:?}",
                sequences(&events::events_after(
                    reader,
                    eventlog::Sequence::ZERO,
                    None,
                    None
                )?)
            ),
        ];
        for event_type in [
            "STEP_START",
            "PIPELINE_START",
            "OF_LATER",
            names::MATERIALIZATION,
            names::OBSERVATION,
            names::PLANNED,
            names::FAILED,
            names::CHECK_PLANNED,
            names::FRESHNESS,
        ] {
            answers_of_type(reader, event_type, &mut found)?;
        }
        for asset_key in ASSETS {
            answers_of_asset(reader, asset_key, &mut found)?;
        }
        Ok(found)
    })
    .unwrap()
}

fn sequences(events: &[events::StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.sequence.get()).collect()
}

fn answers_of_type(
    reader: &Reader<'_>,
    event_type: &str,
    found: &mut Vec<String>,
) -> eventlog::Result<()> {
    let query = typed(event_type);
    let limited = events::TypedEvents {
        limit: Some(2),
        ..query.clone()
    };
    let given = events::TypedEvents {
        sequences: Some((1..200).map(eventlog::Sequence::new).collect()),
        ..query.clone()
    };
    let jobs = events::TypedEvents {
        job_names: Some(vec![String::new()]),
        ..query.clone()
    };
    for query in [&query, &limited, &given, &jobs] {
        let of_query = events::typed_sequences(reader, query)?;
        found.push(format!("{event_type} {of_query:?}"));
    }
    let types = [event_type.to_string()].into();
    let after = events::events_after(reader, eventlog::Sequence::ZERO, Some(&types), Some(3))?;
    found.push(format!("{event_type} after {:?}", sequences(&after)));
    for asset_key in ASSETS {
        let of_asset = events::TypedEvents {
            asset_key: Some(asset_key.into()),
            ..query.clone()
        };
        let in_partitions = events::TypedEvents {
            partitions: Some(vec!["p".into(), "q".into()]),
            ..of_asset.clone()
        };
        for query in [&of_asset, &in_partitions] {
            let summaries = events::asset_event_summaries(reader, query, None)?;
            found.push(format!("{event_type} {asset_key} {summaries:?}"));
        }
        let bounds = [
            Bounds::ALL,
            Bounds::new(Some(20), None),
            Bounds::new(None, Some(60)),
        ];
        for bounds in bounds {
            let wanted: HashSet<String> = ["p".into(), "x".into()].into();
            for wanted in [None, Some(&wanted)] {
                let mut latest =
                    partitions::latest_by_partition(reader, asset_key, event_type, wanted, bounds)?;
                latest.sort();
                found.push(format!("{event_type} {asset_key} {bounds:?} {latest:?}"));
            }
        }
    }
    Ok(())
}

fn answers_of_asset(
    reader: &Reader<'_>,
    asset_key: &str,
    found: &mut Vec<String>,
) -> eventlog::Result<()> {
    for row in assets::asset_rows(reader, Some(&[asset_key.into()]))? {
        let at = |event: &Option<events::StoredEvent>| event.as_ref().map(|e| e.sequence.get());
        let latest = [
            at(&row.last_materialization),
            at(&row.last_observation),
            at(&row.last_failed),
            at(&row.last_skipped),
        ];
        found.push(format!(
            "{latest:?} {:?} {:?}",
            row.last_planned, row.last_run_id
        ));
    }
    let unpartitioned = assets::latest_unpartitioned(reader, asset_key)?;
    let freshness = assets::latest_freshness_change(reader, asset_key)?;
    found.push(format!(
        "{unpartitioned:?} {:?}",
        freshness.map(|event| event.sequence)
    ));
    let tag = [("dagster/partition/x".to_string(), "1".to_string())];
    for tags in [&tag[..], &[]] {
        found.push(format!(
            "{:?}",
            assets::event_tags(reader, asset_key, tags, None)?
        ));
        for sequence in 1..100 {
            let sequence = Some(eventlog::Sequence::new(sequence));
            found.push(format!(
                "{:?}",
                assets::event_tags(reader, asset_key, tags, sequence)?
            ));
        }
    }
    let mut attempts = partitions::unmaterialized_attempts(reader, asset_key, Bounds::ALL)?;
    attempts.sort();
    found.push(format!("{attempts:?}"));
    let wanted = ["p".into(), "q".into(), "x".into()].into();
    let since = eventlog::Sequence::new(10);
    let key = "dagster/partition/x";
    let changed = partitions::changed_data_versions(reader, asset_key, &wanted, since, key)?;
    found.push(format!("{changed:?}"));
    let query = checks::Executions {
        limit: 3,
        ..checks::Executions::default()
    };
    let by_partition = checks::Executions {
        partition: Some(Some("p".into())),
        ..query.clone()
    };
    for query in [query, by_partition] {
        for execution in checks::executions(reader, asset_key, "c", &query)? {
            found.push(format!("{} {:?}", execution.row_id, execution.row));
        }
    }
    for wanted in [None, Some(&["p".to_string(), "q".to_string()][..])] {
        let found_partitions = checks::partitions(reader, asset_key, "c", None, wanted)?;
        found.push(format!("{found_partitions:?}"));
    }
    Ok(())
}

#[test]
fn a_long_run_is_hidden_in_one_commit_and_swept_in_small_ones() {
    let log = new_log();
    add_run(&log, "r1");
    for _ in 0..10 {
        store(
            &log,
            &[
                line("r1"),
                of_type("r1", "STEP_START"),
                materialized("r1", A, Some("p")),
            ],
        );
    }
    let stays = store(&log, &[materialized("r2", A, Some("p"))]);
    store(
        &log,
        &[
            materialized("r1", A, Some("p")),
            materialized("r1", A, None),
        ],
    );
    let before = head(&log);
    assert_eq!(delete(&log, "r1", 4), Reply::More);
    assert_eq!(
        kinds_after(&log, before),
        [Kind::Document, Kind::RunEventsDeleted]
    );
    let seen = answers(&log);
    let latest = |log: &EventLog| {
        let query = typed(names::MATERIALIZATION);
        let found = log.query(|reader| events::typed_sequences(reader, &query));
        found
            .unwrap()
            .into_iter()
            .map(eventlog::Sequence::get)
            .collect::<Vec<_>>()
    };
    assert_eq!(latest(&log), stays);
    let gone = log.query(|reader| documents::by_key(reader, Space::Run, "r1"));
    assert_eq!(gone.unwrap(), None);
    let mut steps = 0;
    while sweep(&log, 4) == Reply::More {
        steps += 1;
        assert_eq!(answers(&log), seen);
        assert_sound(&log);
    }
    // 32 events; the step that finds fewer than it may take is the last one.
    assert_eq!(steps, 9);
    assert_changes_nothing(&log, &Command::SweepDeletedRuns { step: 4, now: 9.0 });
    assert_eq!(
        rows(&log)
            .iter()
            .filter(|row| row.0 == "run_events")
            .count(),
        1
    );
}

#[test]
fn a_run_may_come_again_while_its_first_life_is_swept() {
    let log = new_log();
    store(&log, &vec![materialized("r1", A, Some("p")); 5]);
    store(&log, &[check_planned("r1", A, "c", &["p", "q"])]);
    assert_eq!(delete(&log, "r1", 2), Reply::More);
    sweep(&log, 2);
    let again = store(
        &log,
        &[
            check_evaluated("r1", A, "c", Some("p")),
            materialized("r1", A, None),
        ],
    );
    let seen = answers(&log);
    assert_eq!(delete(&log, "r1", 1), Reply::More);
    store(&log, &[line("r1")]);
    while sweep(&log, 1) == Reply::More {
        assert_sound(&log);
    }
    assert_ne!(answers(&log), seen);
    let of_run = events::RunEvents {
        bounds: Bounds::ALL,
        offset: 0,
        types: None,
        step_keys: None,
        limit: None,
        ascending: true,
    };
    let left = log
        .query(|reader| events::run_events(reader, "r1", &of_run))
        .unwrap();
    assert_eq!(sequences(&left), [head_of_lines(&log)]);
    assert!(head_of_lines(&log) > again[1]);
}

/// The last log line's sequence.
fn head_of_lines(log: &EventLog) -> u64 {
    log.last_event().unwrap().unwrap().get()
}

#[test]
fn nothing_of_a_run_is_husked_before_it_is_swept() {
    let log = new_log();
    let stored = store(&log, &vec![materialized("r1", A, Some("p")); 5]);
    delete(&log, "r1", 1);
    stored
        .iter()
        .for_each(|sequence| assert_stays(&log, *sequence));
    sweep(&log, 3);
    stored
        .iter()
        .for_each(|sequence| assert_stays(&log, *sequence));
    let first_step = head(&log);
    assert_stays(&log, first_step);
    while sweep(&log, 3) == Reply::More {}
    let last_step = head(&log);
    assert_stays(&log, last_step);
    assert_eq!(husk(&log, &stored), stored);
    assert_eq!(husk(&log, &[first_step]), [first_step]);
    assert_sound(&log);
}

#[test]
fn a_compaction_ends_what_a_deletion_has_left() {
    let log = new_log();
    store(&log, &vec![line("r1"); 30]);
    assert_eq!(delete(&log, "r1", 1), Reply::More);
    let compacted = log
        .compact(Keep::Nothing, 9.0, &mut |_, _, _| Ok(()))
        .unwrap();
    assert_eq!(compacted.records, 30);
    assert!(rows(&log).iter().all(|row| row.0 != "deleted_runs"));
    assert_sound(&log);
}

#[test]
fn a_wipe_of_the_log_ends_what_a_deletion_has_left() {
    let log = new_log();
    store(&log, &vec![line("r1"); 30]);
    delete(&log, "r1", 1);
    done(&log, &Command::Wipe { now: 9.0 });
    assert_eq!(sweep(&log, 1), Reply::Done);
    assert_sound(&log);
}

/// `ENGINE_SEEDS` makes it longer.
#[test]
fn what_is_hidden_is_answered_as_what_is_gone() {
    let seeds = std::env::var("ENGINE_SEEDS").map_or(12, |seeds| seeds.parse().unwrap());
    let mut steps = 0;
    for seed in 1..=seeds {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        let log = new_log();
        for round in 0..4 {
            (0..40).for_each(|_| random_command(&log, &mut dice));
            delete(&log, dice.pick(&["r1", "r2", "r3", ""]), 1);
            if dice.below(2) == 0 {
                rebuild(&log);
            }
            let seen = answers(&log);
            while sweep(&log, 1 + dice.below(3)) == Reply::More {
                steps += 1;
                for (now, before) in answers(&log).iter().zip(&seen) {
                    assert_eq!(now, before, "seed {seed}, round {round}");
                }
            }
            assert_sound(&log);
        }
    }
    assert!(steps > 50, "{steps}");
}
