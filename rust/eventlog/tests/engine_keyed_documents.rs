//! Commands on documents that look at other documents: decided under the lock, all or none.

mod engine_support;

use engine_support::{
    assert_changes_nothing, assert_sound, done, execute, head, kinds_after, new_log, rebuild, rows,
};
use eventlog::command::{Command, NewDocument, Put, Removal};
use eventlog::query::documents::by_key;
use eventlog::record::{Kind, Space, Term};
use eventlog::{Error, EventLog};

fn document(space: Space, key: &str, selector: Option<&str>) -> NewDocument {
    let terms = selector.map(|selector| Term {
        name: "selector".into(),
        value: selector.into(),
        order: 0.0,
    });
    NewDocument {
        space,
        put: Put::Insert,
        id: None,
        key: key.into(),
        created: None,
        terms: terms.into_iter().collect(),
        body: vec![1],
    }
}

fn put(log: &EventLog, documents: Vec<NewDocument>) {
    execute(
        log,
        &Command::PutDocuments {
            documents,
            now: 1.0,
        },
    )
    .unwrap();
}

/// The state of selector `s`, and origins that keep it or do not.
fn state_with(log: &EventLog, origins: &[(&str, Option<&str>)]) {
    let mut documents = vec![document(Space::Instigator, "state", None)];
    documents.extend(
        origins
            .iter()
            .map(|(key, selector)| document(Space::Instigator, key, *selector)),
    );
    put(log, documents);
}

/// Removes an origin, and the state unless an origin keeps it.
fn removal_of(origin: &str) -> Command {
    let removal = |key: &str, required, kept_by: Option<(&str, &str)>| Removal {
        space: Space::Instigator,
        key: key.into(),
        required,
        kept_by: kept_by.map(|(name, value)| (name.into(), value.into())),
    };
    Command::RemoveDocuments {
        removals: vec![
            removal(origin, false, None),
            removal("state", true, Some(("selector", "s"))),
        ],
        now: 2.0,
    }
}

fn there(log: &EventLog, key: &str) -> bool {
    log.query(|reader| by_key(reader, Space::Instigator, key))
        .unwrap()
        .is_some()
}

#[test]
fn a_document_goes_with_the_last_one_that_keeps_it() {
    let log = new_log();
    state_with(&log, &[("one", Some("s")), ("other", Some("s"))]);
    done(&log, &removal_of("one"));
    assert!(!there(&log, "one") && there(&log, "state"));
    let before = head(&log);
    done(&log, &removal_of("other"));
    assert!(!there(&log, "other") && !there(&log, "state"));
    assert_eq!(
        kinds_after(&log, before),
        [Kind::Document, Kind::Document],
        "both go in one commit"
    );
    assert_sound(&log);
}

#[test]
fn who_has_another_value_or_none_keeps_nothing() {
    let log = new_log();
    state_with(
        &log,
        &[("one", Some("s")), ("other", Some("t")), ("third", None)],
    );
    done(&log, &removal_of("one"));
    assert!(!there(&log, "state") && there(&log, "other") && there(&log, "third"));
}

#[test]
fn a_document_that_is_not_required_is_passed_over() {
    let log = new_log();
    state_with(&log, &[("one", Some("s"))]);
    assert_changes_nothing(&log, &removal_of("nobody"));
    let log = new_log();
    state_with(&log, &[]);
    done(&log, &removal_of("nobody"));
    assert!(!there(&log, "state"));
}

#[test]
fn where_a_required_document_is_not_there_nothing_is_removed() {
    let log = new_log();
    put(&log, vec![document(Space::Instigator, "one", Some("s"))]);
    let before = (head(&log), rows(&log));
    let refused = execute(&log, &removal_of("one"));
    assert!(matches!(refused, Err(Error::NotThere(key)) if key == "state"));
    assert_eq!((head(&log), rows(&log)), before);
}

#[test]
fn a_document_named_twice_goes_once() {
    let log = new_log();
    state_with(&log, &[]);
    let before = head(&log);
    let Command::RemoveDocuments { removals, now } = removal_of("nobody") else {
        unreachable!()
    };
    let removals = [removals.clone(), removals].concat();
    done(&log, &Command::RemoveDocuments { removals, now });
    assert_eq!(kinds_after(&log, before), [Kind::Document]);
    assert_sound(&log);
}

fn addition(run_id: &str, snapshot_id: Option<&str>) -> Command {
    Command::AddRun {
        run: document(Space::Run, run_id, None),
        snapshot_id: snapshot_id.map(str::to_owned),
        now: 1.0,
    }
}

#[test]
fn a_run_is_added_once_and_only_with_the_snapshot_that_it_names() {
    let log = new_log();
    let refused = execute(&log, &addition("r", Some("snapshot")));
    assert!(matches!(refused, Err(Error::NotThere(key)) if key == "snapshot"));
    assert_eq!(head(&log), 0);
    put(&log, vec![document(Space::Snapshot, "snapshot", None)]);
    execute(&log, &addition("r", Some("snapshot"))).unwrap();
    execute(&log, &addition("without", None)).unwrap();
    let refused = execute(&log, &addition("r", Some("snapshot")));
    assert!(matches!(refused, Err(Error::AlreadyThere(key)) if key == "r"));
    assert_eq!(kinds_after(&log, 1), [Kind::Document, Kind::Document]);
    assert_sound(&log);
    rebuild(&log);
}
