//! What is asked for, fixed at one moment of the store.

use std::sync::Arc;

use arrow_schema::SchemaRef;

use super::column::microseconds;
use super::cut::Cut;
use super::rows::HistoryTable;
use super::scan::Plan;
use super::selection::Selection;
use super::stream::Stream;
use super::walk::Shapes;
use crate::EventLog;
use crate::error::{Error, Result};
use crate::projection::Table;
use crate::projection::key::Key;
use crate::query::{Bounds, Reader, documents, events};
use crate::record::Space;
use crate::record::event_type::EVENT_TYPES;
use crate::sequence::Sequence;
use crate::store::Lease;

/// A bound of history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// A record.
    Sequence(u64),
    /// When it happened, Unix seconds.
    Time(f64),
}

/// What is asked for. None stands for all.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub columns: Option<Vec<String>>,
    /// The first record, or the time that no row is before.
    pub since: Option<Place>,
    /// The last record, or the time that rows are before.
    pub until: Option<Place>,
    pub runs: Option<Vec<String>>,
    /// As `AssetKey.to_string()` has them.
    pub assets: Option<Vec<String>>,
    pub event_types: Option<Vec<String>>,
    /// The last record of the moment, where that is not now: several tables are of one moment by it. Under a
    /// lease that is older than the moment.
    pub head: Option<u64>,
    /// Whether what a compaction has left will do, from a sequence below the horizon.
    pub incomplete: bool,
    /// Whether runs and assets that are not there are none that never were: they have been looked for
    /// before, and may be deleted since.
    pub known: bool,
}

/// Rows of a table, as one moment has them. Cheap to clone.
#[derive(Clone)]
pub struct History {
    log: EventLog,
    selection: Arc<Selection>,
    shapes: Arc<Shapes>,
    plan: Plan,
    cut: Cut,
    /// Not renewed: a history that is not read expires.
    lease: Arc<Lease>,
}

impl History {
    /// Fixes what is asked of a table now. O(log records), and the events of the runs asked for.
    ///
    /// # Errors
    ///
    /// [`Error::NotThere`] for a run or an asset that is not (but where they are `known`), [`Error::BeyondHead`] and
    /// [`Error::BelowHorizon`] for a sequence that the log does not have, or not whole;
    /// [`Error::Refused`] for a column, a type or a filter that the table does not have.
    pub fn open(log: &EventLog, table: HistoryTable, ask: Ask) -> Result<Self> {
        check_names(table, &ask)?;
        let from = match ask.since {
            Some(Place::Sequence(since)) => since.max(1),
            Some(Place::Time(_)) | None => 1,
        };
        let lease = Lease::take(log.store(), Sequence::new(from))?;
        let whole_from = log
            .store()
            .read(|snapshot| Ok(snapshot.meta().whole_from))?;
        let (head, plan, shapes) = log.query(|reader| {
            let head = match ask.head {
                Some(head) if head > reader.head()?.get() => {
                    return Err(beyond(head, reader.head()?));
                }
                Some(head) => Sequence::new(head),
                None => reader.head()?,
            };
            let after = match ask.since {
                Some(Place::Sequence(since)) if since > head.get() + 1 => {
                    return Err(beyond(since, head));
                }
                Some(Place::Sequence(since)) if since < whole_from && !ask.incomplete => {
                    return Err(Error::BelowHorizon {
                        sequence: since,
                        whole_from,
                    });
                }
                Some(Place::Sequence(since)) => Sequence::new(since.saturating_sub(1)),
                Some(Place::Time(_)) | None => Sequence::ZERO,
            };
            let end = match ask.until {
                Some(Place::Sequence(until)) if until > head.get() => {
                    return Err(beyond(until, head));
                }
                Some(Place::Sequence(until)) => Sequence::new(until),
                Some(Place::Time(_)) | None => head,
            };
            if !ask.known {
                check_there(reader, &ask)?;
            }
            let listed = match (&ask.runs, table) {
                (Some(runs), HistoryTable::Events) => of_runs(reader, runs, after, end, head)?,
                _ => None,
            };
            let plan = listed.map_or(Plan::Range { after, end }, |sequences| {
                Plan::Listed(Arc::new(sequences))
            });
            let shapes = reader.shapes_from(0)?.into_iter().map(Arc::new).collect();
            Ok((head, plan, shapes))
        })?;
        let time = |place| match place {
            Some(Place::Time(time)) => microseconds(time),
            _ => None,
        };
        Ok(Self {
            log: log.clone(),
            selection: Arc::new(Selection {
                table,
                times: (time(ask.since), time(ask.until)),
                columns: ask.columns,
                runs: ask.runs.map(|runs| runs.into_iter().collect()),
                assets: ask.assets.map(|assets| assets.into_iter().collect()),
                event_types: ask.event_types.map(|types| types.into_iter().collect()),
            }),
            shapes: Arc::new(Shapes::new(shapes)),
            plan,
            cut: Cut::at(head),
            lease: Arc::new(lease),
        })
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.selection
            .table
            .schema(self.selection.columns.as_deref())
    }

