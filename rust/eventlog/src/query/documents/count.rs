//! How many documents a query asks for.

use super::Find;
use super::join::{Join, conditions};
use super::terms::{count_of, count_of_any};
use super::times;
use crate::error::Result;
use crate::projection::rows::DocumentRow;
use crate::query::Reader;
use crate::record::Space;

/// How many documents `find` asks for, whatever its limit. No row is read.
///
/// O(log) for one name's values; for times alone O(log) where they came in the order of the ids; else
/// O(documents counted, and the gaps of the rarest set), times the logarithm of all.
pub fn count(reader: &Reader<'_>, space: Space, find: &Find) -> Result<usize> {
    let of_all_ids = find.keys.is_none() && find.after.is_none() && find.before.is_none();
    match (find.any_of.as_slice(), find.ranges.as_slice()) {
        ([], []) if of_all_ids => count_of(reader, space, DocumentRow::ALL, ""),
        ([(name, values)], []) if of_all_ids => count_of_any(reader, space, name, values),
        ([], _) if of_all_ids => times::count(reader, space, &conditions(find)),
        _ => {
            let mut count = 0;
            for id in Join::new(reader, space, find, true)? {
                id?;
                count += 1;
            }
            Ok(count)
        }
    }
}
