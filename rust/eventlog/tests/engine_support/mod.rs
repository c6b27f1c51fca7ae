//! What the engine's tests share: a log in a temporary directory, events on their facets alone, and
//! what a sound log looks like.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod random;

use eventlog::command::{Claim, Command, NewEvent, Reply};
use eventlog::error::{Error, Result};
use eventlog::projection::Table;
use eventlog::projection::key::Key;
use eventlog::query::{Bounds, records};
use eventlog::record::event_type::names;
use eventlog::record::{AssetFacet, CheckFacet, Event, Kind, Record, StatusFacet};
use eventlog::store::OpenOptions;
use eventlog::{EventLog, Sequence};
use tempfile::TempDir;

/// A log and the directory that goes with it.
pub struct Log {
    pub log: EventLog,
    pub directory: TempDir,
}

impl std::ops::Deref for Log {
    type Target = EventLog;

    fn deref(&self) -> &EventLog {
        &self.log
    }
}

pub fn new_log() -> Log {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        create: true,
        ..OpenOptions::default()
    };
    let log = EventLog::open(directory.path(), &options).unwrap();
    Log { log, directory }
}

/// An event; without a type it is a log line.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    pub timestamp: f64,
    pub run_id: &'a str,
    pub event_type: Option<&'a str>,
    pub step_key: Option<&'a str>,
    pub job_name: Option<&'a str>,
    pub asset: Option<AssetFacet<'a>>,
    pub check: Option<CheckFacet<'a>>,
    pub status: Option<StatusFacet<'a>>,
    /// Partitions of a planned check after the first.
    pub more_partitions: &'a [&'a str],
}

impl Draft<'_> {
    pub fn encode(&self) -> NewEvent {
        let check = self.check.clone().map(|facet| CheckFacet {
            more_partitions: self.more_partitions.len() as u32,
            ..facet
        });
        let event = Record::Event(Event {
            timestamp: self.timestamp,
            run_id: self.run_id,
            event_type: self.event_type,
            step_key: self.step_key,
            job_name: self.job_name,
            level: 10,
            asset: self.asset.clone(),
            check,
            status: self.status,
            body: &[0xC0],
        });
        NewEvent {
            payload: event.encode(),
            more_partitions: self.more_partitions.iter().map(|&p| p.into()).collect(),
        }
    }
}

pub fn line(run_id: &str) -> Draft<'_> {
    Draft {
        run_id,
        ..Draft::default()
    }
}

pub fn of_type<'a>(run_id: &'a str, event_type: &'a str) -> Draft<'a> {
    Draft {
        event_type: Some(event_type),
        ..line(run_id)
    }
}

pub fn of_asset<'a>(
    run_id: &'a str,
    event_type: &'a str,
    key: &'a str,
    partition: Option<&'a str>,
) -> Draft<'a> {
    let facet = AssetFacet {
        key,
        partition,
        ..AssetFacet::default()
    };
    Draft {
        asset: Some(facet),
        ..of_type(run_id, event_type)
    }
}

pub fn materialized<'a>(run_id: &'a str, key: &'a str, partition: Option<&'a str>) -> Draft<'a> {
    of_asset(run_id, names::MATERIALIZATION, key, partition)
}

pub fn check_planned<'a>(
    run_id: &'a str,
    asset_key: &'a str,
    name: &'a str,
    partitions: &'a [&'a str],
) -> Draft<'a> {
    let facet = CheckFacet {
        asset_key,
        name,
        partition: partitions.first().copied(),
        ..CheckFacet::default()
    };
    Draft {
        check: Some(facet),
        more_partitions: partitions.get(1..).unwrap_or_default(),
        ..of_type(run_id, names::CHECK_PLANNED)
    }
}

pub fn check_evaluated<'a>(
    run_id: &'a str,
    asset_key: &'a str,
    name: &'a str,
    partition: Option<&'a str>,
) -> Draft<'a> {
    let facet = CheckFacet {
        asset_key,
        name,
        partition,
        passed: Some(true),
        ..CheckFacet::default()
    };
    Draft {
        check: Some(facet),
        ..of_type(run_id, names::CHECK_EVALUATION)
    }
}

pub fn execute(log: &EventLog, command: &Command) -> Result<Reply> {
    log.execute(command, &|| false)
}

/// Executes a command that is done, or finds nothing to do.
pub fn done(log: &EventLog, command: &Command) {
    assert_eq!(execute(log, command).unwrap(), Reply::Done);
}

