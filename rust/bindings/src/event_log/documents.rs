//! Documents: `_core.pyi`, "Documents".

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use eventlog::Sequence;
use eventlog::command::{
    Command, DELETION_STEP, NewDocument, Purge, Put, Removal, Reply, RunStatusEvent,
};
use eventlog::projection::times::{TimeColumn, is_timed};
use eventlog::query::documents::{self as query, Find, StoredDocument, TimeRange};
use eventlog::record::{Space, Term};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::{Bound, Py, PyAny, PyResult, Python};
use pyo3::{FromPyObject, pyclass, pymethods};

use super::EventLog;
use super::shapes::Definitions;
use crate::codec::{Codec, with_page};
use crate::errors::LmdbStoreError;

/// `(name, value, order)`.
type PyTerm = (String, String, f64);

/// `(name, lower, upper)`.
type PyRange = (String, Option<f64>, Option<f64>);

/// `(id, key, created, terms, value)`.
type PyNewDocument<'py> = (
    Option<u64>,
    String,
    Option<f64>,
    Vec<PyTerm>,
    Bound<'py, PyAny>,
);

/// `(key, required, kept_by)`.
type PyRemoval = (String, bool, Option<(String, String)>);

/// `(status, updated, started, ended, tags)`.
type PyRunState = (
    String,
    f64,
    Option<f64>,
    Option<f64>,
    HashMap<String, String>,
);

/// One way to put for all documents, or one for each.
#[derive(FromPyObject)]
enum PyPut {
    All(String),
    Each(Vec<String>),
}

impl PyPut {
    fn of_each(&self, documents: usize) -> PyResult<Vec<Put>> {
        match self {
            Self::All(put) => Ok(vec![parse_put(put)?; documents]),
            Self::Each(puts) if puts.len() == documents => {
                puts.iter().map(|put| parse_put(put)).collect()
            }
            Self::Each(puts) => Err(PyValueError::new_err(format!(
                "{documents} documents and {} ways to put them",
                puts.len()
            ))),
        }
    }
}

fn term_from((name, value, order): PyTerm) -> Term {
    Term { name, value, order }
}

/// A document as one snapshot has it.
#[pyclass(frozen, get_all, module = "dagster_lmdb._core")]
pub struct Document {
    id: u64,
    key: String,
    created: f64,
    terms: Vec<PyTerm>,
    run: Option<PyRunState>,
    value: Option<Py<PyAny>>,
}

