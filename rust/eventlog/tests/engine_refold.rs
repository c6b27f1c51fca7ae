//! Refolding: what verification finds, and a rebuild beside writers.

mod engine_support;

use std::sync::atomic::{AtomicBool, Ordering};

use engine_support::{
    assert_sound, check_planned, claim, differences, execute, head, line, materialized, new_log,
    of_type, rebuild, rows, set_limit, store,
};
use eventlog::EventLog;
use eventlog::command::{Command, NewDocument, Put};
use eventlog::error::Error;
use eventlog::projection::{TABLES, Table};
use eventlog::record::{Space, Term};
use eventlog::store::{OpenOptions, Outcome, Transaction};

const A: &str = r#"["a"]"#;

/// Changes the store behind the engine's back.
fn tamper(log: &EventLog, work: impl FnOnce(&mut Transaction<'_>)) {
    log.store()
        .write(&|| false, |transaction| {
            work(transaction);
            Ok(Outcome::Commit(()))
        })
        .unwrap();
}

fn a_log_of_everything() -> engine_support::Log {
    let log = new_log();
    for run_id in ["r1", "r2"] {
        store(
            &log,
            &[
                line(run_id),
                materialized(run_id, A, Some("p")),
                check_planned(run_id, A, "c", &["p", "q"]),
            ],
        );
        set_limit(&log, "pool", 1);
        claim(&log, "pool", run_id, "s", 0);
        let created = Term {
            name: Term::CREATED.into(),
            value: String::new(),
            order: 0.0,
        };
        let run = NewDocument {
            space: Space::Run,
            put: Put::Insert,
            id: None,
            key: run_id.into(),
            created: None,
            terms: vec![created],
            body: vec![0xC0],
        };
        let documents = vec![run];
        execute(
            &log,
            &Command::PutDocuments {
                documents,
                now: 3.0,
            },
        )
        .unwrap();
    }
    assert_sound(&log);
    log
}

#[test]
fn verification_finds_each_row_that_is_changed_missing_or_too_many() {
    for table in Table::ALL {
        let log = a_log_of_everything();
        let of_table: Vec<_> = rows(&log)
            .into_iter()
            .filter(|(name, _, _)| *name == table.name())
            .collect();
        let put = |key: &[u8], value: &[u8]| {
            tamper(&log, |transaction| {
                let tree = transaction.live_set()[table as usize];
                transaction.put(tree, key, value).unwrap();
            });
        };
        let finds = |key: &[u8], what: &str| {
            let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            let expected = format!("{} {key}: the row {what}", table.name());
            assert_eq!(differences(&log), [expected]);
        };
        let extra = [0xFF; 20];
        put(&extra, b"");
        finds(&extra, "is not in the log's fold");
        tamper(&log, |transaction| {
            let tree = transaction.live_set()[table as usize];
            assert!(transaction.delete(tree, &extra).unwrap());
        });
        assert_sound(&log);
        for (_, key, value) in of_table {
            let mut changed = value.clone();
            changed.push(0);
            put(&key, &changed);
            finds(&key, "has another value");
            tamper(&log, |transaction| {
                let tree = transaction.live_set()[table as usize];
                assert!(transaction.delete(tree, &key).unwrap());
            });
            finds(&key, "is missing");
            put(&key, &value);
            assert_sound(&log);
        }
    }
}

#[test]
fn a_rebuild_mends_the_projections() {
    let log = a_log_of_everything();
    let before = rows(&log);
    tamper(&log, |transaction| {
        for tree in transaction.live_set().to_vec() {
            transaction.clear(tree).unwrap();
        }
    });
    assert!(differences(&log).len() > 10);
    assert_eq!(rebuild(&log), head(&log));
    assert_sound(&log);
    assert_eq!(rows(&log), before);
}

#[test]
fn verification_finds_a_record_that_is_damaged_and_goes_on() {
    let log = a_log_of_everything();
    tamper(&log, |transaction| {
        let tree = transaction.trees().log;
        let key = 2u64.to_be_bytes();
        let mut frame = transaction
            .view()
            .get(tree, &key)
            .unwrap()
            .unwrap()
            .to_vec();
        *frame.last_mut().unwrap() ^= 1;
        transaction.put(tree, &key, &frame).unwrap();
    });
    let found = log.verify(&mut |_, _, _| Ok(())).unwrap();
    assert!(
        found.differences[0].starts_with("record 2: ") && found.differences[0].contains("checksum")
    );
    assert_eq!(found.records, head(&log));
    let read = log.query(|reader| reader.record(eventlog::Sequence::new(2)).map(drop));
    assert!(matches!(
        read,
        Err(Error::DamagedRecord { sequence: 2, .. })
    ));
    let rebuilt = log.rebuild(&mut |_, _, _| Ok(()));
    assert!(matches!(
        rebuilt,
        Err(Error::DamagedRecord { sequence: 2, .. })
    ));
    store(&log, &[line("r3")]);
}

#[test]
fn verification_finds_records_that_are_missing() {
    let log = a_log_of_everything();
    tamper(&log, |transaction| {
        let tree = transaction.trees().log;
        for sequence in [2u64, 3] {
            assert!(transaction.delete(tree, &sequence.to_be_bytes()).unwrap());
        }
    });
    let found = differences(&log);
    assert_eq!(found[0], "records 2 to before 4 are missing");
    assert!(found.len() > 1, "and the rows that they gave");
}

#[test]
fn verification_changes_nothing_and_tells_its_progress() {
    let log = a_log_of_everything();
    let before = (rows(&log), head(&log), log.store().commit_word());
    let transaction = log.store().info().unwrap().last_transaction;
    let mut phases = Vec::new();
    log.verify(&mut |phase, done, total| {
        assert!(done <= total);
        phases.push(phase.to_owned());
        Ok(())
    })
    .unwrap();
    phases.dedup();
    assert_eq!(phases, ["refold", "compare"]);
    assert_eq!((rows(&log), head(&log), log.store().commit_word()), before);
    assert_eq!(log.store().info().unwrap().last_transaction, transaction);
}

#[test]
fn verification_ends_where_its_progress_says_so() {
    let log = a_log_of_everything();
    let ended = log.verify(&mut |_, _, _| Err(Error::Interrupted));
    assert!(matches!(ended, Err(Error::Interrupted)));
    assert_sound(&log);
}

#[test]
fn a_rebuild_goes_on_beside_writers_and_readers() {
    let log = new_log();
    // More records than one commit of the rebuild takes, so that it meets the writer midway.
    for batch in 0..120 {
        let run_id = format!("r{batch}");
        let drafts: Vec<_> = (0..200).map(|_| line(&run_id)).collect();
        store(&log, &drafts);
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut stored = 0u64;
            while !over.load(Ordering::Relaxed) {
                let drafts = [line("beside"), materialized("beside", A, Some("p"))];
                store(&log, &drafts);
                stored += 2;
            }
            stored
        });
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !over.load(Ordering::Relaxed) {
                let now = rows(&log).len();
                assert!(now >= last, "a reader sees the projections whole");
                last = now;
            }
        });
        for _ in 0..3 {
            rebuild(&log);
        }
        over.store(true, Ordering::Relaxed);
        let stored = writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(head(&log), 24_000 + stored);
    });
    assert_sound(&log);
}

