//! Keys of the projections: big-endian numbers and self-delimiting text, so that bytes sort as the
//! values do.
//!
//! Text is escaped (`00` becomes `00 FF`) and ended by `00 00`, so that a key is never the prefix of
//! another text's key and texts sort by their UTF-8 bytes. Text beyond its limit keeps its first
//! bytes and ends in a digest: every key stays below LMDB's 511 bytes, and rows hold the text whole.

use sha2::{Digest, Sha256};

use crate::record::event_type::TypeCode;
use crate::sequence::Sequence;

/// Escaped bytes of a text that stands with others in a key.
const SHORT_TEXT: usize = 120;

/// Escaped bytes of a text that has a key to itself.
pub const LONG_TEXT: usize = 440;

/// Bytes that a digest ends a text with: a marker and half a SHA-256.
const DIGEST: usize = 2 + 16;

/// A key being written.
#[derive(Debug, Clone, Default)]
pub struct Key(Vec<u8>);

impl Key {
    /// An empty key.
    pub fn new() -> Self {
        Self(Vec::with_capacity(64))
    }

    /// A key that begins with bytes of another.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Adds a byte.
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Adds a number of eight bytes.
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds a sequence.
    pub fn sequence(self, sequence: Sequence) -> Self {
        self.number(sequence.get())
    }

    /// Adds an event type.
    pub fn event_type(self, code: TypeCode) -> Self {
        self.byte(code.0)
    }

    /// Adds a text of at most 120 bytes, or its beginning and digest.
    pub fn text(self, text: &str) -> Self {
        self.text_within(text, SHORT_TEXT)
    }

    /// Adds a text of at most 440 bytes, or its beginning and digest.
    pub fn long_text(self, text: &str) -> Self {
        self.text_within(text, LONG_TEXT)
    }

    /// Adds the beginning of a text, to seek the texts that begin with it.
    pub fn text_prefix(mut self, text: &str) -> Self {
        let mut escaped = escape(text);
        escaped.truncate(SHORT_TEXT - DIGEST);
        self.0.extend_from_slice(&escaped);
        self
    }

    /// Adds the beginning of a long text, to seek the texts that begin with it.
    pub fn long_text_prefix(mut self, text: &str) -> Self {
        let mut escaped = escape(text);
        escaped.truncate(LONG_TEXT - DIGEST);
        self.0.extend_from_slice(&escaped);
        self
    }

    fn text_within(mut self, text: &str, limit: usize) -> Self {
        // Most texts are short and need no escape: these are not copied twice.
        if text.len() <= limit && !text.as_bytes().contains(&0) {
            self.0.extend_from_slice(text.as_bytes());
            self.0.extend_from_slice(&[0, 0]);
            return self;
        }
        let mut escaped = escape(text);
        if escaped.len() > limit {
            escaped.truncate(limit - DIGEST);
            escaped.extend_from_slice(&[0, 1]);
            escaped.extend_from_slice(&Sha256::digest(text.as_bytes())[..16]);
        }
        self.0.extend_from_slice(&escaped);
        self.0.extend_from_slice(&[0, 0]);
        self
    }

    /// Adds a time so that bytes sort as times do.
    pub fn time(self, seconds: f64) -> Self {
        let bits = seconds.to_bits();
        self.number(if bits >> 63 == 0 {
            bits | 1 << 63
        } else {
            !bits
        })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The time that bytes of a key begin with.
///
/// # Panics
///
/// If there are fewer than eight.
pub fn time_of(bytes: &[u8]) -> f64 {
    let bits = u64::from_be_bytes(*bytes.first_chunk::<8>().expect("a time"));
    f64::from_bits(if bits >> 63 == 1 {
        bits ^ 1 << 63
    } else {
        !bits
    })
}

fn escape(text: &str) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len() + DIGEST + 2);
    for byte in text.bytes() {
        escaped.push(byte);
        if byte == 0 {
            escaped.push(0xFF);
        }
    }
    escaped
}

/// Keys of `asset_events` beside those of Dagster's own event types.
pub mod asset_event {
    use crate::record::event_type::TypeCode;

