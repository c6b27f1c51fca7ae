//! Comparing two projection sets as ordered (table, key, value).

use super::Progress;
use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::Key;
use crate::query::Reader;
use crate::store::lmdb::Row;

/// Differences told in full; more are counted.
const TOLD: usize = 100;

/// Where two sets differ, one line each, and how many rows the live one has.
pub fn compare(
    live: &Reader<'_>,
    refolded: &Reader<'_>,
    progress: Progress<'_>,
) -> Result<(Vec<String>, u64)> {
    let mut differences = Vec::new();
    let mut more = 0u64;
    let mut rows = 0;
    let total = Table::ALL.len() as u64;
    for (index, table) in Table::ALL.into_iter().enumerate() {
        progress("compare", index as u64, total)?;
        let mut ours = live.prefix(table, &Key::new())?;
        let mut theirs = refolded.prefix(table, &Key::new())?;
        let (mut our, mut their) = (ours.next().transpose()?, theirs.next().transpose()?);
        loop {
            let difference = match (our, their) {
                (None, None) => break,
                (Some(one), Some(other)) if one == other => None,
                (Some((key, _)), Some((other, _))) if key == other => {
                    Some(("has another value", key))
                }
                (Some((key, _)), Some((other, _))) if key < other => {
                    Some(("is not in the log's fold", key))
                }
                (Some((key, _)), None) => Some(("is not in the log's fold", key)),
                (_, Some((key, _))) => Some(("is missing", key)),
            };
            if let Some((what, key)) = difference {
                if differences.len() < TOLD {
                    differences.push(format!("{} {}: the row {what}", table.name(), hex(key)));
                } else {
                    more += 1;
                }
            }
            let step = order(our, their);
            if step != std::cmp::Ordering::Greater {
                our = ours.next().transpose()?;
                rows += 1;
            }
            if step != std::cmp::Ordering::Less {
                their = theirs.next().transpose()?;
            }
        }
    }
    if more > 0 {
        differences.push(format!("and {more} more rows"));
    }
    progress("compare", total, total)?;
    Ok((differences, rows))
}

/// Which side to step: the one with the lower key, or both.
fn order(our: Option<Row<'_>>, their: Option<Row<'_>>) -> std::cmp::Ordering {
    match (our, their) {
        (Some((key, _)), Some((other, _))) => key.cmp(other),
        (Some(_), None) => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Greater,
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
