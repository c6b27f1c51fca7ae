//! Each command: the records it becomes, the answers they give, and that refolding gives the same.

mod engine_support;

use std::collections::{BTreeSet, HashSet};

use engine_support::{
    Draft, all, assert_changes_nothing, assert_refused, assert_sound, check_evaluated,
    check_planned, claim, done, execute, head, kinds_after, line, materialized, new_log, of_asset,
    of_type, rebuild, set_limit, store,
};
use eventlog::command::{Command, NewEvent, Reply};
use eventlog::error::Error;
use eventlog::query::events::{
    RunEvents, TypedEvents, events_after, run_event_counts, run_events, typed_events,
};
use eventlog::query::{Bounds, assets, checks, dynamic_partitions, partitions};
use eventlog::record::event_type::names;
use eventlog::record::{AssetFacet, Kind};
use eventlog::value::{Shape, ShapeKind};
use eventlog::{EventLog, Sequence};

const A: &str = r#"["a"]"#;
const B: &str = r#"["b"]"#;

fn of_run(log: &EventLog, run_id: &str, types: &[&str]) -> Vec<u64> {
    let query = RunEvents {
        bounds: all(),
        offset: 0,
        types: (!types.is_empty()).then(|| types.iter().map(|&t| t.into()).collect()),
        step_keys: None,
        limit: None,
        ascending: true,
    };
    let found = log
        .query(|reader| run_events(reader, run_id, &query))
        .unwrap();
    found.iter().map(|event| event.sequence.get()).collect()
}

fn typed(event_type: &str) -> TypedEvents {
    TypedEvents {
        event_type: event_type.into(),
        asset_key: None,
        partitions: None,
        job_names: None,
        sequences: None,
        bounds: all(),
        after_timestamp: None,
        before_timestamp: None,
        limit: None,
        ascending: true,
    }
}

fn found(log: &EventLog, query: &TypedEvents) -> Vec<u64> {
    let events = log.query(|reader| typed_events(reader, query)).unwrap();
    events.iter().map(|event| event.sequence.get()).collect()
}

fn known(log: &EventLog) -> Vec<String> {
    log.query(|reader| assets::asset_keys(reader, None, None, None))
        .unwrap()
}

fn asset(log: &EventLog, key: &str) -> assets::AssetRow {
    let mut rows = log
        .query(|reader| assets::asset_rows(reader, Some(&[key.into()])))
        .unwrap();
    rows.pop().expect("a known asset")
}

fn latest(log: &EventLog, key: &str, event_type: &str) -> Vec<(String, u64)> {
    let by_partition = log
        .query(|reader| partitions::latest_by_partition(reader, key, event_type, None, all()))
        .unwrap();
    let mut found: Vec<_> = by_partition
        .into_iter()
        .map(|(name, sequence)| (name, sequence.get()))
        .collect();
    found.sort();
    found
}

fn executions(log: &EventLog, key: &str, name: &str) -> Vec<(u64, &'static str, u64)> {
    let query = checks::Executions {
        limit: 100,
        ..checks::Executions::default()
    };
    let found = log
        .query(|reader| checks::executions(reader, key, name, &query))
        .unwrap();
    found
        .iter()
        .map(|each| {
            (
                each.row_id.get(),
                each.row.status.name(),
                each.row.event.get(),
            )
        })
        .collect()
}

fn wipe_asset(log: &EventLog, asset_key: &str, now: f64) {
    done(
        log,
        &Command::WipeAsset {
            asset_key: asset_key.into(),
            now,
        },
    );
}

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

#[test]
fn shapes_get_dense_ordinals_and_keep_them() {
    let log = new_log();
    let shape = |name: &str| Shape {
        kind: ShapeKind::Object,
        name: name.into(),
        fields: vec!["x".into()],
        constants: String::new(),
        plan: 0,
    };
    let define = |names: &[&str]| Command::DefineShapes {
        shapes: names.iter().map(|name| shape(name)).collect(),
    };
    let reply = execute(&log, &define(&["A", "B", "A"])).unwrap();
    assert_eq!(reply, Reply::Shapes(vec![0, 1, 0]));
    let reply = execute(&log, &define(&["C", "B"])).unwrap();
    assert_eq!(reply, Reply::Shapes(vec![2, 1]));
    assert_eq!(kinds_after(&log, 0), [Kind::ShapeDefined; 3]);
    let again = assert_changes_nothing(&log, &define(&["B", "A"]));
    assert_eq!(again, Reply::Shapes(vec![1, 0]));
    let names: Vec<_> = log.shapes().unwrap();
    assert_eq!(names.iter().map(|s| &s.name[..]).collect::<String>(), "ABC");
    assert_sound(&log);
}