#[test]
fn a_rebuild_that_was_ended_is_taken_up_where_it_was() {
    let log = new_log();
    for batch in 0..220 {
        let run_id = format!("r{batch}");
        store(&log, &(0..200).map(|_| line(&run_id)).collect::<Vec<_>>());
    }
    let refolded = |end_at: usize| {
        let mut reports = Vec::new();
        let result = log.rebuild(&mut |phase, done, _| {
            if phase == "refold" {
                reports.push(done);
            }
            if reports.len() == end_at {
                return Err(Error::Interrupted);
            }
            Ok(())
        });
        (result.is_ok(), reports)
    };
    assert_eq!(refolded(1), (false, vec![20_000]));
    assert_sound(&log);
    store(&log, &[line("meanwhile")]);
    assert_eq!(refolded(9), (true, vec![40_000, 44_001]));
    assert_sound(&log);
    assert_eq!(
        refolded(9).1,
        [20_000, 40_000, 44_001],
        "the next begins anew"
    );
}

#[test]
fn a_rebuild_of_large_records_has_few_of_them_in_memory() {
    let log = new_log();
    let large = "x".repeat(1 << 20);
    for _ in 0..20 {
        let mut draft = line("r1");
        draft.step_key = Some(&large);
        store(&log, &[draft]);
    }
    let mut reports = Vec::new();
    let rebuilt = log.rebuild(&mut |phase, done, _| {
        if phase == "refold" {
            reports.push(done);
        }
        Ok(())
    });
    rebuilt.unwrap();
    assert_eq!(reports, [16, 20]);
    assert_sound(&log);
}

