//! What is asked of a store whose history is long: purges in small commits, the last event that stands,
//! where a run's last records begin.

mod engine_support;

use std::cell::Cell;

use engine_support::random::{Dice, random_command};
use engine_support::{
    Log, assert_changes_nothing, assert_sound, claim, done, execute, head, kinds_after, line,
    new_log, of_type, rebuild, rows, store,
};
use eventlog::command::{Command, NewDocument, PURGE_STEP, Purge, Put, Reply, to_purge};
use eventlog::query::documents;
use eventlog::query::records::{RecordLine, before_last_of_run, records_after};
use eventlog::query::{Looked, Reader, last_event};
use eventlog::record::{Kind, Record, Space, Term};
use eventlog::store::Silence;
use eventlog::{Error, EventLog, Sequence};

/// Puts ticks of an owner at times from a first one on, in one commit.
fn ticks(log: &EventLog, owner: &str, first: usize, count: usize) {
    let tick = |time| NewDocument {
        space: Space::Tick,
        put: Put::Insert,
        id: None,
        key: String::new(),
        created: None,
        terms: vec![Term {
            name: "owner".into(),
            value: owner.into(),
            order: time as f64,
        }],
        body: vec![1],
    };
    let documents = (first..first + count).map(tick).collect();
    let command = Command::PutDocuments {
        documents,
        now: 1.0,
    };
    execute(log, &command).unwrap();
}

fn purge_of(owners: &[&str], before: f64) -> Purge {
    Purge {
        space: Space::Tick,
        name: "owner".into(),
        values: owners.iter().map(|&owner| owner.into()).collect(),
        before,
    }
}

/// Times of the ticks of an owner that are left.
fn left(log: &EventLog, owner: &str) -> Vec<f64> {
    let all = purge_of(&[owner], f64::INFINITY);
    let times = |reader: &Reader<'_>| {
        let mut times = Vec::new();
        for id in to_purge(reader, &all, usize::MAX)? {
            let row = documents::row(reader, Space::Tick, id)?;
            times.push(row.unwrap().terms[0].order);
        }
        Ok(times)
    };
    log.query(times).unwrap()
}

#[test]
fn a_purge_goes_in_small_commits_the_oldest_first() {
    let log = new_log();
    ticks(&log, "a", 0, 800);
    ticks(&log, "b", 300, 800);
    ticks(&log, "other", 0, 10);
    let before = head(&log);
    // Asked after each step but the last, which finds fewer than it may take.
    let steps = Cell::new(0);
    let reached = || {
        let gone = (head(&log) - before) as usize;
        steps.set(steps.get() + 1);
        assert_eq!(gone, steps.get() * PURGE_STEP);
        assert_sound(&log);
        false
    };
    log.purge(purge_of(&["a", "b"], 700.0), 9.0, &reached)
        .unwrap();
    assert_eq!(steps.get(), 2);
    assert_eq!(head(&log) - before, 700 + 400);
    assert!(
        kinds_after(&log, before)
            .iter()
            .all(|kind| *kind == Kind::Document)
    );
    assert_eq!(
        left(&log, "a"),
        (700..800).map(f64::from).collect::<Vec<_>>()
    );
    assert_eq!(
        left(&log, "b"),
        (700..1100).map(f64::from).collect::<Vec<_>>()
    );
    assert_eq!(left(&log, "other").len(), 10);
    assert_sound(&log);
    let (rows_then, head_then) = (rows(&log), head(&log));
    let nobody = || panic!("nothing is to be purged, so nobody waits");
    log.purge(purge_of(&["a", "b"], 700.0), 9.0, &nobody)
        .unwrap();
    assert_eq!((rows(&log), head(&log)), (rows_then, head_then));
    rebuild(&log);
    assert_sound(&log);
}

