//! Walking a body from one value to the next: what the columns want of it, and no text in between.
//!
//! Objects are read by the names of their fields, whatever their class: an event whose class this
//! release does not know gives what it has.

use std::borrow::Cow;
use std::sync::Arc;

use super::column::{ErrorLevel, MetadataItem, Text};
use crate::value::{
    Error, Facet, JsonPrinter, Reader, Shape, ShapeKind, ShapeSource, Token, replace_surrogates,
};

/// How many causes of an error are looked at: a chain is a list, so it may be cut.
const MOST_CAUSES: usize = 100;

/// The shapes of a store, with what the walk asks of them.
pub struct Shapes {
    definitions: Vec<Arc<Shape>>,
    /// Fields of each, by what they are to the walk.
    fields: Vec<Box<[Field]>>,
    /// What each is called as a kind of metadata.
    kinds: Vec<String>,
}

impl Shapes {
    /// The shapes, by ordinal.
    pub fn new(definitions: Vec<Arc<Shape>>) -> Self {
        let fields = definitions
            .iter()
            .map(|shape| shape.fields.iter().map(|name| Field::named(name)).collect())
            .collect();
        let kinds = definitions
            .iter()
            .map(|shape| metadata_kind(&shape.name))
            .collect();
        Self {
            definitions,
            fields,
            kinds,
        }
    }

    fn fields(&self, ordinal: u32, found: usize) -> Result<&[Field], Error> {
        let fields = self
            .fields
            .get(ordinal as usize)
            .ok_or(Error::UnknownShape(ordinal))?;
        if fields.len() != found {
            return Err(Error::FieldCount {
                ordinal,
                expected: fields.len(),
                found,
            });
        }
        Ok(fields)
    }

    fn member(&self, ordinal: u32) -> Result<&str, Error> {
        let shape = self
            .definitions
            .get(ordinal as usize)
            .ok_or(Error::UnknownShape(ordinal))?;
        if shape.kind != ShapeKind::Enum {
            return Err(Error::WrongKind(ordinal));
        }
        Ok(shape
            .name
            .split_once('.')
            .map_or(shape.name.as_str(), |(_, member)| member))
    }
}

impl ShapeSource for Shapes {
    fn shape(&self, ordinal: u32) -> Option<Arc<Shape>> {
        self.definitions.shape(ordinal)
    }
}

/// A field of an object, by its storage name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    AssetMaterializationFailure,
    AssetObservation,
    AssetSelection,
    BackfillEndTimestamp,
    BackfillTimestamp,
    Blocking,
    Cause,
    ClsName,
    Cursor,
    CodeLocationOrigin,
    DagsterEvent,
    Description,
    DurationMs,
    EndTimestamp,
    EntryData,
    ErrorInfo,
    Error,
    EventSpecificData,
    ExecutionPlanSnapshotId,
    ExpectationResult,
    FailureCount,
    JobName,
    JobOriginId,
    JobSnapshotId,
    JobType,
    Label,
    LocationName,
    Materialization,
    Message,
    Metadata,
    MetadataEntries,
    ParentRunId,
    PartitionNames,
    Path,
    PipelineName,
    RemoteJobOrigin,
    RepositoryName,
    RepositoryOrigin,
    RootRunId,
    RunIds,
    RunKeys,
    SelectorId,
    Severity,
    SkipReason,
    Stack,
    Status,
    StepKeysToExecute,
    Tags,
    Timestamp,
    Title,
    UserFailureData,
    UserMessage,
    /// Any other.
    Other,
}

