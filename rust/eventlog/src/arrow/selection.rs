//! Which rows and columns of a table are wanted.

use std::collections::HashSet;

use super::column::microseconds;
use super::rows::HistoryTable;

/// Rows and columns of a table.
#[derive(Debug, Clone)]
pub struct Selection {
    pub table: HistoryTable,
    /// Names of columns; None for all.
    pub columns: Option<Vec<String>>,
    /// Times that rows are not before, and before, in microseconds since 1970 as rows show them.
    pub times: (Option<i64>, Option<i64>),
    pub runs: Option<HashSet<String>>,
    /// As `AssetKey.to_string()` has them.
    pub assets: Option<HashSet<String>>,
    pub event_types: Option<HashSet<String>>,
}

impl Selection {
    /// Whether a row of this time (Unix seconds) is wanted; where times are bounded, one that shows no
    /// time is not.
    pub fn takes_time(&self, seconds: f64) -> bool {
        if self.times == (None, None) {
            return true;
        }
        let Some(time) = microseconds(seconds) else {
            return false;
        };
        self.times.0.is_none_or(|from| time >= from) && self.times.1.is_none_or(|to| time < to)
    }

    /// Whether a row of this run is wanted.
    pub fn takes_run(&self, run_id: &str) -> bool {
        self.runs.as_ref().is_none_or(|runs| runs.contains(run_id))
    }

    /// Whether a row of this asset is wanted.
    pub fn takes_asset(&self, asset_key: Option<&str>) -> bool {
        self.assets
            .as_ref()
            .is_none_or(|assets| asset_key.is_some_and(|key| assets.contains(key)))
    }

    /// Whether an event of this type is wanted.
    pub fn takes_type(&self, event_type: Option<&str>) -> bool {
        self.event_types
            .as_ref()
            .is_none_or(|types| event_type.is_some_and(|name| types.contains(name)))
    }
}
