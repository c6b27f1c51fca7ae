//! Deciding on documents, and on how runs stand.

use super::{Decided, Decision, NewDocument, Purge, Put, Removal, Reply, RunStatusEvent};
use crate::error::{Error, Result};
use crate::projection::documents::{
    FINISHED, REPOSITORY_LABEL, SAME_TIME, advanced, is_after_making, may_have, set_tag,
};
use crate::projection::key::Key;
use crate::projection::rows::DocumentRow;
use crate::projection::{Table, events};
use crate::query::{Reader, documents};
use crate::record::event_type::TypeCode;
use crate::record::{
    Document, DocumentState, Record, RunState, RunStateSet, Space, SpacesWiped, StatusFacet, Term,
};
use crate::sequence::Sequence;

/// How the tags begin that Dagster indexes a run by whether or not it is read back with them: the
/// label of its repository, and its pools.
const INDEXED_TAGS: [&str; 2] = [".dagster/repository", ".dagster/pool/"];

/// Term of a run that is read back with such a tag.
const OWN_TAG: &str = "own tag";

pub(super) fn put(state: &Reader<'_>, new: &[NewDocument], now: f64) -> Result<Decision<'static>> {
    let mut records = Vec::new();
    let mut ids = Vec::new();
    let mut next = state.head()?;
    let mut here: Vec<(Space, &str, Sequence)> = Vec::new();
    for document in new {
        let known = match document.id {
            Some(id) => documents::row(state, document.space, id)?.map(|_| id),
            None if document.key.is_empty() => None,
            None => match here
                .iter()
                .find(|(space, key, _)| *space == document.space && *key == document.key)
            {
                Some((_, _, id)) => Some(*id),
                None => documents::by_key(state, document.space, &document.key)?,
            },
        };
        let old = match known {
            Some(id) => documents::load(state, document.space, id)?,
            None => None,
        };
        match (document.put, known) {
            (Put::Insert, Some(_)) => return Err(Error::AlreadyThere(document.key.clone())),
            (Put::Update, None) => return Err(Error::NotThere(document.key.clone())),
            (Put::InsertIfAbsent, Some(id)) => {
                ids.push(id);
                continue;
            }
            (Put::UpdateIfPresent, None) => continue,
            _ => {}
        }
        let created = old
            .as_ref()
            .map_or(document.created.unwrap_or(now), |old| old.row.created);
        let mut terms = document.terms.clone();
        for term in &mut terms {
            if term.name == Term::CREATED {
                term.order = created;
            }
        }
        let run = old.as_ref().and_then(|old| beside(&old.row, &terms));
        if let (Some(id), Some(old)) = (known, &old)
            && old.body == document.body
            && old.row.terms == terms
            && old.row.run == run
        {
            ids.push(id);
            continue;
        }
        next = next.next();
        let id = known.unwrap_or(next);
        if known.is_none() && !document.key.is_empty() {
            here.push((document.space, &document.key, id));
        }
        ids.push(id);
        let key = old
            .as_ref()
            .map_or(document.key.as_str(), |old| old.row.key.as_str());
        let record = Record::Document(Document {
            timestamp: now,
            space: document.space,
            id: known.map_or(0, Sequence::get),
            key,
            created,
            state: Some(DocumentState {
                terms,
                run,
                body: &document.body,
            }),
        });
        records.push(Decided::from(&record));
    }
    Ok(Decision {
        records,
        reply: Reply::Documents(ids),
    })
}

/// How a run stands beside a body that it is given. Tags that were added stand, but for a label of
/// its repository, which the body has.
fn beside(old: &DocumentRow, terms: &[Term]) -> Option<RunState> {
    let mut run = old.run.clone()?;
    if let Some(label) = terms.iter().find(|term| term.name == REPOSITORY_LABEL) {
        run.tags
            .retain(|(key, _)| label.name.strip_prefix("tag:") != Some(key));
    }
    Some(run)
}

/// Adds a run, unless the snapshot of its job that it names is not here.
pub(super) fn add_run(
    state: &Reader<'_>,
    run: &NewDocument,
    snapshot_id: Option<&str>,
    now: f64,
) -> Result<Decision<'static>> {
    if let Some(snapshot_id) = snapshot_id
        && documents::by_key(state, Space::Snapshot, snapshot_id)?.is_none()
    {
        return Err(Error::NotThere(snapshot_id.to_owned()));
    }
    put(state, std::slice::from_ref(run), now)
}