impl Field {
    fn named(name: &str) -> Self {
        match name {
            "asset_materialization_failure" => Self::AssetMaterializationFailure,
            "asset_observation" => Self::AssetObservation,
            "asset_selection" => Self::AssetSelection,
            "backfill_end_timestamp" => Self::BackfillEndTimestamp,
            "backfill_timestamp" => Self::BackfillTimestamp,
            "blocking" => Self::Blocking,
            "cause" => Self::Cause,
            "cls_name" => Self::ClsName,
            "cursor" => Self::Cursor,
            "repository_location_origin" => Self::CodeLocationOrigin,
            "dagster_event" => Self::DagsterEvent,
            "description" => Self::Description,
            "duration_ms" => Self::DurationMs,
            "end_timestamp" => Self::EndTimestamp,
            "entry_data" => Self::EntryData,
            "error_info" => Self::ErrorInfo,
            "error" => Self::Error,
            "event_specific_data" => Self::EventSpecificData,
            "execution_plan_snapshot_id" => Self::ExecutionPlanSnapshotId,
            "expectation_result" => Self::ExpectationResult,
            "failure_count" => Self::FailureCount,
            "job_name" => Self::JobName,
            "job_origin_id" => Self::JobOriginId,
            "pipeline_snapshot_id" => Self::JobSnapshotId,
            "job_type" => Self::JobType,
            "label" => Self::Label,
            "location_name" => Self::LocationName,
            "materialization" => Self::Materialization,
            "message" => Self::Message,
            "metadata" => Self::Metadata,
            "metadata_entries" => Self::MetadataEntries,
            "parent_run_id" => Self::ParentRunId,
            "partition_names" => Self::PartitionNames,
            "path" => Self::Path,
            "pipeline_name" => Self::PipelineName,
            "external_pipeline_origin" => Self::RemoteJobOrigin,
            "repository_name" => Self::RepositoryName,
            "external_repository_origin" => Self::RepositoryOrigin,
            "root_run_id" => Self::RootRunId,
            "run_ids" => Self::RunIds,
            "run_keys" => Self::RunKeys,
            "selector_id" => Self::SelectorId,
            "severity" => Self::Severity,
            "skip_reason" => Self::SkipReason,
            "stack" => Self::Stack,
            "status" => Self::Status,
            "step_keys_to_execute" => Self::StepKeysToExecute,
            "tags" => Self::Tags,
            "timestamp" => Self::Timestamp,
            "title" => Self::Title,
            "user_failure_data" => Self::UserFailureData,
            "user_message" => Self::UserMessage,
            _ => Self::Other,
        }
    }
}

/// A place in a body.
pub struct Walk<'b, 's> {
    reader: Reader<'b>,
    facets: &'b [Option<Facet<'b>>],
    shapes: &'s Shapes,
}

