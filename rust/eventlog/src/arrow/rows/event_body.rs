//! What the body of an event says, beside the facets.

use super::super::column::{ErrorLevel, MetadataItem, Text};
use super::super::walk::{Field, Walk};
use crate::value::{Error, JsonPrinter};

/// How deep one part of an event's data may be in another, and still be looked at.
const DEEPEST: usize = 8;

/// What columns want of a body.
#[derive(Debug, Default)]
pub struct EventBody<'b> {
    user_message: Option<Text<'b>>,
    event_message: Option<Text<'b>>,
    /// The entry's own, which log messages have.
    entry_error: Vec<ErrorLevel<'b>>,
    event_error: Vec<ErrorLevel<'b>>,
    pub tags: Vec<(Text<'b>, Text<'b>)>,
    pub metadata: Vec<MetadataItem<'b>>,
    /// Seconds.
    pub duration: Option<f64>,
    pub description: Option<Text<'b>>,
    pub severity: Option<Text<'b>>,
    pub blocking: Option<bool>,
}

impl<'b> EventBody<'b> {
    /// Reads an `EventLogEntry`.
    pub fn read<'s: 'b>(
        mut walk: Walk<'b, 's>,
        printer: &mut JsonPrinter<'_>,
    ) -> Result<Self, Error> {
        let mut body = Self::default();
        walk.object(|walk, field| match field {
            Field::DagsterEvent => walk.object(|walk, field| match field {
                Field::EventSpecificData => body.read_data(walk, printer, 0),
                Field::Message => {
                    body.event_message = walk.text()?;
                    Ok(())
                }
                _ => walk.skip(),
            }),
            Field::ErrorInfo => walk.error(&mut body.entry_error),
            Field::UserMessage => {
                body.user_message = walk.text()?;
                Ok(())
            }
            _ => walk.skip(),
        })?;
        walk.end()?;
        Ok(body)
    }

    /// What Dagster shows as the entry's message: the user's, else the event's; none for an empty one.
    pub fn message(&self) -> Option<&str> {
        let is_there = |message: &&str| !message.is_empty();
        let messages = [&self.user_message, &self.event_message];
        messages
            .into_iter()
            .filter_map(|message| message.as_deref())
            .find(is_there)
    }

    /// The error of the event, else of the entry, and its causes.
    pub fn error(&self) -> &[ErrorLevel<'b>] {
        if self.event_error.is_empty() {
            &self.entry_error
        } else {
            &self.event_error
        }
    }

    /// The data of the event's type, or what an event is about within it.
    fn read_data<'s: 'b>(
        &mut self,
        walk: &mut Walk<'b, 's>,
        printer: &mut JsonPrinter<'_>,
        depth: usize,
    ) -> Result<(), Error> {
        walk.object(|walk, field| {
            match field {
                Field::AssetMaterializationFailure
                | Field::AssetObservation
                | Field::ExpectationResult
                | Field::Materialization
                | Field::UserFailureData
                    if depth < DEEPEST =>
                {
                    self.read_data(walk, printer, depth + 1)?;
                }
                Field::Error => walk.error(&mut self.event_error)?,
                Field::Metadata | Field::MetadataEntries => {
                    walk.metadata(&mut self.metadata, printer)?;
                }
                Field::Tags => self.tags = walk.map()?,
                Field::DurationMs => self.duration = walk.float()?.map(|ms| ms / 1000.0),
                Field::Description => self.description = walk.text()?,
                Field::Severity => self.severity = walk.text()?,
                Field::Blocking => self.blocking = walk.flag()?,
                _ => walk.skip()?,
            }
            Ok(())
        })
    }
}