/// Removes documents, unless others keep them.
pub(super) fn remove(
    state: &Reader<'_>,
    removals: &[Removal],
    now: f64,
) -> Result<Decision<'static>> {
    let mut going: Vec<(Space, Sequence, DocumentRow)> = Vec::new();
    for removal in removals {
        let space = removal.space;
        let id = documents::by_key(state, space, &removal.key)?;
        if removal.required && id.is_none() {
            return Err(Error::NotThere(removal.key.clone()));
        }
        let Some(id) =
            id.filter(|id| !going.iter().any(|(of, gone, _)| (of, gone) == (&space, id)))
        else {
            continue;
        };
        let Some(row) = documents::row(state, space, id)? else {
            continue;
        };
        if let Some((name, value)) = &removal.kept_by {
            let has = |row: &DocumentRow| {
                let mut terms = row.all_terms(space).into_iter();
                terms.any(|term| term.name == *name && term.value == *value)
            };
            let gone = going.iter().filter(|(of, _, row)| *of == space && has(row));
            if documents::count_of(state, space, name, value)? > gone.count() {
                continue;
            }
        }
        going.push((space, id, row));
    }
    let records = going
        .iter()
        .map(|(space, id, row)| gone(*space, *id, &row.key, row.created, now));
    Ok(Decision {
        records: records.collect(),
        reply: Reply::Done,
    })
}

/// Removes the documents to purge that come first; [`Reply::More`] where there may be others.
pub(super) fn purge(
    state: &Reader<'_>,
    purge: &Purge,
    step: usize,
    now: f64,
) -> Result<Decision<'static>> {
    let ids = to_purge(state, purge, step)?;
    let mut records = Vec::with_capacity(ids.len());
    for id in &ids {
        if let Some(row) = documents::row(state, purge.space, *id)? {
            records.push(gone(purge.space, *id, &row.key, row.created, now));
        }
    }
    Ok(Decision {
        records,
        reply: if ids.len() == step {
            Reply::More
        } else {
            Reply::Done
        },
    })
}

/// Ids of the documents to purge that come first in their order, at most so many. O(log + ids returned),
/// times the values.
pub fn to_purge(state: &Reader<'_>, purge: &Purge, limit: usize) -> Result<Vec<Sequence>> {
    let bounds = (None, Some(purge.before));
    documents::ordered(
        state,
        purge.space,
        &purge.name,
        &purge.values,
        bounds,
        true,
        Some(limit),
    )
}

pub(super) fn gone(
    space: Space,
    id: Sequence,
    key: &str,
    created: f64,
    now: f64,
) -> Decided<'static> {
    let document = Document {
        timestamp: now,
        space,
        id: id.get(),
        key,
        created,
        state: None,
    };
    Decided::from(&Record::Document(document))
}