#[test]
fn a_rebuild_folds_the_last_record_too() {
    let log = new_log();
    let drafts: Vec<_> = (0..20_001).map(|_| line("r1")).collect();
    store(&log, &drafts);
    assert_eq!(rebuild(&log), 20_001);
    assert_sound(&log);
}

#[test]
fn a_batch_leaves_the_rows_that_its_events_leave_one_by_one() {
    let large = "x".repeat(100_000);
    let runs = ["r1", "r2", "r3"];
    let drafts: Vec<_> = (0..180)
        .map(|number| {
            let mut draft = match number % 3 {
                0 => line(runs[number % 2]),
                1 => of_type(runs[number / 3 % 3], "PIPELINE_START"),
                _ => materialized(
                    "r1",
                    [A, r#"["b"]"#][number % 2],
                    Some(runs[number / 7 % 3]),
                ),
            };
            if let Some(asset) = &mut draft.asset {
                asset.tags.push(("tag", &large));
            }
            draft
        })
        .collect();
    let (at_once, one_by_one) = (new_log(), new_log());
    store(&at_once, &drafts);
    for draft in &drafts {
        store(&one_by_one, std::slice::from_ref(draft));
    }
    assert_eq!(rows(&at_once), rows(&one_by_one));
    assert_sound(&at_once);
    rebuild(&at_once);
    assert_sound(&at_once);
}

#[test]
fn both_sets_take_turns_and_the_old_one_is_emptied() {
    let log = a_log_of_everything();
    for _ in 0..3 {
        let live = |log: &EventLog| log.store().info().unwrap().meta.live_set;
        let before = live(&log);
        rebuild(&log);
        assert_eq!(live(&log), 1 - before);
        let left = log.store().read(|snapshot| {
            let old = &snapshot.trees().sets[usize::from(before)];
            assert_eq!(old.len(), TABLES.len());
            let mut left = 0;
            for tree in old {
                left += snapshot.view().stat(*tree)?.entries;
            }
            Ok(left)
        });
        assert_eq!(left.unwrap(), 0);
        assert_sound(&log);
    }
}

#[test]
fn a_rebuild_removes_the_trees_that_another_fold_had() {
    let log = a_log_of_everything();
    let names = |log: &EventLog| {
        log.store()
            .read(|snapshot| Ok(snapshot.view().tree_names()?))
    };
    let before = names(&log).unwrap();
    let added = log.store().write(&|| false, |transaction| {
        for (name, rows) in [
            ("a.asset_partitions", 45_000_u32),
            ("b.asset_partitions", 0),
        ] {
            let tree = transaction.writing().create_tree(name)?;
            for row in 0..rows {
                transaction.put(tree, &row.to_be_bytes(), b"a row")?;
            }
        }
        Ok(Outcome::Commit(()))
    });
    added.unwrap();
    assert_eq!(names(&log).unwrap().len(), before.len() + 2);
    rebuild(&log);
    assert_eq!(names(&log).unwrap(), before);
    assert_sound(&log);
    let directory = log.directory;
    drop(log.log);
    let again = EventLog::open(directory.path(), &OpenOptions::default()).unwrap();
    store(&again, &[line("after")]);
    rebuild(&again);
    assert_sound(&again);
}
