//! The tables: which columns each has, and the rows that it makes of records.

mod asset_checks;
mod backfills;
mod event_body;
mod events;
mod runs;
mod ticks;
mod version;

use runs::Runs;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use super::column::{Columns, schema_of};
use super::scan::Plan;
use super::selection::Selection;
use super::standing::changes_runs;
use super::walk::Shapes;
use crate::EventLog;
use crate::error::{Error, Result};
use crate::log::kind_of;
use crate::record::{Kind, Record};
use crate::sequence::Sequence;
use crate::value::JsonPrinter;

/// A table of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistoryTable {
    /// Every event of Dagster's event log.
    Events,
    /// Each execution of a check that was planned, and each that was evaluated.
    AssetChecks,
    /// Each state of each run.
    Runs,
    /// Each state of each tick.
    Ticks,
    /// Each state of each backfill.
    Backfills,
}

impl HistoryTable {
    /// Every table.
    pub const ALL: [Self; 5] = [
        Self::Events,
        Self::Runs,
        Self::AssetChecks,
        Self::Ticks,
        Self::Backfills,
    ];

    /// The name that Python and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Runs => "runs",
            Self::AssetChecks => "asset_checks",
            Self::Ticks => "ticks",
            Self::Backfills => "backfills",
        }
    }

    /// The table of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// Whether its rows are of runs.
    pub fn has_runs(self) -> bool {
        matches!(self, Self::Events | Self::Runs | Self::AssetChecks)
    }

    /// Whether its rows may be of assets.
    pub fn has_assets(self) -> bool {
        matches!(self, Self::Events | Self::AssetChecks)
    }

    /// Whether its rows are of event types.
    pub fn has_types(self) -> bool {
        matches!(self, Self::Events)
    }

    /// Whether a frame may hold what becomes a row, or changes one.
    pub fn reads(self, frame: &[u8]) -> bool {
        match self {
            Self::Events => kind_of(frame) == Some(Kind::Event),
            Self::Runs => changes_runs(frame),
            Self::AssetChecks => matches!(
                kind_of(frame),
                Some(Kind::Event | Kind::CheckExecutionPlanned)
            ),
            Self::Ticks | Self::Backfills => {
                matches!(kind_of(frame), Some(Kind::Document | Kind::SpacesWiped))
            }
        }
    }

    /// The columns of the table with these names, or all.
    pub fn schema(self, names: Option<&[String]>) -> SchemaRef {
        match self {
            Self::Events => schema_of(events::COLUMNS, names),
            Self::Runs => schema_of(runs::COLUMNS, names),
            Self::AssetChecks => schema_of(asset_checks::COLUMNS, names),
            Self::Ticks => schema_of(ticks::COLUMNS, names),
            Self::Backfills => schema_of(backfills::COLUMNS, names),
        }
    }
}

/// Rows of a table under construction.
pub enum Rows {
    Events(Columns<events::Column>),
    Runs(Box<Runs>),
    AssetChecks(Columns<asset_checks::Column>),
    Ticks(Columns<ticks::Column>),
    Backfills(Columns<backfills::Column>),
}

/// What all rows of a table are made with.
pub struct Context<'s> {
    pub selection: &'s Selection,
    pub shapes: &'s Shapes,
    pub printer: JsonPrinter<'s>,
    /// A row's own text, kept for the room that it has.
    json: String,
}

impl<'s> Context<'s> {
    /// Rows of what a selection chooses, in bodies of these shapes.
    pub fn new(selection: &'s Selection, shapes: &'s Shapes) -> Self {
        Self {
            selection,
            shapes,
            printer: JsonPrinter::new(shapes),
            json: String::new(),
        }
    }
}

impl Rows {
    /// No row yet, of the columns that a selection names.
    pub fn new(selection: &Selection, plan: &Plan) -> Self {
        let names = selection.columns.as_deref();
        match selection.table {
            HistoryTable::Events => Self::Events(Columns::new(events::COLUMNS, names)),
            HistoryTable::Runs => Self::Runs(Box::new(Runs::new(names, plan.place(0)))),
            HistoryTable::AssetChecks => {
                Self::AssetChecks(Columns::new(asset_checks::COLUMNS, names))
            }
            HistoryTable::Ticks => Self::Ticks(Columns::new(ticks::COLUMNS, names)),
            HistoryTable::Backfills => Self::Backfills(Columns::new(backfills::COLUMNS, names)),
        }
    }

    /// Adds what a record says to the table, if anything and if it is selected.
    pub fn see(
        &mut self,
        context: &mut Context<'_>,
        sequence: Sequence,
        record: &Record<'_>,
    ) -> Result<()> {
        match self {
            Self::Events(columns) => events::see(columns, context, sequence, record),
            Self::Runs(_) => Ok(()),
            Self::AssetChecks(columns) => asset_checks::see(columns, context, sequence, record),
            Self::Ticks(columns) => ticks::see(columns, context, sequence, record),
            Self::Backfills(columns) => backfills::see(columns, context, sequence, record),
        }
    }

    /// Looks through the log from a run on, before rows go on.
    pub fn look_back(&mut self, log: &EventLog, run: Sequence) -> Result<()> {
        match self {
            Self::Runs(runs) => runs.standings.look_back(log, run),
            _ => Ok(()),
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        match self {
            Self::Events(columns) => columns.rows(),
            Self::Runs(runs) => runs.columns.rows(),
            Self::AssetChecks(columns) => columns.rows(),
            Self::Ticks(columns) => columns.rows(),
            Self::Backfills(columns) => columns.rows(),
        }
    }

    /// The rows so far, as a batch; none are left.
    pub fn finish(&mut self) -> std::result::Result<RecordBatch, ArrowError> {
        match self {
            Self::Events(columns) => columns.finish(),
            Self::Runs(runs) => runs.columns.finish(),
            Self::AssetChecks(columns) => columns.finish(),
            Self::Ticks(columns) => columns.finish(),
            Self::Backfills(columns) => columns.finish(),
        }
    }
}

/// The path of an asset key's text, which is a JSON array; text that is none is a path of one part.
fn path_of(asset_key: &str) -> Vec<String> {
    serde_json::from_str(asset_key).unwrap_or_else(|_| vec![asset_key.to_owned()])
}

fn in_body(sequence: Sequence) -> impl Fn(crate::value::Error) -> Error {
    move |error| Error::Body {
        sequence: sequence.get(),
        reason: error.to_string(),
    }
}