    /// Failures that are not skips.
    pub const FAILED: TypeCode = TypeCode(254);
    /// Failures that are skips.
    pub const SKIPPED: TypeCode = TypeCode(253);
    /// Freshness state changes, which survive wipes of the asset.
    pub const FRESHNESS: TypeCode = TypeCode(252);
    /// Events by tag: asset, this, tag key, tag value, sequence.
    pub const BY_TAG: TypeCode = TypeCode(251);
    /// Latest events by partition: asset, this, partition.
    pub const LATEST: TypeCode = TypeCode(250);
    /// Events by partition: asset, this, partition, type, sequence.
    pub const OF_PARTITION: TypeCode = TypeCode(249);
}

/// Keys of `asset_events` by partition.
pub mod partition {
    use super::{Key, asset_event};
    use crate::record::event_type::TypeCode;

    /// What `latest` begins with for all partitions of an asset.
    pub fn all(asset: u64) -> Key {
        Key::new().number(asset).event_type(asset_event::LATEST)
    }

    /// The latest events of a partition.
    pub fn latest(asset: u64, partition: &str) -> Key {
        all(asset).text(partition)
    }

    /// The events of a partition (then type and sequence).
    pub fn events(asset: u64, partition: &str) -> Key {
        let of_asset = Key::new().number(asset);
        of_asset
            .event_type(asset_event::OF_PARTITION)
            .text(partition)
    }

    /// The events of a partition of one type (then sequence).
    pub fn events_of(asset: u64, partition: &str, code: TypeCode) -> Key {
        events(asset, partition).event_type(code)
    }
}

/// Keys of `checks`. A check's execution stands under several keys; only the first holds its row.
pub mod check {
    use super::Key;

    /// check, 0 (then row id): the executions.
    pub fn executions(check: u64) -> Key {
        Key::new().number(check).byte(0)
    }

    /// check, 1, status (then row id).
    pub fn by_status(check: u64, status: u8) -> Key {
        Key::new().number(check).byte(1).byte(status)
    }

    /// check, 2: what `by_partition` begins with.
    pub fn partitions(check: u64) -> Key {
        Key::new().number(check).byte(2)
    }

    /// check, 2, partition (then row id).
    pub fn by_partition(check: u64, partition: Option<&str>) -> Key {
        optional(partitions(check), partition)
    }

    /// check, 3, run, partition (then row id).
    pub fn by_run(check: u64, run: u64, partition: Option<&str>) -> Key {
        optional(Key::new().number(check).byte(3).number(run), partition)
    }

    /// check, 3, run: all of a run's executions.
    pub fn of_run(check: u64, run: u64) -> Key {
        Key::new().number(check).byte(3).number(run)
    }

    fn optional(key: Key, text: Option<&str>) -> Key {
        match text {
            None => key.byte(0),
            Some(text) => key.byte(1).text(text),
        }
    }
}

/// Keys of `pools`.
pub mod pool {
    use super::Key;
    use crate::sequence::Sequence;

    /// 0: what `row` begins with.
    pub fn rows() -> Key {
        Key::new().byte(0)
    }

    /// 0, pool: the pool.
    pub fn row(pool: &str) -> Key {
        rows().text(pool)
    }

    /// 1, pool (then run, step): the steps in its queue.
    pub fn steps(pool: &str) -> Key {
        Key::new().byte(1).text(pool)
    }

    /// 1, pool, run, step.
    pub fn step(pool: &str, run_id: &str, step_key: &str) -> Key {
        steps(pool).text(run_id).text(step_key)
    }

    /// 2: what `of_run` begins with.
    pub fn runs() -> Key {
        Key::new().byte(2)
    }

    /// 2, run (then pool, step): the queue's steps of a run.
    pub fn of_run(run_id: &str) -> Key {
        runs().text(run_id)
    }

    /// 2, run, pool, step.
    pub fn run_step(run_id: &str, pool: &str, step_key: &str) -> Key {
        of_run(run_id).text(pool).text(step_key)
    }

    /// 3, pool (then priority, time, sequence): unassigned steps, the next to be assigned first.
    pub fn waiting(pool: &str) -> Key {
        Key::new().byte(3).text(pool)
    }

