//! Which sequence a moment is.

use std::fmt;

use crate::error::{Error, Result};
use crate::log::times::last_by;
use crate::projection::Table;
use crate::projection::key::Key;
use crate::query::{Bounds, Merge, Reader, documents, events};
use crate::record::Space;
use crate::refold::Progress;
use crate::sequence::Sequence;
use crate::store::Store;

/// A moment in the history of a store.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    /// After the record of this number.
    Sequence(Sequence),
    /// Before the first record whose time, in Unix seconds, is after this one ([`crate::log::times`]).
    Time(f64),
    /// After the last event of this run so far; of one whose events are stored elsewhere, after the
    /// last record of its state.
    RunEnd(String),
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequence(sequence) => write!(formatter, "record {sequence}"),
            Self::Time(time) => write!(formatter, "time {time}"),
            Self::RunEnd(run_id) => write!(formatter, "run {run_id}"),
        }
    }
}

/// The last record at a moment. `now` is what the clock shows, in Unix seconds.
///
/// # Errors
///
/// [`Error::NoSuchMoment`] for a record beyond the head, a time before the first record or after `now`,
/// and an unknown run.
pub fn resolve(
    store: &Store,
    moment: &Moment,
    now: f64,
    progress: Progress<'_>,
) -> Result<Sequence> {
    let none = |reason: String| Error::NoSuchMoment {
        path: store.directory().into(),
        reason,
    };
    let head = store.read(|snapshot| {
        Reader::new(snapshot.view(), snapshot.live_set(), snapshot.trees().log).head()
    })?;
    if head == Sequence::ZERO {
        return Err(none("it is empty".into()));
    }
    match moment {
        Moment::Sequence(sequence) if *sequence == Sequence::ZERO => {
            Err(none("records are numbered from 1".into()))
        }
        Moment::Sequence(sequence) if *sequence > head => Err(none(format!(
            "record {sequence} is beyond its head, {head}"
        ))),
        Moment::Sequence(sequence) => Ok(*sequence),
        Moment::Time(time) if !time.is_finite() || *time > now => {
            Err(none("the time is still to come".into()))
        }
        Moment::Time(time) => match last_by(store, *time, now, progress)? {
            Sequence::ZERO => Err(none("the time is before its first record".into())),
            sequence => Ok(sequence),
        },
        Moment::RunEnd(run_id) => store
            .read(|snapshot| {
                let (view, trees) = (snapshot.view(), snapshot.trees());
                end_of_run(&Reader::new(view, snapshot.live_set(), trees.log), run_id)
            })?
            .ok_or_else(|| none(format!("it knows no run {run_id:?}"))),
    }
}

/// The last record of a run: its last event, or without one the last word on its state.
fn end_of_run(reader: &Reader<'_>, run_id: &str) -> Result<Option<Sequence>> {
    if let Some(run) = reader.run(run_id)? {
        let codes = events::run_codes(reader, run, None)?;
        let prefixes = codes
            .iter()
            .map(|code| Key::new().number(run).event_type(*code));
        let last = Merge::new(reader, Table::RunEvents, prefixes, Bounds::ALL, false)?.next();
        if let Some((sequence, _)) = last.transpose()? {
            return Ok(Some(sequence));
        }
    }
    let Some(id) = documents::by_key(reader, Space::Run, run_id)? else {
        return Ok(None);
    };
    let row = documents::row(reader, Space::Run, id)?;
    Ok(row.map(|row| row.body.max(row.run_set_by)))
}
