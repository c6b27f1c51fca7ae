//! What versions of ticks and of backfills have in common: each record of the document is one, and so is
//! a wipe of its whole space.

use super::super::column::Column;
use super::{Context, in_body};
use crate::error::Result;
use crate::record::{Record, Space};
use crate::sequence::Sequence;
use crate::value;

/// A document from a record on.
pub struct Version<'r> {
    pub sequence: Sequence,
    /// Unix seconds.
    pub time: f64,
    /// None where all documents of the space are gone.
    pub id: Option<Sequence>,
    pub key: Option<&'r str>,
    /// None where the document is gone.
    pub body: Option<&'r [u8]>,
}

impl<'r> Version<'r> {
    /// What a record says of a document of a space, if it does and is selected.
    pub fn of(
        context: &Context<'_>,
        space: Space,
        sequence: Sequence,
        record: &'r Record<'_>,
    ) -> Option<Self> {
        let version = match record {
            Record::Document(document) if document.space == space => Self {
                sequence,
                time: document.timestamp,
                id: Some(Sequence::new(document.id).known().unwrap_or(sequence)),
                key: Some(document.key),
                body: document.state.as_ref().map(|state| state.body),
            },
            Record::SpacesWiped(wiped) if wiped.spaces.contains(&space) => Self {
                sequence,
                time: wiped.timestamp,
                id: None,
                key: None,
                body: None,
            },
            _ => return None,
        };
        context
            .selection
            .takes_time(version.time)
            .then_some(version)
    }

    /// The object as JSON, where it is wanted and there.
    pub fn json(&self, context: &mut Context<'_>, is_wanted: bool) -> Result<Option<String>> {
        let Some(body) = self.body.filter(|_| is_wanted) else {
            return Ok(None);
        };
        let mut json = String::new();
        context
            .printer
            .print(&mut value::Reader::new(body), &[], &mut json)
            .map_err(in_body(self.sequence))?;
        Ok(Some(json))
    }

    pub fn put_sequence(&self, to: &mut Column) {
        to.number(Some(self.sequence.get() as i64));
    }

    pub fn put_deleted(&self, to: &mut Column) {
        to.flag(Some(self.body.is_none()));
    }
}