#[test]
fn events_are_found_by_run_by_type_by_job_and_across_runs() {
    let log = new_log();
    let stored = store(
        &log,
        &[
            line("r1"),
            of_type("r1", "STEP_START"),
            of_type("r2", "STEP_START"),
            Draft {
                job_name: Some("job"),
                ..of_type("r1", "PIPELINE_SUCCESS")
            },
            of_type("r1", "A_TYPE_OF_LATER"),
        ],
    );
    assert_eq!(stored, [1, 2, 3, 4, 5]);
    assert_eq!(kinds_after(&log, 0), [Kind::Event; 5]);
    assert_eq!(of_run(&log, "r1", &[]), [1, 2, 4, 5]);
    assert_eq!(
        of_run(&log, "r1", &["STEP_START", "A_TYPE_OF_LATER"]),
        [2, 5]
    );
    assert_eq!(of_run(&log, "nobody", &[]), Vec::<u64>::new());
    assert_eq!(found(&log, &typed("STEP_START")), [2, 3]);
    assert_eq!(found(&log, &typed("A_TYPE_OF_LATER")), [5]);
    let mut of_job = typed("PIPELINE_SUCCESS");
    of_job.job_names = Some(vec!["job".into()]);
    assert_eq!(found(&log, &of_job), [4]);
    of_job.job_names = Some(vec!["another".into()]);
    assert_eq!(found(&log, &of_job), Vec::<u64>::new());
    let after = |after, types: Option<&[&str]>| {
        let types = types.map(|types| types.iter().map(|&t| t.into()).collect::<BTreeSet<_>>());
        let events =
            log.query(|reader| events_after(reader, Sequence::new(after), types.as_ref(), Some(2)));
        let sequences = events
            .unwrap()
            .into_iter()
            .map(|event| event.sequence.get());
        sequences.collect::<Vec<_>>()
    };
    assert_eq!(after(0, None), [1, 2]);
    assert_eq!(after(3, None), [4, 5]);
    assert_eq!(after(0, Some(&["STEP_START", "A_TYPE_OF_LATER"])), [2, 3]);
    assert_eq!(log.last_event().unwrap().map(Sequence::get), Some(5));
    let mut counts = log
        .query(|reader| run_event_counts(reader, "r1", None))
        .unwrap();
    counts.sort_by(|one, other| one.0.cmp(&other.0));
    let counts: Vec<_> = counts.iter().map(|(name, n, _)| (&name[..], *n)).collect();
    let expected = [
        ("A_TYPE_OF_LATER", 1),
        ("PIPELINE_SUCCESS", 1),
        ("STEP_START", 1),
    ];
    assert_eq!(counts, expected);
    assert_sound(&log);
}

#[test]
fn a_payload_that_is_no_event_is_refused_with_its_batch() {
    let log = new_log();
    let good = line("r1").encode();
    for payload in [
        b"".to_vec(),
        b"\x02\xc1".to_vec(),
        b"\x63".to_vec(),
        b"\x07\x91\xcb".to_vec(),
    ] {
        let bad = NewEvent {
            payload,
            more_partitions: Vec::new(),
        };
        let events = vec![good.clone(), bad];
        let error = execute(&log, &Command::StoreEvents { events }).unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
    }
    assert_eq!(head(&log), 0);
    assert_eq!(store(&log, &[line("r1")]), [1]);
    assert_sound(&log);
}