#[pymethods]
#[allow(
    clippy::too_many_arguments,
    reason = "keyword arguments of the Python methods"
)]
impl EventLog {
    fn put_documents<'py>(
        &self,
        py: Python<'py>,
        space: &str,
        documents: Vec<PyNewDocument<'py>>,
        put: PyPut,
        now: f64,
    ) -> PyResult<Vec<u64>> {
        let space = parse_space(space)?;
        let puts = put.of_each(documents.len())?;
        let codec = Codec::of_dagster(py)?;
        let mut new = Vec::with_capacity(documents.len());
        for ((id, key, created, terms, value), put) in documents.into_iter().zip(puts) {
            let body = self.encode(py, &codec, &value, &[])?;
            new.push(NewDocument {
                space,
                put,
                id: id.map(Sequence::new),
                key,
                created,
                terms: terms.into_iter().map(term_from).collect(),
                body,
            });
        }
        match self.execute(
            py,
            &Command::PutDocuments {
                documents: new,
                now,
            },
        )? {
            Reply::Documents(ids) => Ok(ids.into_iter().map(Sequence::get).collect()),
            reply => Err(LmdbStoreError::new_err(format!(
                "unexpected reply: {reply:?}"
            ))),
        }
    }

    fn remove_documents(
        &self,
        py: Python<'_>,
        space: &str,
        removals: Vec<PyRemoval>,
        now: f64,
    ) -> PyResult<()> {
        let space = parse_space(space)?;
        let removals = removals
            .into_iter()
            .map(|(key, required, kept_by)| Removal {
                space,
                key,
                required,
                kept_by,
            })
            .collect();
        self.execute(py, &Command::RemoveDocuments { removals, now })
            .map(drop)
    }

    fn add_run(
        &self,
        py: Python<'_>,
        run_id: String,
        created: f64,
        terms: Vec<PyTerm>,
        value: &Bound<'_, PyAny>,
        snapshot_id: Option<String>,
        now: f64,
    ) -> PyResult<()> {
        let codec = Codec::of_dagster(py)?;
        let run = NewDocument {
            space: Space::Run,
            put: Put::Insert,
            id: None,
            key: run_id,
            created: Some(created),
            terms: terms.into_iter().map(term_from).collect(),
            body: self.encode(py, &codec, value, &[])?,
        };
        let command = Command::AddRun {
            run,
            snapshot_id,
            now,
        };
        self.execute(py, &command).map(drop)
    }

    fn purge_documents(
        &self,
        py: Python<'_>,
        space: &str,
        name: String,
        term_values: Vec<String>,
        before: f64,
        now: f64,
    ) -> PyResult<()> {
        let purge = Purge {
            space: parse_space(space)?,
            name,
            values: term_values,
            before,
        };
        self.interruptible(py, |interrupted| self.engine.purge(purge, now, interrupted))
    }

    fn wipe_spaces(&self, py: Python<'_>, spaces: Vec<String>, now: f64) -> PyResult<()> {
        let spaces = spaces
            .iter()
            .map(|name| parse_space(name))
            .collect::<PyResult<_>>()?;
        self.execute(py, &Command::WipeSpaces { spaces, now })
            .map(drop)
    }

    fn delete_run(&self, py: Python<'_>, run_id: String, now: f64) -> PyResult<()> {
        let step = DELETION_STEP;
        self.delete(py, &Command::DeleteRun { run_id, step, now }, now)
    }

    #[pyo3(signature = (run_id, *, event_type, timestamp, status, failure_reason, starts, ends, now))]
    fn handle_run_event(
        &self,
        py: Python<'_>,
        run_id: String,
        event_type: String,
        timestamp: f64,
        status: String,
        failure_reason: Option<String>,
        starts: bool,
        ends: bool,
        now: f64,
    ) -> PyResult<()> {
        let event = RunStatusEvent {
            event_type,
            timestamp,
            status,
            failure_reason,
            starts,
            ends,
        };
        self.execute(py, &Command::HandleRunEvent { run_id, event, now })
            .map(drop)
    }

    fn add_run_tags(
        &self,
        py: Python<'_>,
        run_id: String,
        tags: Vec<(String, String)>,
        now: f64,
    ) -> PyResult<()> {
        self.execute(py, &Command::AddRunTags { run_id, tags, now })
            .map(drop)
    }

    #[pyo3(signature = (space, *, any_of=None, ranges=None, keys=None, after=None, before=None, order_by=None, ascending=false, limit=None, values=true))]
    fn find_documents(
        &self,
        py: Python<'_>,
        space: &str,
        any_of: Option<Vec<(String, Vec<String>)>>,
        ranges: Option<Vec<PyRange>>,
        keys: Option<Vec<String>>,
        after: Option<u64>,
        before: Option<u64>,
        order_by: Option<String>,
        ascending: bool,
        limit: Option<usize>,
        values: bool,
    ) -> PyResult<Vec<Document>> {
        let space = parse_space(space)?;
        let find = Find {
            any_of: any_of.unwrap_or_default(),
            ranges: parse_ranges(space, ranges)?,
            keys,
            after: after.map(Sequence::new),
            before: before.map(Sequence::new),
            order_by: parse_order(space, order_by)?,
            ascending,
            limit,
        };
        self.documents(py, values, space, |reader| {
            query::find(reader, space, &find)
        })
    }

    #[pyo3(signature = (space, *, any_of=None, ranges=None, keys=None))]
    fn count_documents(
        &self,
        py: Python<'_>,
        space: &str,
        any_of: Option<Vec<(String, Vec<String>)>>,
        ranges: Option<Vec<PyRange>>,
        keys: Option<Vec<String>>,
    ) -> PyResult<usize> {
        let space = parse_space(space)?;
        let find = Find {
            any_of: any_of.unwrap_or_default(),
            ranges: parse_ranges(space, ranges)?,
            keys,
            ..Default::default()
        };
        self.query(py, |reader| query::count(reader, space, &find))
    }

    #[pyo3(signature = (space, name, bucket_values, *, any_of=None, ranges=None, keys=None, after=None, before=None, order_by=None, ascending=false, bucket_limit=None, limit=None))]
    fn document_buckets(
        &self,
        py: Python<'_>,
        space: &str,
        name: &str,
        bucket_values: Vec<String>,
        any_of: Option<Vec<(String, Vec<String>)>>,
        ranges: Option<Vec<PyRange>>,
        keys: Option<Vec<String>>,
        after: Option<u64>,
        before: Option<u64>,
        order_by: Option<String>,
        ascending: bool,
        bucket_limit: Option<usize>,
        limit: Option<usize>,
    ) -> PyResult<Vec<Document>> {
        let space = parse_space(space)?;
        let find = Find {
            any_of: any_of.unwrap_or_default(),
            ranges: parse_ranges(space, ranges)?,
            keys,
            after: after.map(Sequence::new),
            before: before.map(Sequence::new),
            order_by: parse_order(space, order_by)?,
            ascending,
            limit,
        };
        self.documents(py, true, space, |reader| {
            query::buckets(reader, space, name, &bucket_values, &find, bucket_limit)
        })
    }

    #[pyo3(signature = (space, name, *, any_of=None, ranges=None, keys=None))]
    fn newest_documents_of_each(
        &self,
        py: Python<'_>,
        space: &str,
        name: &str,
        any_of: Option<Vec<(String, Vec<String>)>>,
        ranges: Option<Vec<PyRange>>,
        keys: Option<Vec<String>>,
    ) -> PyResult<Vec<Document>> {
        let space = parse_space(space)?;
        let find = Find {
            any_of: any_of.unwrap_or_default(),
            ranges: parse_ranges(space, ranges)?,
            keys,
            ..Default::default()
        };
        self.documents(py, false, space, |reader| {
            query::newest_of_each(reader, space, name, &find)
        })
    }

    #[pyo3(signature = (space, name, term_values, *, after=None, before=None, ascending=false, limit=None, values=true))]
    fn ordered_documents(
        &self,
        py: Python<'_>,
        space: &str,
        name: &str,
        term_values: Vec<String>,
        after: Option<f64>,
        before: Option<f64>,
        ascending: bool,
        limit: Option<usize>,
        values: bool,
    ) -> PyResult<Vec<Document>> {
        let space = parse_space(space)?;
        self.documents(py, values, space, |reader| {
            let bounds = (after, before);
            query::ordered(reader, space, name, &term_values, bounds, ascending, limit)
        })
    }

    #[pyo3(signature = (space, name, groups, *, limit=None))]
    fn ordered_document_groups(
        &self,
        py: Python<'_>,
        space: &str,
        name: &str,
        groups: Vec<Vec<String>>,
        limit: Option<usize>,
    ) -> PyResult<Vec<Vec<Document>>> {
        let space = parse_space(space)?;
        let sizes = Mutex::new(Vec::with_capacity(groups.len()));
        let all = self.documents(py, true, space, |reader| {
            let mut found = Vec::new();
            let mut sizes = sizes.lock().unwrap_or_else(PoisonError::into_inner);
            for values in &groups {
                let group =
                    query::ordered(reader, space, name, values, (None, None), false, limit)?;
                sizes.push(group.len());
                found.extend(group);
            }
            Ok(found)
        })?;
        let mut all = all.into_iter();
        let sizes = sizes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(sizes
            .into_iter()
            .map(|size| all.by_ref().take(size).collect())
            .collect())
    }

    #[pyo3(signature = (space, ids, *, values=true))]
    fn documents_by_id(
        &self,
        py: Python<'_>,
        space: &str,
        ids: Vec<i64>,
        values: bool,
    ) -> PyResult<Vec<Document>> {
        let space = parse_space(space)?;
        self.documents(py, values, space, |_| {
            let ids = ids.into_iter();
            Ok(ids
                .map(|id| Sequence::new(u64::try_from(id).unwrap_or(0)))
                .collect())
        })
    }

    fn document_id(&self, py: Python<'_>, space: &str, key: &str) -> PyResult<Option<u64>> {
        let space = parse_space(space)?;
        let id = self.query(py, |reader| query::by_key(reader, space, key))?;
        Ok(id.map(Sequence::get))
    }

    #[pyo3(signature = (space, prefix=""))]
    fn term_names(&self, py: Python<'_>, space: &str, prefix: &str) -> PyResult<Vec<String>> {
        let space = parse_space(space)?;
        self.query(py, |reader| query::term_names(reader, space, prefix))
    }

    #[pyo3(signature = (space, name, prefix="", limit=None))]
    fn term_values(
        &self,
        py: Python<'_>,
        space: &str,
        name: &str,
        prefix: &str,
        limit: Option<usize>,
    ) -> PyResult<Vec<String>> {
        let space = parse_space(space)?;
        self.query(py, |reader| {
            query::term_values(reader, space, name, prefix, limit)
        })
    }
}

