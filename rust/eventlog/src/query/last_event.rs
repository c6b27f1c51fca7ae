//! The last event that stands.
//!
//! No index of the projections has events without a type, so it is looked for in the log, from the
//! head down. What was found to be silent there stays so, since no event comes back: a long stretch,
//! such as a deleted run leaves at the log's end, is remembered, and looked through once.

use std::collections::HashMap;

use super::events::is_live;
use super::reader::{Reader, open_record};
use crate::error::Result;
use crate::record::Record;
use crate::sequence::Sequence;
use crate::store::Silence;

/// How far a look has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// The last event, or that there is none; None where the look goes on.
    pub found: Option<Option<Sequence>>,
    /// What was passed over, from the head down.
    pub silence: Silence,
}

/// Looks at up to `limit` records from the head down, and passes over what is known to be silent.
pub fn last_event(reader: &Reader<'_>, known: &[Silence], limit: usize) -> Result<Looked> {
    let until = reader.head()?;
    let silent_after = |after| Silence {
        after,
        until: until.get(),
    };
    let none = Looked {
        found: Some(None),
        silence: silent_after(0),
    };
    let mut runs = HashMap::new();
    let mut cursor = reader.log_cursor()?;
    let mut row = cursor.last()?;
    let mut looked = 0;
    while let Some((key, frame)) = row {
        let sequence = Sequence::from_key_end(key)?;
        if let Some(silence) = known.iter().find(|known| known.contains(sequence.get())) {
            row = cursor.seek_below(&Sequence::new(silence.after).next().to_key())?;
            continue;
        }
        let silence = silent_after(sequence.get());
        if looked == limit {
            return Ok(Looked {
                found: None,
                silence,
            });
        }
        looked += 1;
        match open_record(sequence, frame)? {
            Record::Event(event) if is_live(reader, &mut runs, sequence, &event)? => {
                return Ok(Looked {
                    found: Some(Some(sequence)),
                    silence,
                });
            }
            // It covers every event before it.
            Record::EventLogWiped(_) => break,
            _ => row = cursor.previous()?,
        }
    }
    Ok(none)
}