#[test]
fn an_asset_shows_its_latest_event_of_each_kind() {
    let log = new_log();
    let failed = |skipped| {
        let mut draft = of_asset("r1", names::FAILED, A, Some("p"));
        draft.asset.as_mut().unwrap().skipped = skipped;
        draft
    };
    let mut planned = of_asset("r2", names::PLANNED, A, None);
    planned.asset.as_mut().unwrap().subset = vec!["p", "q"];
    store(
        &log,
        &[
            materialized("r1", A, Some("p")),
            of_asset("r1", names::OBSERVATION, A, None),
            failed(false),
            failed(true),
            planned,
            materialized("r1", A, Some("q")),
            of_asset("", names::FRESHNESS, B, None),
        ],
    );
    assert_eq!(known(&log), [A], "a freshness state makes no asset known");
    let row = asset(&log, A);
    let sequence = |event: Option<eventlog::query::StoredEvent>| event.map(|e| e.sequence.get());
    assert_eq!(sequence(row.last_materialization), Some(6));
    assert_eq!(sequence(row.last_observation), Some(2));
    assert_eq!(sequence(row.last_failed), Some(3));
    assert_eq!(sequence(row.last_skipped), Some(4));
    let planned = row
        .last_planned
        .map(|(sequence, run)| (sequence.get(), run));
    assert_eq!(planned, Some((5, "r2".into())));
    assert_eq!(row.last_run_id.as_deref(), Some("r1"));
    assert_eq!(
        latest(&log, A, names::MATERIALIZATION),
        [("p".into(), 1), ("q".into(), 6)]
    );
    assert_eq!(
        latest(&log, A, names::PLANNED),
        [("p".into(), 5), ("q".into(), 5)]
    );
    let mut of_partitions = typed(names::PLANNED);
    of_partitions.asset_key = Some(A.into());
    of_partitions.partitions = Some(vec!["p".into(), "q".into()]);
    assert_eq!(
        found(&log, &of_partitions),
        [5],
        "once, however many of its partitions are asked"
    );
    let attempts = log
        .query(|reader| partitions::unmaterialized_attempts(reader, A, all()))
        .unwrap();
    assert_eq!(attempts, [("p".into(), "r2".into(), Sequence::new(5))]);
    assert_sound(&log);
}

#[test]
fn tags_are_found_by_event_by_dimension_and_by_partition() {
    let log = new_log();
    let tagged = |partition, tags| {
        let mut draft = materialized("r1", A, Some(partition));
        draft.asset.as_mut().unwrap().tags = tags;
        draft
    };
    store(
        &log,
        &[
            tagged("p", vec![("version", "1"), ("dagster/partition/x", "1")]),
            tagged("q", vec![("version", "1")]),
            tagged("p", vec![("version", "2"), ("dagster/partition/x", "2")]),
            tagged("q", vec![]),
        ],
    );
    let of = |wanted: &[(&str, &str)]| {
        let wanted: Vec<_> = wanted.iter().map(|&(k, v)| (k.into(), v.into())).collect();
        let found = log.query(|reader| assets::event_tags(reader, A, &wanted, None));
        found.unwrap().len()
    };
    assert_eq!(of(&[]), 3);
    assert_eq!(of(&[("version", "1")]), 2);
    assert_eq!(of(&[("dagster/partition/x", "2")]), 1);
    assert_eq!(of(&[("dagster/partition/x", "2"), ("version", "1")]), 0);
    let tags = log
        .query(|reader| {
            let keys = ["version".into()];
            partitions::latest_tags(reader, A, names::MATERIALIZATION, &keys, None, all())
        })
        .unwrap();
    assert_eq!(tags, [("p".into(), vec![("version".into(), "2".into())])]);
    let changed = |since| {
        let wanted: HashSet<_> = ["p".into(), "q".into()].into();
        let since = Sequence::new(since);
        let found = log.query(|reader| {
            partitions::changed_data_versions(reader, A, &wanted, since, "version")
        });
        found.unwrap()
    };
    assert_eq!(changed(0), ["p", "q"]);
    assert_eq!(changed(2), ["p"]);
    assert_eq!(changed(3), Vec::<String>::new());
    assert_sound(&log);
}

#[test]
fn a_planned_check_has_a_row_a_partition_and_is_evaluated_in_place() {
    let log = new_log();
    let stored = store(
        &log,
        &[
            check_planned("r1", A, "c", &["p", "q", "x"]),
            check_evaluated("r1", A, "c", Some("q")),
            check_evaluated("", A, "c", Some("q")),
            check_evaluated("r2", A, "c", None),
        ],
    );
    assert_eq!(
        stored,
        [1, 4, 5, 6],
        "each further row has a sequence of its own"
    );
    let expected = [
        (6, "SUCCEEDED", 6),
        (5, "SUCCEEDED", 5),
        (3, "PLANNED", 1),
        (2, "SUCCEEDED", 4),
        (1, "PLANNED", 1),
    ];
    assert_eq!(executions(&log, A, "c"), expected);
    assert_eq!(
        known(&log),
        Vec::<String>::new(),
        "checks make no asset known"
    );
    store(&log, &[check_evaluated("r1", A, "c", Some("q"))]);
    assert_eq!(executions(&log, A, "c")[3], (2, "SUCCEEDED", 7));
    let mut of_partitions: Vec<_> = log
        .query(|reader| checks::partitions(reader, A, "c", None, None))
        .unwrap()
        .into_iter()
        .map(|each| (each.partition, each.event.get()))
        .collect();
    of_partitions.sort();
    let expected = [
        (None, 6),
        (Some("p".into()), 1),
        (Some("q".into()), 5),
        (Some("x".into()), 1),
    ];
    assert_eq!(of_partitions, expected);
    assert_sound(&log);
}