impl<'b, 's> Walk<'b, 's> {
    /// The beginning of a body.
    pub fn new(body: &'b [u8], facets: &'b [Option<Facet<'b>>], shapes: &'s Shapes) -> Self {
        Self {
            reader: Reader::new(body),
            facets,
            shapes,
        }
    }

    /// Checks that the body is used up.
    pub fn end(&self) -> Result<(), Error> {
        self.reader.end()
    }

    /// Passes over the next value.
    pub fn skip(&mut self) -> Result<(), Error> {
        self.reader.skip()
    }

    /// Reads the next value, an object, field by field: `read` takes the value of each. Anything else
    /// is passed over.
    pub fn object(
        &mut self,
        mut read: impl FnMut(&mut Self, Field) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.reader.token()? {
            Token::Object { ordinal, fields } => {
                let shapes = self.shapes;
                for field in shapes.fields(ordinal, fields)? {
                    match field {
                        Field::Other => self.reader.skip()?,
                        field => read(self, *field)?,
                    }
                }
                Ok(())
            }
            token => self.reader.skip_rest(token),
        }
    }

    /// Reads the next value, a list or a set, item by item. False where it is neither.
    pub fn items(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        match self.reader.token()? {
            Token::Array(length) | Token::Set(length) | Token::FrozenSet(length) => {
                (0..length).try_for_each(|_| read(self))?;
                Ok(true)
            }
            token => {
                self.reader.skip_rest(token)?;
                Ok(false)
            }
        }
    }

    /// The next value as text: a string, or the name of an enum's member.
    pub fn text(&mut self) -> Result<Option<Text<'b>>, Error>
    where
        's: 'b,
    {
        let shapes: &'s Shapes = self.shapes;
        Ok(Some(match self.reader.token()? {
            Token::Str(text) => Cow::Borrowed(text),
            Token::Surrogates(bytes) => {
                Cow::Owned(replace_surrogates(bytes).ok_or(Error::BadString)?)
            }
            Token::Enum(ordinal) => Cow::Borrowed(shapes.member(ordinal)?),
            Token::Facet(index) => match self.facet(index)? {
                Facet::Str(text) => Cow::Borrowed(text),
                Facet::Float(_) => return Ok(None),
            },
            token => {
                self.reader.skip_rest(token)?;
                return Ok(None);
            }
        }))
    }

    /// The next value as a number.
    pub fn float(&mut self) -> Result<Option<f64>, Error> {
        Ok(Some(match self.reader.token()? {
            Token::Float(value) => value,
            Token::Int(value) => value as f64,
            Token::UInt(value) => value as f64,
            Token::Facet(index) => match self.facet(index)? {
                Facet::Float(value) => value,
                Facet::Str(_) => return Ok(None),
            },
            token => {
                self.reader.skip_rest(token)?;
                return Ok(None);
            }
        }))
    }

    /// The next value as a whole number of 64 bits.
    pub fn int(&mut self) -> Result<Option<i64>, Error> {
        match self.reader.token()? {
            Token::Int(value) => Ok(Some(value)),
            token => {
                self.reader.skip_rest(token)?;
                Ok(None)
            }
        }
    }

    /// The next value as a flag.
    pub fn flag(&mut self) -> Result<Option<bool>, Error> {
        match self.reader.token()? {
            Token::Bool(value) => Ok(Some(value)),
            token => {
                self.reader.skip_rest(token)?;
                Ok(None)
            }
        }
    }

    /// The paths of the next value, a list or set of asset keys; none where it is neither.
    pub fn paths(&mut self) -> Result<Option<Vec<Vec<Text<'b>>>>, Error>
    where
        's: 'b,
    {
        let mut paths = Vec::new();
        let is_list = self.items(|walk| {
            walk.object(|walk, field| {
                match field {
                    Field::Path => paths.extend(walk.texts()?),
                    _ => walk.skip()?,
                }
                Ok(())
            })
        })?;
        Ok(is_list.then_some(paths))
    }

    /// The texts of the next value, a list; none where it is not one.
    pub fn texts(&mut self) -> Result<Option<Vec<Text<'b>>>, Error>
    where
        's: 'b,
    {
        let mut texts = Vec::new();
        let is_list = self.items(|walk| {
            texts.extend(walk.text()?);
            Ok(())
        })?;
        Ok(is_list.then_some(texts))
    }

    /// The texts of the next value, a map.
    pub fn map(&mut self) -> Result<Vec<(Text<'b>, Text<'b>)>, Error>
    where
        's: 'b,
    {
        let mut entries = Vec::new();
        self.entries(|walk, key| {
            if let Some(value) = walk.text()? {
                entries.push((key, value));
            }
            Ok(())
        })?;
        Ok(entries)
    }

    fn entries(
        &mut self,
        mut read: impl FnMut(&mut Self, Text<'b>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.reader.token()? {
            Token::Map(pairs) => (0..pairs).try_for_each(|_| {
                let key = match self.reader.key()? {
                    Token::Surrogates(bytes) => {
                        Cow::Owned(replace_surrogates(bytes).ok_or(Error::BadString)?)
                    }
                    Token::Str(key) => Cow::Borrowed(key),
                    _ => return Err(Error::BadKey),
                };
                read(self, key)
            }),
            token => self.reader.skip_rest(token),
        }
    }

    /// The next value as an error, followed by its cause, the cause's cause, and so on.
    pub fn error(&mut self, levels: &mut Vec<ErrorLevel<'b>>) -> Result<(), Error>
    where
        's: 'b,
    {
        if levels.len() > MOST_CAUSES {
            return self.skip();
        }
        let place = levels.len();
        self.object(|walk, field| {
            if levels.len() == place {
                levels.push(ErrorLevel::default());
            }
            match field {
                Field::Cause => walk.error(levels)?,
                Field::ClsName => levels[place].class_name = walk.text()?,
                Field::Message => levels[place].message = walk.text()?,
                Field::Stack => levels[place].stack = walk.texts()?.unwrap_or_default(),
                _ => walk.skip()?,
            }
            Ok(())
        })
    }

    /// The next value as metadata: a list of labeled entries, or a map of labels to values.
    pub fn metadata(
        &mut self,
        items: &mut Vec<MetadataItem<'b>>,
        printer: &mut JsonPrinter<'_>,
    ) -> Result<(), Error>
    where
        's: 'b,
    {
        let mut probe = self.reader.clone();
        if matches!(probe.token()?, Token::Map(_)) {
            return self.entries(|walk, label| {
                let value = walk.metadata_value(printer)?;
                items.push(MetadataItem { label, ..value });
                Ok(())
            });
        }
        self.items(|walk| {
            let mut item = MetadataItem::default();
            walk.object(|walk, field| {
                match field {
                    Field::EntryData => {
                        let label = std::mem::take(&mut item.label);
                        item = walk.metadata_value(printer)?;
                        item.label = label;
                    }
                    Field::Label => item.label = walk.text()?.unwrap_or_default(),
                    _ => walk.skip()?,
                }
                Ok(())
            })?;
            items.push(item);
            Ok(())
        })?;
        Ok(())
    }

    fn metadata_value(&mut self, printer: &mut JsonPrinter<'_>) -> Result<MetadataItem<'b>, Error>
    where
        's: 'b,
    {
        let shapes: &'s Shapes = self.shapes;
        let mut item = MetadataItem::default();
        let begin = self.reader.clone();
        let Token::Object { ordinal, fields } = self.reader.token()? else {
            self.reader = begin;
            item.json = Some(self.json(printer)?);
            return Ok(item);
        };
        shapes.fields(ordinal, fields)?;
        item.kind = Cow::Borrowed(&shapes.kinds[ordinal as usize]);
        match fields {
            0 => {}
            1 if item.kind != "json" => self.single_value(&mut item, printer)?,
            1 => item.json = Some(self.json(printer)?),
            _ => {
                self.reader = begin;
                item.json = Some(self.json(printer)?);
            }
        }
        Ok(item)
    }

    /// The one field of a metadata value.
    fn single_value(
        &mut self,
        item: &mut MetadataItem<'b>,
        printer: &mut JsonPrinter<'_>,
    ) -> Result<(), Error> {
        let begin = self.reader.clone();
        let mut is_exact = true;
        match self.reader.token()? {
            Token::Str(text) => item.text = Some(Cow::Borrowed(text)),
            Token::Surrogates(bytes) => {
                let text = replace_surrogates(bytes).ok_or(Error::BadString)?;
                item.text = Some(Cow::Owned(text));
                is_exact = false;
            }
            Token::Facet(index) => match self.facet(index)? {
                Facet::Str(text) => item.text = Some(Cow::Borrowed(text)),
                Facet::Float(value) => item.float = Some(value),
            },
            Token::Int(value) => item.int = Some(value),
            Token::Bool(value) => item.int = Some(i64::from(value)),
            Token::Float(value) => item.float = Some(value),
            Token::UInt(value) => {
                item.float = Some(value as f64);
                is_exact = false;
            }
            Token::BigInt(decimal) => {
                item.float = decimal.parse().ok();
                is_exact = false;
            }
            Token::Nil | Token::Absent => {}
            token => {
                self.reader.skip_rest(token)?;
                is_exact = false;
            }
        }
        if !is_exact {
            self.reader = begin;
            item.json = Some(self.json(printer)?);
        }
        Ok(())
    }

    /// The JSON text of the next value, as Dagster packs it.
    fn json(&mut self, printer: &mut JsonPrinter<'_>) -> Result<String, Error> {
        let mut text = String::new();
        printer.print(&mut self.reader, self.facets, &mut text)?;
        Ok(text)
    }

    fn facet(&self, index: u8) -> Result<Facet<'b>, Error> {
        let facet = self.facets.get(usize::from(index)).copied().flatten();
        facet.ok_or(Error::BadFacet(index))
    }
}

/// `TextMetadataEntryData` is `text`, `TableSchemaMetadataValue` is `table_schema`.
fn metadata_kind(class: &str) -> String {
    let stem = class
        .strip_suffix("MetadataEntryData")
        .or_else(|| class.strip_suffix("MetadataValue"))
        .unwrap_or(class);
    if stem == "DagsterPipelineRun" {
        return "dagster_run".to_owned();
    }
    let mut kind = String::with_capacity(stem.len() + 4);
    for character in stem.chars() {
        if character.is_ascii_uppercase() && !kind.is_empty() {
            kind.push('_');
        }
        kind.push(character.to_ascii_lowercase());
    }
    kind
}