#[test]
fn what_an_interrupted_purge_leaves_goes_with_the_next_one() {
    let log = new_log();
    ticks(&log, "a", 0, 1_000);
    let broken = log.purge(purge_of(&["a"], 950.0), 9.0, &|| {
        left(&log, "a").len() < 1_000
    });
    assert!(matches!(broken, Err(Error::Interrupted)), "{broken:?}");
    assert_eq!(left(&log, "a").len(), 1_000 - PURGE_STEP);
    assert_eq!(left(&log, "a")[0], PURGE_STEP as f64);
    assert_sound(&log);
    log.purge(purge_of(&["a"], 950.0), 9.0, &|| false).unwrap();
    assert_eq!(left(&log, "a").len(), 50);
    assert_sound(&log);
}

#[test]
fn a_step_of_a_purge_says_whether_more_may_be_left() {
    let log = new_log();
    ticks(&log, "a", 0, 3);
    let (now, step) = (9.0, 2);
    let command = |before| Command::PurgeDocuments {
        purge: purge_of(&["a"], before),
        step,
        now,
    };
    assert_eq!(execute(&log, &command(3.0)).unwrap(), Reply::More);
    assert_eq!(left(&log, "a"), [2.0]);
    let bound = command(2.0);
    assert_eq!(assert_changes_nothing(&log, &bound), Reply::Done);
    assert_eq!(execute(&log, &command(3.0)).unwrap(), Reply::Done);
    assert_eq!(left(&log, "a"), Vec::<f64>::new());
    assert_sound(&log);
}

fn delete_run(log: &EventLog, run_id: &str, step: usize) {
    let (run_id, now) = (run_id.to_string(), 9.0);
    execute(log, &Command::DeleteRun { run_id, step, now }).unwrap();
}

fn silence(log: &EventLog) -> Silence {
    log.store().info().unwrap().meta.silence
}

fn last(log: &EventLog) -> u64 {
    log.last_event().unwrap().map_or(0, Sequence::get)
}

#[test]
fn a_long_stretch_without_events_is_looked_through_once() {
    let log = new_log();
    let first = store(&log, &[line("first")])[0];
    for _ in 0..26 {
        store(&log, &vec![line("long"); 1_000]);
    }
    assert_eq!(silence(&log), Silence::default());
    delete_run(&log, "long", 1_000);
    log.sweep(9.0, &|| false).unwrap();
    // The deletion has looked, and each later look begins where it ended.
    let until = head(&log);
    assert_eq!(
        silence(&log),
        Silence {
            after: first,
            until
        }
    );
    let later = store(&log, &[line("later")])[0];
    assert_eq!(last(&log), later);
    delete_run(&log, "later", 1_000);
    let few = |reader: &Reader<'_>| last_event(reader, &[silence(&log)], 10);
    let found = log.query(few).unwrap().found;
    assert_eq!(found, Some(Some(Sequence::new(first))));
    delete_run(&log, "first", 1_000);
    assert_eq!(last(&log), 0);
    assert_sound(&log);
}

#[test]
fn nobody_looks_before_a_wipe_for_an_event() {
    let log = new_log();
    store(&log, &vec![line("r1"); 100]);
    done(&log, &Command::Wipe { now: 9.0 });
    let looked = log.query(|reader| last_event(reader, &[], 2)).unwrap();
    assert_eq!(looked.found, Some(None));
}

/// The last event that a look finds which goes a few records at a time and remembers what it passed.
fn found_in_steps(log: &EventLog, known: &mut Silence, limit: usize) -> Option<Sequence> {
    loop {
        let look = |reader: &Reader<'_>| last_event(reader, &[*known], limit);
        let Looked { found, silence } = log.query(look).unwrap();
        assert_eq!(silence.until, head(log));
        *known = silence;
        if let Some(found) = found {
            return found;
        }
    }
}

/// The last event by all that is asked of it: its run's index has it.
fn last_by_every_run(log: &EventLog) -> Option<Sequence> {
    let all = eventlog::query::events::events_after;
    let events = log.query(|reader| all(reader, Sequence::ZERO, None, None));
    events.unwrap().last().map(|event| event.sequence)
}

fn lines(log: &EventLog, after: Sequence, run_id: &str) -> Vec<RecordLine> {
    let all = usize::MAX;
    let read = |reader: &Reader<'_>| records_after(reader, after, Some(run_id), all, all);
    log.query(read).unwrap().0
}