/// Tells a run of a status event. Nothing changes where storing the event has done it: where the
/// run's log holds it, and the run was neither finished nor younger than the event.
///
/// A finished run goes on to be told of another end, unless that is an older one: ends that two
/// processes report come out the same, whoever is last.
pub(super) fn handle_run_event(
    state: &Reader<'_>,
    run_id: &str,
    event: &RunStatusEvent,
    now: f64,
) -> Result<Decision<'static>> {
    let Some((id, row)) = run_row(state, run_id)? else {
        return Ok(Decision::nothing());
    };
    if !may_have(&row, &event.status) {
        return Ok(Decision::nothing());
    }
    let old = row.run_state();
    if has_event(state, run_id, &event.event_type, event.timestamp)? {
        let done = if FINISHED.contains(&old.status.as_str()) {
            let newer = old.ended.is_none_or(|ended| {
                let same_time = (event.timestamp - ended).abs() < SAME_TIME;
                event.timestamp > ended && !same_time || same_time && event.status != old.status
            });
            !(event.ends && newer)
        } else {
            is_after_making(event.timestamp, row.created)
        };
        if done {
            return Ok(Decision::nothing());
        }
    }
    let facet = StatusFacet {
        status: &event.status,
        failure_reason: event.failure_reason.as_deref(),
        starts: event.starts,
        ends: event.ends,
    };
    let new = advanced(old.clone(), &facet, event.timestamp);
    Ok(set_run_state(run_id, id, old, new, now))
}

/// Adds tags to a run. Tags that it has already are no news, and leave its time of update alone.
pub(super) fn add_run_tags(
    state: &Reader<'_>,
    run_id: &str,
    tags: &[(String, String)],
    now: f64,
) -> Result<Decision<'static>> {
    let Some((id, row)) = run_row(state, run_id)? else {
        return Err(Error::NotThere(run_id.to_owned()));
    };
    let old = row.run_state();
    if tags.iter().all(|tag| has_tag(&row, &old, tag)) {
        return Ok(Decision::nothing());
    }
    let mut new = old.clone();
    for (key, value) in tags {
        set_tag(&mut new.tags, key, value);
    }
    new.updated = now;
    Ok(set_run_state(run_id, id, old, new, now))
}

/// Whether a run is read back with this tag. Tags among its terms that Dagster indexes by itself are
/// those of the run only where another term says so.
fn has_tag(row: &DocumentRow, state: &RunState, tag: &(String, String)) -> bool {
    let (key, value) = tag;
    if let Some((_, now)) = state.tags.iter().find(|(known, _)| known == key) {
        return now == value;
    }
    let has = |name: &str, value: &str| {
        row.terms
            .iter()
            .any(|term| term.name == name && term.value == value)
    };
    let is_indexed = INDEXED_TAGS.iter().any(|begin| key.starts_with(begin));
    has(&format!("tag:{key}"), value) && (!is_indexed || has(OWN_TAG, key))
}

fn set_run_state(
    run_id: &str,
    id: Sequence,
    old: RunState,
    new: RunState,
    now: f64,
) -> Decision<'static> {
    if old == new {
        return Decision::nothing();
    }
    Decision::of(vec![Record::RunStateSet(RunStateSet {
        timestamp: now,
        run_id: run_id.to_owned(),
        id: id.get(),
        state: new,
    })])
}

/// A run's document.
fn run_row(state: &Reader<'_>, run_id: &str) -> Result<Option<(Sequence, DocumentRow)>> {
    let Some(id) = documents::by_key(state, Space::Run, run_id)? else {
        return Ok(None);
    };
    Ok(documents::row(state, Space::Run, id)?.map(|row| (id, row)))
}

/// Whether the run's log holds an event of this type and time.
fn has_event(state: &Reader<'_>, run_id: &str, event_type: &str, timestamp: f64) -> Result<bool> {
    let Some(run) = state.run(run_id)? else {
        return Ok(false);
    };
    let prefix = Key::new()
        .number(run)
        .event_type(TypeCode::of(Some(event_type)));
    for row in state.prefix_backward(Table::RunEvents, &prefix)? {
        if (events::timestamp_of(row?.1) - timestamp).abs() < SAME_TIME {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes all documents of spaces.
pub(super) fn wipe(state: &Reader<'_>, spaces: &[Space], now: f64) -> Result<Decision<'static>> {
    for space in spaces {
        if documents::count(state, *space, &documents::Find::default())? > 0 {
            let wiped = SpacesWiped {
                timestamp: now,
                spaces: spaces.to_vec(),
            };
            return Ok(Decision::of(vec![Record::SpacesWiped(wiped)]));
        }
    }
    Ok(Decision::nothing())
}