    /// 3, pool, priority descending, enqueued ascending, sequence.
    pub fn waiting_step(pool: &str, priority: i64, enqueued: f64, queued_by: Sequence) -> Key {
        let descending = !(priority.cast_unsigned() ^ (1 << 63));
        waiting(pool)
            .number(descending)
            .time(enqueued)
            .sequence(queued_by)
    }
}

/// Keys of the documents' tables.
pub mod document {
    use super::Key;
    use crate::record::{Space, Term};
    use crate::sequence::Sequence;

    /// space: what all its keys begin with.
    pub fn space(space: Space) -> Key {
        Key::new().byte(space as u8)
    }

    /// space, id: the document.
    pub fn row(of: Space, id: Sequence) -> Key {
        space(of).sequence(id)
    }

    /// space, key: the id.
    pub fn by_key(of: Space, key: &str) -> Key {
        space(of).long_text(key)
    }

    /// space, name, value (then order, id): the documents with a term.
    pub fn value(of: Space, name: &str, value: &str) -> Key {
        space(of).text(name).text(value)
    }

    /// space, name, value, order (then id).
    pub fn term(of: Space, term: &Term) -> Key {
        value(of, &term.name, &term.value).time(term.order)
    }

    /// space, name, value, no order (then id).
    pub fn unordered(of: Space, name: &str, text: &str) -> Key {
        value(of, name, text).time(0.0)
    }

    /// space, name (then value): the counts of a name's values.
    pub fn counts(of: Space, name: &str) -> Key {
        space(of).text(name)
    }

    /// space, the beginning of a name: where the counts of the names that begin with it begin.
    pub fn counts_from(of: Space, beginning: &str) -> Key {
        space(of).text_prefix(beginning)
    }

    /// space, name, the beginning of a value: where the counts of such values begin.
    pub fn values_from(of: Space, name: &str, beginning: &str) -> Key {
        counts(of, name).text_prefix(beginning)
    }

    /// space, name, value: how many documents have a term.
    pub fn count(of: Space, name: &str, value: &str) -> Key {
        counts(of, name).text(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, pool, time_of};
    use crate::sequence::Sequence;

    #[test]
    fn texts_sort_by_their_bytes_and_none_is_another_ones_prefix() {
        let mut texts = ["", "a", "a\0", "a\0b", "ab", "b", "\u{e9}"];
        texts.sort_unstable();
        let keys: Vec<_> = texts.iter().map(|text| Key::new().text(text).0).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        for (i, one) in keys.iter().enumerate() {
            assert!(
                keys.iter()
                    .enumerate()
                    .all(|(j, other)| i == j || !other.starts_with(one))
            );
        }
    }

    #[test]
    fn long_texts_stay_within_lmdbs_keys_and_apart() {
        let long = "x".repeat(10_000);
        let other = format!("{long}y");
        let key = Key::new()
            .number(1)
            .byte(1)
            .text(&long)
            .text(&long)
            .text(&long)
            .number(1);
        assert!(key.0.len() <= 511);
        assert!(Key::new().long_text(&long).0.len() <= 511);
        assert_ne!(Key::new().text(&long).0, Key::new().text(&other).0);
    }

    #[test]
    fn times_sort_as_numbers_and_are_read_back() {
        let times = [
            f64::NEG_INFINITY,
            -2.5,
            -0.1,
            0.0,
            1e-9,
            1.5,
            2e9,
            f64::INFINITY,
        ];
        let keys = times.map(|time| Key::new().time(time));
        assert!(
            keys.windows(2)
                .all(|pair| pair[0].bytes() < pair[1].bytes())
        );
        assert_eq!(keys.map(|key| time_of(key.bytes())), times);
    }

    #[test]
    fn waiting_steps_sort_by_priority_then_age() {
        let key =
            |priority, enqueued| pool::waiting_step("p", priority, enqueued, Sequence::ZERO).0;
        assert!(key(5, 2.0) < key(1, 1.0));
        assert!(key(1, 1.0) < key(1, 2.0));
        assert!(key(0, 1.0) < key(-1, 1.0));
        assert!(key(0, -1.0) < key(0, 1.0));
    }
}