#[test]
fn an_evaluation_of_several_planned_executions_is_refused_with_its_batch() {
    let log = new_log();
    let planned = check_planned("r1", A, "c", &["p"]);
    let evaluated = check_evaluated("r1", A, "c", Some("p"));
    let duplicate = |error| matches!(error, Error::DuplicatePlannedCheck { planned: 2, .. });
    let batch = [planned.clone(), planned.clone(), evaluated.clone()];
    assert!(duplicate(assert_refused(&log, &batch)));
    store(&log, std::slice::from_ref(&planned));
    let batch = [line("r1"), planned.clone(), evaluated.clone()];
    assert!(duplicate(assert_refused(&log, &batch)));
    store(&log, &[planned]);
    assert!(duplicate(assert_refused(&log, &[line("r1"), evaluated])));
    // An evaluation that nobody planned is an execution too, also one of the same batch.
    let unplanned = check_evaluated("r2", A, "c", None);
    let batch = [
        unplanned.clone(),
        check_planned("r2", A, "c", &[]),
        unplanned,
    ];
    assert!(duplicate(assert_refused(&log, &batch)));
    store(&log, &batch[..2]);
    assert!(duplicate(assert_refused(&log, &batch[2..])));
    store(&log, &[check_evaluated("r1", A, "c", Some("q"))]);
    assert_sound(&log);
}

#[test]
fn deleting_a_runs_events_leaves_its_assets_known_and_frees_its_slots() {
    let log = new_log();
    store(
        &log,
        &[
            line("r1"),
            materialized("r2", A, Some("p")),
            materialized("r1", A, Some("p")),
            materialized("r1", B, None),
            check_planned("r1", A, "c", &["p", "q"]),
            of_type("r1", "PIPELINE_START"),
        ],
    );
    set_limit(&log, "pool", 1);
    assert!(claim(&log, "pool", "r1", "s", 0).claimed);
    assert!(!claim(&log, "pool", "r2", "s", 0).claimed);
    let before = head(&log);
    delete_run(&log, "r1");
    assert_eq!(
        kinds_after(&log, before),
        [Kind::RunEventsDeleted, Kind::PoolStep, Kind::PoolStep]
    );
    assert_eq!(of_run(&log, "r1", &[]), Vec::<u64>::new());
    assert_eq!(found(&log, &typed("PIPELINE_START")), Vec::<u64>::new());
    assert_eq!(executions(&log, A, "c"), []);
    assert_eq!(latest(&log, A, names::MATERIALIZATION), [("p".into(), 2)]);
    assert_eq!(known(&log), [A, B]);
    assert!(asset(&log, B).last_materialization.is_none());
    assert!(claim(&log, "pool", "r2", "s", 0).claimed);
    assert_eq!(log.last_event().unwrap().map(Sequence::get), Some(2));
    assert_changes_nothing(
        &log,
        &Command::DeleteRunEvents {
            run_id: "r1".into(),
            step: 1_000,
            now: 9.0,
        },
    );
    assert_sound(&log);
}