fn assert_last_records_begin_there(log: &Log, run_id: &str, since: u64) {
    // A run that is stored again after its deletion has its last records since then.
    let of_run = lines(log, Sequence::new(since), run_id);
    for count in [1, 2, 5, 1_000] {
        let begin = log
            .query(|reader| before_last_of_run(reader, run_id, count))
            .unwrap();
        let mut last = lines(log, begin, run_id);
        last.drain(..last.len().saturating_sub(count));
        let wanted = &of_run[of_run.len().saturating_sub(count)..];
        assert!(last.ends_with(wanted), "{run_id} {count} {begin}");
    }
}

/// `ENGINE_SEEDS` makes it longer.
#[test]
fn random_logs_have_one_last_event_however_it_is_looked_for() {
    let seeds = std::env::var("ENGINE_SEEDS").map_or(8, |seeds| seeds.parse().unwrap());
    let mut silent = 0;
    for seed in 1..=seeds {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        let log = new_log();
        let mut known = Silence::default();
        for _ in 0..60 {
            (0..=dice.below(4)).for_each(|_| random_command(&log, &mut dice));
            let limit = 1 + dice.below(3);
            let found = found_in_steps(&log, &mut known, limit);
            assert_eq!(found, last_by_every_run(&log), "seed {seed}");
            assert_eq!(log.last_event().unwrap(), found, "seed {seed}");
            silent += u64::from(known.after + 3 < known.until);
        }
    }
    assert!(silent > 20, "{silent}");
}

#[test]
fn the_last_records_of_a_run_begin_where_its_index_says() {
    let log = new_log();
    let add = NewDocument {
        space: Space::Run,
        put: Put::Insert,
        id: None,
        key: "r1".into(),
        created: None,
        terms: Vec::new(),
        body: vec![1],
    };
    let command = Command::PutDocuments {
        documents: vec![add],
        now: 1.0,
    };
    store(&log, &[line("r2"), line("r1")]);
    delete_run(&log, "r1", 1_000);
    let since = head(&log);
    execute(&log, &command).unwrap();
    for _ in 0..3 {
        store(&log, &[line("r1"), of_type("r1", "STEP_START"), line("r2")]);
        claim(&log, "pool", "r1", "step", 0);
    }
    let tags = vec![("a".to_string(), "b".to_string())];
    let (run_id, now) = ("r1".to_string(), 9.0);
    execute(&log, &Command::AddRunTags { run_id, tags, now }).unwrap();
    for run_id in ["r1", "r2", "nobody"] {
        assert_last_records_begin_there(&log, run_id, since * u64::from(run_id == "r1"));
    }
    let of = |count| {
        let begin = log.query(|reader| before_last_of_run(reader, "r1", count));
        begin.unwrap().get()
    };
    assert_eq!(of(1_000), since, "fewer events: from its first record on");
    assert!(of(2) > since);
    delete_run(&log, "r1", 1_000);
    assert_eq!(of(2), 0, "a run that is gone has no index");
}

#[test]
fn kinds_are_counted_with_their_bytes() {
    let log = new_log();
    ticks(&log, "a", 0, 3);
    store(&log, &[line("r1"), line("r1")]);
    let mut told = Vec::new();
    let counts = log
        .count_kinds(&mut |phase, done, total| {
            told.push((phase.to_owned(), done, total));
            Ok(())
        })
        .unwrap();
    assert_eq!(told, [("count".to_owned(), 5, 5)]);
    let bytes = |first: u64, last: u64| {
        let frames = |reader: &Reader<'_>| {
            let mut sum = 0;
            for sequence in (first..=last).map(Sequence::new) {
                assert!(!matches!(reader.record(sequence)?, Some(Record::Husk(_))));
                sum += reader.frame(sequence)?.unwrap().len() as u64;
            }
            Ok(sum)
        };
        log.query(frames).unwrap()
    };
    let wanted = [("document", (3, bytes(1, 3))), ("event", (2, bytes(4, 5)))];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), wanted);
}
