//! Keys of dynamic partitions definitions, by name and in the order they were added.

use super::{Table, Target, key::Key};
use crate::error::Result;
use crate::record::DynamicPartition;
use crate::sequence::Sequence;

pub(super) fn fold(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    partition: &DynamicPartition,
) -> Result<()> {
    let by_key = name_key(&partition.definition, &partition.key);
    if let Some(old) = target.get(Table::DynamicPartitions, &by_key)? {
        let old = Sequence::from_key_end(old)?;
        let by_id = id_prefix(&partition.definition).sequence(old);
        target.delete(Table::DynamicPartitions, by_id.bytes())?;
        target.delete(Table::DynamicPartitions, by_key.bytes())?;
    }
    if partition.present {
        let by_id = id_prefix(&partition.definition).sequence(sequence);
        target.put(Table::DynamicPartitions, &by_key, &sequence.to_key())?;
        target.put(Table::DynamicPartitions, &by_id, partition.key.as_bytes())?;
    }
    Ok(())
}

/// definition, 0, key: the sequence that added it.
pub fn name_key(definition: &str, key: &str) -> Key {
    Key::new().text(definition).byte(0).text(key)
}

/// definition, 1 (then sequence): the key.
pub fn id_prefix(definition: &str) -> Key {
    Key::new().text(definition).byte(1)
}