pub fn try_store(log: &EventLog, drafts: &[Draft<'_>]) -> Result<Vec<u64>> {
    let events = drafts.iter().map(Draft::encode).collect();
    match execute(log, &Command::StoreEvents { events })? {
        Reply::Events(sequences) => Ok(sequences.into_iter().map(Sequence::get).collect()),
        reply => panic!("{reply:?}"),
    }
}

pub fn store(log: &EventLog, drafts: &[Draft<'_>]) -> Vec<u64> {
    try_store(log, drafts).unwrap()
}

pub fn claim(log: &EventLog, pool: &str, run_id: &str, step_key: &str, priority: i64) -> Claim {
    let command = Command::ClaimSlot {
        pool: pool.into(),
        run_id: run_id.into(),
        step_key: step_key.into(),
        priority,
        now: 1.0,
    };
    match execute(log, &command).unwrap() {
        Reply::Claim(claim) => claim,
        reply => panic!("{reply:?}"),
    }
}

pub fn set_limit(log: &EventLog, pool: &str, limit: i64) {
    done(
        log,
        &Command::SetPoolLimit {
            pool: pool.into(),
            limit,
            from_default: false,
            now: 2.0,
        },
    );
}

pub fn head(log: &EventLog) -> u64 {
    log.query(|reader| Ok(reader.head()?.get())).unwrap()
}

/// Kinds of the records after a sequence, in order; they are dense.
pub fn kinds_after(log: &EventLog, after: u64) -> Vec<Kind> {
    let lines = log
        .query(|reader| {
            let all = usize::MAX;
            Ok(records::records_after(reader, Sequence::new(after), None, all, all)?.0)
        })
        .unwrap();
    for (place, line) in lines.iter().enumerate() {
        assert_eq!(line.sequence.get(), after + 1 + place as u64);
    }
    let named = |name| {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .unwrap()
    };
    lines.into_iter().map(|line| named(line.kind)).collect()
}

/// Sequences of the records of a kind.
pub fn sequences_of(log: &EventLog, kind: Kind) -> Vec<u64> {
    (1..)
        .zip(kinds_after(log, 0))
        .filter_map(|(sequence, found)| (found == kind).then_some(sequence))
        .collect()
}

/// Every row of the live projections, under its table.
pub fn rows(log: &EventLog) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    log.query(|reader| {
        let mut found = Vec::new();
        for table in Table::ALL {
            for row in reader.prefix(table, &Key::new())? {
                let (key, value) = row?;
                found.push((table.name(), key.to_vec(), value.to_vec()));
            }
        }
        Ok(found)
    })
    .unwrap()
}

pub fn differences(log: &EventLog) -> Vec<String> {
    log.verify(&mut |_, _, _| Ok(())).unwrap().differences
}

/// The live projections are the fold of the log.
pub fn assert_sound(log: &EventLog) {
    assert_eq!(differences(log), Vec::<String>::new());
}

pub fn rebuild(log: &EventLog) -> u64 {
    log.rebuild(&mut |_, _, _| Ok(())).unwrap().get()
}

/// Husks what may go of these records; the sequences of those that went.
pub fn husk(log: &EventLog, sequences: &[u64]) -> Vec<u64> {
    let sequences: Vec<_> = sequences.iter().copied().map(Sequence::new).collect();
    let gone = log.husk(&sequences).unwrap();
    gone.into_iter().map(Sequence::get).collect()
}

/// Husks a record that has to stay: it is refused.
pub fn assert_stays(log: &EventLog, sequence: u64) {
    assert_eq!(husk(log, &[sequence]), Vec::<u64>::new());
}

/// A command that changes nothing appends nothing and tells nobody.
pub fn assert_changes_nothing(log: &EventLog, command: &Command) -> Reply {
    let before = (head(log), log.store().commit_word(), rows(log));
    let reply = execute(log, command).unwrap();
    assert_eq!((head(log), log.store().commit_word(), rows(log)), before);
    reply
}

/// A command that is refused appends nothing.
pub fn assert_refused(log: &EventLog, drafts: &[Draft<'_>]) -> Error {
    let before = (head(log), log.store().commit_word(), rows(log));
    let error = try_store(log, drafts).unwrap_err();
    assert_eq!((head(log), log.store().commit_word(), rows(log)), before);
    error
}

pub fn all() -> Bounds {
    Bounds::ALL
}