impl EventLog {
    /// Runs a query for ids, loads those that are there, with their bodies if asked to, and builds the
    /// Python objects.
    fn documents(
        &self,
        py: Python<'_>,
        values: bool,
        space: Space,
        ids: impl FnOnce(&eventlog::query::Reader<'_>) -> eventlog::Result<Vec<Sequence>> + Send,
    ) -> PyResult<Vec<Document>> {
        let (found, shapes) = self.query_events(py, |reader| {
            let mut found = Vec::new();
            for id in ids(reader)? {
                if values {
                    found.extend(query::load(reader, space, id)?);
                } else {
                    let row = query::row(reader, space, id)?;
                    found.extend(row.map(|row| StoredDocument {
                        id,
                        row,
                        body: Vec::new(),
                    }));
                }
            }
            Ok(found)
        })?;
        self.build(py, values, space, found, &shapes)
    }

    fn build(
        &self,
        py: Python<'_>,
        values: bool,
        space: Space,
        found: Vec<StoredDocument>,
        shapes: &Definitions,
    ) -> PyResult<Vec<Document>> {
        with_page(
            py,
            &*Codec::of_dagster(py)?,
            &**shapes,
            found.len(),
            |page| {
                found
                    .into_iter()
                    .map(|stored| {
                        let value = match values {
                            true => Some(page.decode(&stored.body, &[])?.unbind()),
                            false => None,
                        };
                        let row = stored.row;
                        let run = row.run.as_ref().map(|run| {
                            let tags = run.tags.iter().cloned().collect();
                            (
                                run.status.clone(),
                                run.updated,
                                run.started,
                                run.ended,
                                tags,
                            )
                        });
                        let terms = row
                            .all_terms(space)
                            .into_iter()
                            .map(|t| (t.name, t.value, t.order));
                        Ok(Document {
                            id: stored.id.get(),
                            created: row.created,
                            terms: terms.collect(),
                            run,
                            value,
                            key: row.key,
                        })
                    })
                    .collect()
            },
        )
    }
}

fn parse_space(name: &str) -> PyResult<Space> {
    Space::named(name)
        .ok_or_else(|| PyValueError::new_err(format!("no space of documents: {name:?}")))
}

/// A time of the documents of a space.
fn parse_time(space: Space, name: &str) -> PyResult<TimeColumn> {
    let column = TimeColumn::named(name).filter(|_| is_timed(space));
    column.ok_or_else(|| {
        let space = space.name();
        PyValueError::new_err(format!("no time of a {space}: {name:?}"))
    })
}

fn parse_ranges(space: Space, ranges: Option<Vec<PyRange>>) -> PyResult<Vec<TimeRange>> {
    let ranges = ranges.unwrap_or_default().into_iter();
    ranges
        .map(|(name, lower, upper)| Ok((parse_time(space, &name)?, lower, upper)))
        .collect()
}

fn parse_order(space: Space, name: Option<String>) -> PyResult<Option<TimeColumn>> {
    name.map(|name| parse_time(space, &name)).transpose()
}

fn parse_put(name: &str) -> PyResult<Put> {
    match name {
        "insert" => Ok(Put::Insert),
        "insert_if_absent" => Ok(Put::InsertIfAbsent),
        "update" => Ok(Put::Update),
        "update_if_present" => Ok(Put::UpdateIfPresent),
        "upsert" => Ok(Put::Upsert),
        _ => Err(PyValueError::new_err(format!(
            "no way to put a document: {name:?}"
        ))),
    }
}
