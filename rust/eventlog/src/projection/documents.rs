//! Documents by id, by key and by term, and how many there are of each term.

use super::key::document as keys;
use super::rows::DocumentRow;
use super::times::{self, Times};
use super::{Table, Target};
use crate::error::Result;
use crate::record::{Document, RunState, RunStateSet, Space, SpacesWiped, StatusFacet, Term};
use crate::sequence::Sequence;

/// Statuses after which a run changes only when Dagster's run storage is told so.
pub const FINISHED: [&str; 3] = ["SUCCESS", "FAILURE", "CANCELED"];

/// Times of one event that went through Dagster's datetimes, which hold microseconds.
pub const SAME_TIME: f64 = 2e-6;

const QUEUED: &str = "QUEUED";

/// Term of the label that a run has of its origin's repository.
pub const REPOSITORY_LABEL: &str = "tag:.dagster/repository";

/// Term of a run that was tagged with such a label, and has no origin.
const ORIGINLESS: &str = "originless";

/// Tag that says why a run failed.
pub const FAILURE_REASON: &str = "dagster/failure_reason";

pub(super) fn fold(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    document: &Document<'_>,
) -> Result<()> {
    let id = Sequence::new(document.id).known().unwrap_or(sequence);
    let space = document.space;
    let old = target.row::<DocumentRow>(Table::Documents, &keys::row(space, id))?;
    let Some(state) = &document.state else {
        if let Some(old) = old {
            remove(target, space, id, &old)?;
        }
        return Ok(());
    };
    let row = DocumentRow {
        key: document.key.to_owned(),
        body: sequence,
        created: document.created,
        terms: state.terms.clone(),
        run: state.run.clone(),
        run_set_by: if state.run.is_some() {
            sequence
        } else {
            Sequence::ZERO
        },
    };
    replace(target, space, id, old.as_ref(), &row)
}

pub(super) fn fold_run_state(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    set: &RunStateSet,
) -> Result<()> {
    let id = Sequence::new(set.id);
    let key = keys::row(Space::Run, id);
    let Some(old) = target.row::<DocumentRow>(Table::Documents, &key)? else {
        return Ok(());
    };
    let row = DocumentRow {
        run: Some(set.state.clone()),
        run_set_by: sequence,
        ..old.clone()
    };
    replace(target, Space::Run, id, Some(&old), &row)
}

/// An event advances its run's status in its own commit, while the run is here and not finished.
/// What happened before the run was made here belongs to a run that was brought from elsewhere.
pub(super) fn fold_status(
    target: &mut Target<'_, '_>,
    run_id: &str,
    facet: &StatusFacet<'_>,
    timestamp: f64,
) -> Result<()> {
    let Some(id) = target.get(Table::DocumentKeys, &keys::by_key(Space::Run, run_id))? else {
        return Ok(());
    };
    let id = Sequence::from_key_end(id)?;
    let key = keys::row(Space::Run, id);
    let Some(old) = target.row::<DocumentRow>(Table::Documents, &key)? else {
        return Ok(());
    };
    let state = old.run_state();
    if FINISHED.contains(&state.status.as_str())
        || !is_after_making(timestamp, old.created)
        || !may_have(&old, facet.status)
    {
        return Ok(());
    }
    let state = advanced(state, facet, timestamp);
    let row = DocumentRow {
        run: Some(state),
        ..old.clone()
    };
    replace(target, Space::Run, id, Some(&old), &row)
}

/// Whether a run can have a status: Dagster has no queued run without an origin, and would fail to
/// read one.
pub fn may_have(row: &DocumentRow, status: &str) -> bool {
    let has = |name| row.terms.iter().any(|term| term.name == name);
    status != QUEUED || has(REPOSITORY_LABEL) && !has(ORIGINLESS)
}

/// Whether what happened at a time happened to a run that was made at another.
pub fn is_after_making(timestamp: f64, created: f64) -> bool {
    timestamp > created - SAME_TIME
}

