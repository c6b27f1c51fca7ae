//! Husks: removing a record while what later records lean on stays.
//!
//! The invariant: folding the log gives the same projections whichever records that may go are
//! husked. So a husk keeps the names that the record was first to bring, since projections number
//! them by its sequence, and says which asset the record made known and how its run then stood.

use std::collections::HashMap;

use super::names::Names;
use crate::error::Result;
use crate::projection::key::{Key, check, pool};
use crate::projection::rows::{Pool, PoolStep};
use crate::projection::{Table, assets, dynamic_partitions};
use crate::query::{Reader, documents, events};
use crate::record::{Definition, Event, Husk, Record, RunAdvanced, Space};
use crate::sequence::Sequence;

/// What is known of the records before one that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nothing: any of them may be there.
    Any,
    /// Those that the record supersedes have gone: a register that retires its key may go as well.
    Ascending,
}

/// The husk of a record, or None where the record has to stay. `names` are those of the place in the
/// log from which on its folds have to stay the same.
pub fn husk_of(
    reader: &Reader<'_>,
    names: &Names,
    sequence: Sequence,
    record: &Record<'_>,
    order: Order,
) -> Result<Option<Husk>> {
    let is_last_word = order == Order::Ascending && record.retires();
    if !is_last_word && !may_go(reader, sequence, record)? {
        return Ok(None);
    }
    let mut husk = Husk::default();
    let mut define = |definition: Definition| {
        if names.defines(sequence, &definition) {
            husk.definitions.push(definition);
        }
    };
    match record {
        Record::Event(event) => {
            define(Definition::Run(event.run_id.to_owned()));
            if let Some(asset) = &event.asset {
                define(Definition::Asset(asset.key.to_owned()));
            }
            if let Some(check) = &event.check {
                define(Definition::Asset(check.asset_key.to_owned()));
                define(Definition::Check(
                    check.asset_key.to_owned(),
                    check.name.to_owned(),
                ));
            }
            if let Some(asset) = &event.asset
                && assets::makes_known(event.event_type.unwrap_or_default())
            {
                husk.known_assets
                    .push((asset.key.to_owned(), event.timestamp));
            }
            if let Some(status) = &event.status
                && names.has_run(event.run_id)
            {
                husk.status = Some(RunAdvanced {
                    run_id: event.run_id.to_owned(),
                    timestamp: event.timestamp,
                    status: status.status.to_owned(),
                    failure_reason: status.failure_reason.map(str::to_owned),
                    starts: status.starts,
                    ends: status.ends,
                });
            }
        }
        Record::CheckExecutionPlanned(planned) => {
            define(Definition::Run(planned.run_id.clone()));
            define(Definition::Asset(planned.asset_key.clone()));
            define(Definition::Check(
                planned.asset_key.clone(),
                planned.name.clone(),
            ));
        }
        _ => {}
    }
    Ok(Some(husk))
}

/// Whether a record's rule lets it go: a register that a later record of its key supersedes, or a
/// contribution that a tombstone covers.
fn may_go(reader: &Reader<'_>, sequence: Sequence, record: &Record<'_>) -> Result<bool> {
    match record {
        Record::Husk(_)
        | Record::ShapeDefined(_)
        | Record::RunEventsDeleted(_)
        | Record::AssetWiped(_)
        | Record::AssetPartitionsWiped(_)
        | Record::EventLogWiped(_)
        | Record::SpacesWiped(_) => Ok(false),
        Record::RunEventsSwept(swept) => {
            let deletion = Key::new().number(swept.deletion);
            let is_last = swept.until == swept.deletion;
            Ok(!is_last && reader.get(Table::DeletedRuns, &deletion)?.is_none())
        }
        Record::Event(event) => event_may_go(reader, sequence, event),
        Record::CheckExecutionPlanned(planned) => {
            let Some(asset) = reader.asset(&planned.asset_key)? else {
                return Ok(true);
            };
            let Some(number) = reader.check(asset.number, &planned.name)? else {
                return Ok(true);
            };
            let key = check::executions(number).sequence(sequence);
            Ok(reader.get(Table::Checks, &key)?.is_none())
        }
        Record::DynamicPartition(partition) => {
            let key = dynamic_partitions::name_key(&partition.definition, &partition.key);
            Ok(match reader.get(Table::DynamicPartitions, &key)? {
                Some(by) => Sequence::from_key_end(by)? > sequence,
                None => partition.present,
            })
        }
        Record::PoolLimit(limit) => {
            let row: Option<Pool> = reader.row(Table::Pools, &pool::row(&limit.pool))?;
            Ok(match row {
                Some(row) if row.set_by > sequence => true,
                Some(row) if row.set_by == sequence => false,
                _ => limit.limit.is_some(),
            })
        }
        Record::Document(document) => {
            let id = Sequence::new(document.id).known().unwrap_or(sequence);
            let row = documents::row(reader, document.space, id)?;
            Ok(row.map_or(document.state.is_some(), |row| row.body > sequence))
        }
        Record::RunStateSet(set) => {
            let row = documents::row(reader, Space::Run, Sequence::new(set.id))?;
            Ok(row.is_none_or(|row| row.run_set_by > sequence))
        }
        Record::PoolStep(step) => {
            let key = pool::step(&step.pool, &step.run_id, &step.step_key);
            let row: Option<PoolStep> = reader.row(Table::Pools, &key)?;
            Ok(match row {
                Some(row) => row.set_by > sequence,
                None => step.state.is_some(),
            })
        }
    }
}

/// An event goes when no index names it and no check execution shows it.
fn event_may_go(reader: &Reader<'_>, sequence: Sequence, event: &Event<'_>) -> Result<bool> {
    let is_live = events::is_live(reader, &mut HashMap::new(), sequence, event)?;
    Ok(!is_live && !reader.hidden()?.contains(sequence, event.run_id))
}