#[test]
fn wiping_an_asset_hides_what_is_not_later_than_the_wipe() {
    let log = new_log();
    let at = |timestamp, draft: Draft<'static>| Draft { timestamp, ..draft };
    store(
        &log,
        &[
            at(5.0, materialized("r1", A, Some("p"))),
            at(4.0, materialized("r1", A, Some("q"))),
            at(1.0, of_asset("", names::FRESHNESS, A, None)),
            check_planned("r1", A, "c", &[]),
        ],
    );
    let before = head(&log);
    wipe_asset(&log, A, 4.0);
    assert_eq!(kinds_after(&log, before), [Kind::AssetWiped]);
    assert_eq!(latest(&log, A, names::MATERIALIZATION), [("p".into(), 1)]);
    assert_eq!(known(&log), [A], "an event of later stands");
    assert_eq!(executions(&log, A, "c"), []);
    wipe_asset(&log, A, 6.0);
    assert_eq!(known(&log), Vec::<String>::new());
    // A clock that is behind hides less, and takes nothing back.
    wipe_asset(&log, A, 2.0);
    store(&log, &[at(6.0, materialized("r1", A, None))]);
    assert_eq!(known(&log), Vec::<String>::new());
    store(&log, &[at(6.5, materialized("r1", A, None))]);
    let row = asset(&log, A);
    assert_eq!((row.wiped_at, row.id), (Some(6.0), 1));
    assert_eq!(found(&log, &typed(names::MATERIALIZATION)).len(), 4);
    let freshness = log.query(|reader| assets::latest_freshness_change(reader, A));
    assert_eq!(
        freshness.unwrap().unwrap().sequence.get(),
        3,
        "a wipe leaves it"
    );
    assert_changes_nothing(
        &log,
        &Command::WipeAsset {
            asset_key: B.into(),
            now: 9.0,
        },
    );
    assert_sound(&log);
}

#[test]
fn an_asset_of_which_nothing_stands_is_wiped_as_event_by_event() {
    let wiped = |with_later: bool| {
        let log = new_log();
        let mut failed = of_asset("r1", names::FAILED, A, Some("q"));
        let facet = failed.asset.as_mut().unwrap();
        facet.tags = vec![("dagster/partition/x", "1")];
        let freshness = of_asset("", names::FRESHNESS, A, None);
        let drafts = [materialized("r1", A, Some("p")), failed, freshness];
        store(&log, &drafts);
        store(&log, &[materialized("r1", B, Some("p"))]);
        // What is later than the wipe keeps the events from going all at once.
        let timestamp = if with_later { 9.0 } else { 0.0 };
        let later = materialized("later", A, Some("q"));
        store(&log, &[Draft { timestamp, ..later }]);
        wipe_asset(&log, A, 4.0);
        delete_run(&log, "later");
        let rows = engine_support::rows(&log).into_iter();
        rows.filter(|row| row.0.starts_with("asset_"))
            .collect::<Vec<_>>()
    };
    let all_at_once = wiped(false);
    assert_eq!(all_at_once, wiped(true));
    // The freshness, and the other asset's event with its partition.
    assert_eq!(all_at_once.len(), 1 + 3);
}

#[test]
fn wiping_partitions_hides_their_events_and_what_is_latest_falls_back() {
    let log = new_log();
    let mut subset = of_asset("r1", names::PLANNED, A, None);
    subset.asset = Some(AssetFacet {
        key: A,
        subset: vec!["p", "q"],
        ..AssetFacet::default()
    });
    store(
        &log,
        &[
            materialized("r1", A, Some("q")),
            subset,
            materialized("r1", A, Some("p")),
            check_evaluated("r1", A, "c", Some("p")),
            check_evaluated("r1", A, "c", Some("q")),
        ],
    );
    let wipe = |partitions: &[&str]| Command::WipeAssetPartitions {
        asset_key: A.into(),
        partitions: partitions.iter().map(|&name| name.into()).collect(),
        now: 9.0,
    };
    done(&log, &wipe(&["p", "p", "unknown"]));
    assert_eq!(kinds_after(&log, 5), [Kind::AssetPartitionsWiped]);
    let sequence = |log: &EventLog| asset(log, A).last_materialization.map(|e| e.sequence.get());
    assert_eq!(sequence(&log), Some(1));
    assert_eq!(latest(&log, A, names::PLANNED), [("q".into(), 2)]);
    assert!(
        asset(&log, A).last_planned.is_some(),
        "a partition of it stands"
    );
    assert_eq!(executions(&log, A, "c").len(), 1);
    assert_eq!(of_run(&log, "r1", &[]).len(), 5, "the run still shows them");
    assert_changes_nothing(&log, &wipe(&["p", "unknown"]));
    done(&log, &wipe(&["q"]));
    assert_eq!(sequence(&log), None);
    assert!(asset(&log, A).last_planned.is_none());
    assert_eq!(known(&log), [A]);
    store(&log, &[materialized("r1", A, Some("p"))]);
    assert_eq!(latest(&log, A, names::MATERIALIZATION), [("p".into(), 8)]);
    assert_sound(&log);
}