/// A run's state after a status event.
pub fn advanced(mut state: RunState, facet: &StatusFacet<'_>, timestamp: f64) -> RunState {
    let timestamp = in_microseconds(timestamp);
    state.status = facet.status.to_owned();
    state.updated = timestamp;
    if facet.starts {
        state.started = Some(timestamp);
    }
    if facet.ends {
        state.ended = Some(timestamp);
    }
    if let Some(reason) = facet.failure_reason {
        set_tag(&mut state.tags, FAILURE_REASON, reason);
    }
    state
}

/// A time rounded as Dagster's datetimes are, so that a bound that was read here compares as equal.
fn in_microseconds(seconds: f64) -> f64 {
    let microseconds = (seconds.fract() * 1e6).round_ties_even();
    (seconds.trunc() * 1e6 + microseconds) / 1e6
}

/// Adds a tag, or changes its value.
pub fn set_tag(tags: &mut Vec<(String, String)>, key: &str, value: &str) {
    match tags.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = value.to_owned(),
        None => tags.push((key.to_owned(), value.to_owned())),
    }
}

pub(super) fn wipe(target: &mut Target<'_, '_>, wiped: &SpacesWiped) -> Result<()> {
    let tables = [
        Table::Documents,
        Table::DocumentKeys,
        Table::DocumentTerms,
        Table::DocumentCounts,
        Table::DocumentTimes,
    ];
    for space in &wiped.spaces {
        for table in tables {
            for key in target.keys(table, &keys::space(*space))? {
                target.delete(table, &key)?;
            }
        }
    }
    Ok(())
}

fn remove(
    target: &mut Target<'_, '_>,
    space: Space,
    id: Sequence,
    row: &DocumentRow,
) -> Result<()> {
    target.delete(Table::Documents, keys::row(space, id).bytes())?;
    if !row.key.is_empty() {
        target.delete(Table::DocumentKeys, keys::by_key(space, &row.key).bytes())?;
    }
    for term in row.all_terms(space) {
        remove_term(target, space, id, &term)?;
    }
    if times::is_timed(space) {
        times::set(target, space, id, None)?;
    }
    Ok(())
}

fn replace(
    target: &mut Target<'_, '_>,
    space: Space,
    id: Sequence,
    old: Option<&DocumentRow>,
    row: &DocumentRow,
) -> Result<()> {
    let (had, has) = (
        old.map(|old| old.all_terms(space)).unwrap_or_default(),
        row.all_terms(space),
    );
    for term in had.iter().filter(|term| !has.contains(term)) {
        remove_term(target, space, id, term)?;
    }
    for term in has.iter().filter(|term| !had.contains(term)) {
        target.put(
            Table::DocumentTerms,
            &keys::term(space, term).sequence(id),
            &[],
        )?;
        count(target, space, term, 1)?;
    }
    if times::is_timed(space) {
        times::set(target, space, id, Some(&Times::of(&has)))?;
    }
    if old.is_none() && !row.key.is_empty() {
        target.put(
            Table::DocumentKeys,
            &keys::by_key(space, &row.key),
            &id.to_key(),
        )?;
    }
    target.put_row(Table::Documents, &keys::row(space, id), row)
}

fn remove_term(target: &mut Target<'_, '_>, space: Space, id: Sequence, term: &Term) -> Result<()> {
    target.delete(
        Table::DocumentTerms,
        keys::term(space, term).sequence(id).bytes(),
    )?;
    count(target, space, term, -1)
}

/// Counts documents of a term's name and value; a count of none has no row.
fn count(target: &mut Target<'_, '_>, space: Space, term: &Term, by: i64) -> Result<()> {
    let key = keys::count(space, &term.name, &term.value);
    let old = target.row::<(String, String, i64)>(Table::DocumentCounts, &key)?;
    let count = old.map_or(0, |(_, _, count)| count) + by;
    if count <= 0 {
        target.delete(Table::DocumentCounts, key.bytes())?;
        return Ok(());
    }
    target.put_row(
        Table::DocumentCounts,
        &key,
        &(&term.name, &term.value, count),
    )
}
