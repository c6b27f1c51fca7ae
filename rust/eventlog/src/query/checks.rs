//! Executions of asset checks.

use super::events::{StoredEvent, load};
use super::reader::{Bounds, Reader};
use super::{assets, partitions};
use std::collections::HashMap;

use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::{Key, check};
use crate::projection::rows::{CheckExecution, CheckStatus};
use crate::record::event_type::names;
use crate::sequence::Sequence;

/// An execution, its row's id and its event.
#[derive(Debug, Clone)]
pub struct Execution {
    pub row_id: Sequence,
    pub row: CheckExecution,
    pub event: StoredEvent,
}

/// Which executions of a check.
#[derive(Debug, Clone, Default)]
pub struct Executions {
    pub limit: usize,
    pub before: Option<Sequence>,
    pub statuses: Option<Vec<CheckStatus>>,
    /// Keeps executions of this partition, or of none.
    pub partition: Option<Option<String>>,
}

/// The number of a check by its asset's key and its name.
fn number(reader: &Reader<'_>, asset_key: &str, name: &str) -> Result<Option<u64>> {
    match reader.asset(asset_key)? {
        None => Ok(None),
        Some(asset) => reader.check(asset.number, name),
    }
}

/// Executions of a check, newest first. O(log + executions returned), times the statuses; with
/// both filters O(executions of the partition).
pub fn executions(
    reader: &Reader<'_>,
    asset_key: &str,
    name: &str,
    query: &Executions,
) -> Result<Vec<Execution>> {
    let Some(number) = number(reader, asset_key, name)? else {
        return Ok(Vec::new());
    };
    let bounds = Bounds {
        before: query.before.unwrap_or(Bounds::ALL.before),
        ..Bounds::ALL
    };
    let prefixes = match (&query.partition, &query.statuses) {
        (Some(partition), _) => vec![check::by_partition(number, partition.as_deref())],
        (None, Some(statuses)) => statuses
            .iter()
            .map(|status| check::by_status(number, *status as u8))
            .collect(),
        (None, None) => vec![check::executions(number)],
    };
    let mut found = Vec::new();
    for prefix in prefixes {
        let mut taken = 0;
        for row in reader.sequences(Table::Checks, &prefix, bounds, false)? {
            if taken >= query.limit {
                break;
            }
            let row_id = Sequence::from_key_end(row?.0)?;
            let key = check::executions(number).sequence(row_id);
            let Some(row) = reader.row::<CheckExecution>(Table::Checks, &key)? else {
                continue;
            };
            if query
                .statuses
                .as_ref()
                .is_none_or(|statuses| statuses.contains(&row.status))
            {
                found.push((row_id, row));
                taken += 1;
            }
        }
    }
    found.sort_by_key(|(row_id, _)| std::cmp::Reverse(*row_id));
    found.truncate(query.limit);
    found
        .into_iter()
        .map(|(row_id, row)| {
            Ok(Execution {
                row_id,
                event: load(reader, row.event)?,
                row,
            })
        })
        .collect()
}

/// The latest execution of one partition of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckPartition {
    pub partition: Option<String>,
    pub status: CheckStatus,
    pub target: Option<u64>,
    pub run_id: String,
    /// Sequence of the planned event or evaluation.
    pub event: Sequence,
    /// Latest materialization of the partition, or of the asset where that has no partition.
    pub materialization: Option<Sequence>,
}

/// The latest execution of each partition. `after` keeps those with a newer check event or
/// materialization. O(partitions of the check, or those asked for).
pub fn partitions(
    reader: &Reader<'_>,
    asset_key: &str,
    name: &str,
    after: Option<i64>,
    wanted: Option<&[String]>,
) -> Result<Vec<CheckPartition>> {
    let Some(number) = number(reader, asset_key, name)? else {
        return Ok(Vec::new());
    };
    let row_ids = match wanted {
        Some(wanted) => {
            let mut found = Vec::new();
            for name in wanted {
                let prefix = check::by_partition(number, Some(name));
                found.extend(reader.last_sequence(Table::Checks, &prefix, Bounds::ALL)?);
            }
            found
        }
        None => latest_of_partitions(reader, number)?,
    };
    let unpartitioned = assets::latest_unpartitioned(reader, asset_key)?;
    let names_wanted = wanted.map(|names| names.iter().cloned().collect());
    let materialized: HashMap<String, Sequence> = partitions::latest_by_partition(
        reader,
        asset_key,
        names::MATERIALIZATION,
        names_wanted.as_ref(),
        Bounds::ALL,
    )?
    .into_iter()
    .collect();
    let mut found = Vec::new();
    for row_id in row_ids {
        let key = check::executions(number).sequence(row_id);
        let Some(row) = reader.row::<CheckExecution>(Table::Checks, &key)? else {
            continue;
        };
        let of_partition = row
            .partition
            .as_ref()
            .and_then(|name| materialized.get(name))
            .copied();
        let newer = |sequence: Sequence| {
            after.is_none_or(|after| i128::from(sequence.get()) > i128::from(after))
        };
        if newer(row.event) || of_partition.is_some_and(newer) {
            found.push(CheckPartition {
                status: row.status,
                target: row.target,
                run_id: reader.event(row.event)?.run_id.to_owned(),
                event: row.event,
                materialization: of_partition.max(unpartitioned),
                partition: row.partition,
            });
        }
    }
    Ok(found)
}

/// Row id of the latest execution of each partition, by skipping from partition to partition.
fn latest_of_partitions(reader: &Reader<'_>, number: u64) -> Result<Vec<Sequence>> {
    let prefix = check::partitions(number);
    let mut cursor = reader.cursor(Table::Checks)?;
    let mut found = Vec::new();
    let mut row = cursor.seek(prefix.bytes())?;
    while let Some((key, _)) = row {
        if !key.starts_with(prefix.bytes()) {
            break;
        }
        let of_partition = Key::of(&key[..key.len() - 8]);
        found.extend(reader.last_sequence(Table::Checks, &of_partition, Bounds::ALL)?);
        row = cursor.seek(of_partition.sequence(Bounds::ALL.before).bytes())?;
    }
    Ok(found)
}

/// Status by the value of Dagster's enum.
pub fn status_named(name: &str) -> Option<CheckStatus> {
    CheckStatus::ALL
        .into_iter()
        .find(|status| status.name() == name)
}