    /// The last record of the moment that the rows are of.
    pub fn head(&self) -> Sequence {
        self.cut.head()
    }

    /// The last record that is looked at.
    pub fn end(&self) -> Sequence {
        self.plan.end()
    }

    /// Begins to read the rows, under a lease of its own that is renewed until they all are.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] where the history lay unread for longer than its lease lives, and a compaction
    /// went past it.
    pub fn stream(&self) -> Result<Stream> {
        Stream::begin(
            &self.log,
            self.lease.again()?,
            &self.selection,
            &self.shapes,
            &self.plan,
            &self.cut,
        )
    }
}

fn beyond(sequence: u64, head: Sequence) -> Error {
    Error::BeyondHead {
        sequence,
        head: head.get(),
    }
}

fn check_there(reader: &Reader<'_>, ask: &Ask) -> Result<()> {
    for run_id in ask.runs.iter().flatten() {
        let is_there = reader.run(run_id)?.is_some()
            || documents::by_key(reader, Space::Run, run_id)?.is_some();
        if !is_there {
            return Err(Error::NotThere(format!("run {run_id}")));
        }
    }
    for asset_key in ask.assets.iter().flatten() {
        if reader.asset(asset_key)?.is_none() {
            return Err(Error::NotThere(format!("asset {asset_key}")));
        }
    }
    Ok(())
}

fn check_names(table: HistoryTable, ask: &Ask) -> Result<()> {
    let schema = table.schema(None);
    let names = || {
        let names: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        names.join(", ")
    };
    for column in ask.columns.iter().flatten() {
        if schema.column_with_name(column).is_none() {
            return Err(Error::Refused(format!(
                "table {} has no column {column}; it has {}",
                table.name(),
                names()
            )));
        }
    }
    for event_type in ask.event_types.iter().flatten() {
        if !EVENT_TYPES.contains(&event_type.as_str()) {
            return Err(Error::Refused(format!(
                "{event_type} is not a type of Dagster's events"
            )));
        }
    }
    let filters = [
        ("run", ask.runs.is_some(), table.has_runs()),
        ("asset", ask.assets.is_some(), table.has_assets()),
        ("event type", ask.event_types.is_some(), table.has_types()),
    ];
    for (filter, is_asked, is_there) in filters {
        if is_asked && !is_there {
            return Err(Error::Refused(format!(
                "table {} cannot be filtered by {filter}",
                table.name()
            )));
        }
    }
    Ok(())
}

/// The events that runs had at a moment, in order; None where the index does not tell, since a run was
/// deleted after it.
fn of_runs(
    reader: &Reader<'_>,
    runs: &[String],
    after: Sequence,
    end: Sequence,
    head: Sequence,
) -> Result<Option<Vec<Sequence>>> {
    let bounds = Bounds {
        after,
        before: end.next(),
    };
    let mut found = Vec::new();
    for run_id in runs {
        let Some(run) = reader.run(run_id)?.filter(|run| *run <= head.get()) else {
            if head < reader.head()? {
                return Ok(None);
            }
            continue;
        };
        for code in events::run_codes(reader, run, None)? {
            let prefix = Key::new().number(run).event_type(code);
            for row in reader.sequences(Table::RunEvents, &prefix, bounds, true)? {
                found.push(Sequence::from_key_end(row?.0)?);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(Some(found))
}