#[test]
fn wiping_the_log_takes_everything_but_shapes_and_sequences_go_on() {
    let log = new_log();
    assert_changes_nothing(&log, &Command::Wipe { now: 1.0 });
    store(
        &log,
        &[
            materialized("r1", A, Some("p")),
            check_planned("r1", A, "c", &[]),
        ],
    );
    set_limit(&log, "pool", 1);
    claim(&log, "pool", "r1", "s", 0);
    done(
        &log,
        &Command::AddDynamicPartitions {
            definition: "d".into(),
            keys: vec!["k".into()],
            now: 1.0,
        },
    );
    let before = head(&log);
    done(&log, &Command::Wipe { now: 1.0 });
    assert_eq!(kinds_after(&log, before), [Kind::EventLogWiped]);
    assert_eq!(engine_support::rows(&log), []);
    assert_eq!(log.last_event().unwrap(), None);
    assert_changes_nothing(&log, &Command::Wipe { now: 1.0 });
    assert_eq!(store(&log, &[line("r1")]), [before + 2]);
    assert_sound(&log);
}

#[test]
fn dynamic_partitions_are_added_once_in_order_and_deleted() {
    let log = new_log();
    let add = |keys: &[&str]| Command::AddDynamicPartitions {
        definition: "d".into(),
        keys: keys.iter().map(|&key| key.into()).collect(),
        now: 1.0,
    };
    let delete = |key: &str| Command::DeleteDynamicPartition {
        definition: "d".into(),
        key: key.into(),
        now: 1.0,
    };
    done(&log, &add(&["b", "a", "b"]));
    assert_eq!(kinds_after(&log, 0), [Kind::DynamicPartition; 2]);
    assert_changes_nothing(&log, &add(&["a", "b"]));
    assert_changes_nothing(&log, &delete("c"));
    done(&log, &delete("b"));
    done(&log, &add(&["c", "b"]));
    let page = |bounds, ascending| {
        let found =
            log.query(|reader| dynamic_partitions::page(reader, "d", bounds, Some(2), ascending));
        found
            .unwrap()
            .into_iter()
            .map(|(id, key)| (id.get(), key))
            .collect::<Vec<_>>()
    };
    assert_eq!(page(all(), true), [(2, "a".into()), (4, "c".into())]);
    assert_eq!(page(Bounds::new(Some(4), None), true), [(5, "b".into())]);
    assert_eq!(page(all(), false), [(5, "b".into()), (4, "c".into())]);
    let wanted = ["a".into(), "z".into()];
    let existing = log.query(|reader| dynamic_partitions::existing(reader, "d", &wanted));
    assert_eq!(existing.unwrap(), HashSet::from(["a".to_string()]));
    assert_sound(&log);
}

#[test]
fn a_cached_status_is_kept_for_a_known_asset_until_a_wipe() {
    let log = new_log();
    let cached = || log.cached_status(&[A.into()]).unwrap().remove(A);
    let set = |status: Option<&str>| log.set_cached_status(A, status, &|| false).unwrap();
    set(Some("early"));
    assert_eq!(cached(), None, "of an asset that is not known");
    store(&log, &[materialized("r1", A, Some("p"))]);
    let before = (head(&log), log.store().commit_word());
    set(Some("one"));
    assert_eq!(cached().as_deref(), Some("one"));
    assert_eq!(
        (head(&log), log.store().commit_word()),
        before,
        "it is no history"
    );
    set(None);
    assert_eq!(cached(), None);
    for wipe in [
        Command::WipeAsset {
            asset_key: A.into(),
            now: -1.0,
        },
        Command::WipeAssetPartitions {
            asset_key: A.into(),
            partitions: vec!["p".into()],
            now: 9.0,
        },
        Command::WipeAssetPartitions {
            asset_key: A.into(),
            partitions: vec!["without events".into()],
            now: 9.0,
        },
        Command::Wipe { now: 9.0 },
    ] {
        set(Some("two"));
        assert_eq!(cached().as_deref(), Some("two"));
        done(&log, &wipe);
        assert_eq!(cached(), None, "{wipe:?}");
    }
    assert_sound(&log);
    rebuild(&log);
}
