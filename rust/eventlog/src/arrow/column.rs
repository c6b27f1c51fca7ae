//! Columns under construction, one row after the other.
//!
//! Owns the Arrow type of every kind of column, and the builder that makes it. Rows come in whole: a
//! table fills each of its wanted columns once a row.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames,
    StringBuilder, StringDictionaryBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// Text of a record, borrowed from it where it is UTF-8.
pub type Text<'a> = Cow<'a, str>;

/// What a column holds. All but [`Kind::Sequence`] may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// int64, never null.
    Sequence,
    /// int64.
    Number,
    /// float64.
    Float,
    /// bool.
    Flag,
    /// timestamp in microseconds, UTC.
    Time,
    /// string.
    Text,
    /// string, as a dictionary.
    Word,
    /// list of strings.
    Texts,
    /// list of lists of strings.
    Paths,
    /// map of strings to strings.
    Map,
    /// list of structs, see [`MetadataItem`].
    Metadata,
    /// struct, see [`ErrorLevel`].
    Error,
}

/// One entry of an event's metadata.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetadataItem<'a> {
    pub label: Text<'a>,
    /// What Dagster calls the value's class, in snake case and without `MetadataValue`.
    pub kind: Text<'a>,
    pub text: Option<Text<'a>>,
    pub int: Option<i64>,
    pub float: Option<f64>,
    /// What the three before do not hold exactly.
    pub json: Option<String>,
}

/// An error, or one of its causes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ErrorLevel<'a> {
    pub class_name: Option<Text<'a>>,
    pub message: Option<Text<'a>>,
    pub stack: Vec<Text<'a>>,
}

/// The columns that are wanted of a table, `C` being all of its columns.
pub struct Columns<C> {
    schema: SchemaRef,
    wanted: Vec<(C, Column)>,
    rows: usize,
}

/// A column's name and kind.
pub type Named<C> = (C, &'static str, Kind);

/// The schema of the columns with these names, or of all.
pub fn schema_of<C>(all: &[Named<C>], names: Option<&[String]>) -> SchemaRef {
    let fields: Vec<_> = wanted(all, names)
        .map(|(_, name, kind)| field(name, *kind))
        .collect();
    Arc::new(Schema::new(fields))
}

fn wanted<'a, C>(
    all: &'a [Named<C>],
    names: Option<&'a [String]>,
) -> impl Iterator<Item = &'a Named<C>> {
    all.iter().filter(move |(_, name, _)| {
        names.is_none_or(|names| names.iter().any(|wanted| wanted == name))
    })
}

impl<C: Copy> Columns<C> {
    /// Builders of the columns with these names, or of all.
    pub fn new(all: &[Named<C>], names: Option<&[String]>) -> Self {
        Self {
            schema: schema_of(all, names),
            wanted: wanted(all, names)
                .map(|(column, _, kind)| (*column, Column::new(*kind)))
                .collect(),
            rows: 0,
        }
    }

    /// Whether one of these columns is wanted.
    pub fn want(&self, is_it: impl Fn(C) -> bool) -> bool {
        self.wanted.iter().any(|(column, _)| is_it(*column))
    }

    /// Adds a row: `put` is called for each wanted column, and puts one value.
    pub fn row(&mut self, mut put: impl FnMut(C, &mut Column)) {
        for (column, builder) in &mut self.wanted {
            put(*column, builder);
        }
        self.rows += 1;
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows so far, as a batch; none are left.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let arrays = self
            .wanted
            .iter_mut()
            .map(|(_, column)| column.finish())
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
    }
}

/// A column under construction.
pub enum Column {
    Number(Int64Builder),
    Float(Float64Builder),
    Flag(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Word(StringDictionaryBuilder<Int32Type>),
    Texts(ListBuilder<StringBuilder>),
    Paths(ListBuilder<ListBuilder<StringBuilder>>),
    Map(MapBuilder<StringBuilder, StringBuilder>),
    Metadata(Box<MetadataColumn>),
    Error(Box<ErrorColumn>),
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sequence | Kind::Number => Self::Number(Int64Builder::new()),
            Kind::Float => Self::Float(Float64Builder::new()),
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Time => {
                Self::Time(TimestampMicrosecondBuilder::new().with_data_type(data_type(kind)))
            }
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Word => Self::Word(StringDictionaryBuilder::new()),
            Kind::Texts => Self::Texts(ListBuilder::new(StringBuilder::new())),
            Kind::Paths => Self::Paths(ListBuilder::new(ListBuilder::new(StringBuilder::new()))),
            Kind::Map => Self::Map(MapBuilder::new(
                Some(MapFieldNames {
                    entry: "entries".to_owned(),
                    key: "key".to_owned(),
                    value: "value".to_owned(),
                }),
                StringBuilder::new(),
                StringBuilder::new(),
            )),
            Kind::Metadata => Self::Metadata(Box::default()),
            Kind::Error => Self::Error(Box::default()),
        }
    }

    /// Puts an integer.
    pub fn number(&mut self, value: Option<i64>) {
        match self {
            Self::Number(column) => column.append_option(value),
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts a float.
    pub fn float(&mut self, value: Option<f64>) {
        match self {
            Self::Float(column) => column.append_option(value),
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts a flag.
    pub fn flag(&mut self, value: Option<bool>) {
        match self {
            Self::Flag(column) => column.append_option(value),
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts a time in Unix seconds; null where no microsecond is that time.
    pub fn time(&mut self, seconds: Option<f64>) {
        match self {
            Self::Time(column) => column.append_option(seconds.and_then(microseconds)),
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts a text.
    pub fn text(&mut self, value: Option<&str>) {
        match self {
            Self::Text(column) => column.append_option(value),
            Self::Word(column) => column.append_option(value),
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts a list of texts.
    pub fn texts<'a>(&mut self, values: Option<impl IntoIterator<Item = &'a str>>) {
        match self {
            Self::Texts(column) => {
                let is_there = values.is_some();
                for value in values.into_iter().flatten() {
                    column.values().append_value(value);
                }
                column.append(is_there);
            }
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts a list of lists of texts.
    pub fn paths(&mut self, values: Option<&[Vec<Text<'_>>]>) {
        match self {
            Self::Paths(column) => {
                for path in values.into_iter().flatten() {
                    for part in path {
                        column.values().values().append_value(part);
                    }
                    column.values().append(true);
                }
                column.append(values.is_some());
            }
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts a map; null where it has no entry.
    pub fn map<'a>(&mut self, entries: impl IntoIterator<Item = (&'a str, &'a str)>) {
        match self {
            Self::Map(column) => {
                let mut is_there = false;
                for (key, value) in entries {
                    column.keys().append_value(key);
                    column.values().append_value(value);
                    is_there = true;
                }
                column
                    .append(is_there)
                    .expect("each key has been put with its value");
            }
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts metadata; null where it has no entry.
    pub fn metadata(&mut self, items: &[MetadataItem<'_>]) {
        match self {
            Self::Metadata(column) => column.put(items),
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    /// Puts an error and its causes; null where there is none.
    pub fn error(&mut self, levels: &[ErrorLevel<'_>]) {
        match self {
            Self::Error(column) => column.put(levels),
            _ => unreachable!("the table's columns name their kinds"),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Number(column) => Arc::new(column.finish()),
            Self::Float(column) => Arc::new(column.finish()),
            Self::Flag(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(finish_texts(column)),
            Self::Word(column) => Arc::new(column.finish()),
            Self::Texts(column) => Arc::new(column.finish()),
            Self::Paths(column) => Arc::new(column.finish()),
            Self::Map(column) => Arc::new(column.finish()),
            Self::Metadata(column) => Arc::new(column.finish()),
            Self::Error(column) => Arc::new(column.finish()),
        }
    }
}

/// Ends a column of texts. The next one has room for as many from its start: batches are alike, and
/// text is copied each time that its buffer grows.
fn finish_texts(column: &mut StringBuilder) -> StringArray {
    let texts = column.finish();
    *column = StringBuilder::with_capacity(more(texts.len()), more(texts.values().len()));
    texts
}

/// An eighth more.
fn more(length: usize) -> usize {
    length + length / 8
}

/// Lists of metadata entries.
#[derive(Default)]
pub struct MetadataColumn {
    lengths: Vec<usize>,
    label: StringBuilder,
    kind: StringDictionaryBuilder<Int32Type>,
    text: StringBuilder,
    int: Int64Builder,
    float: Float64Builder,
    json: StringBuilder,
}

impl MetadataColumn {
    fn put(&mut self, items: &[MetadataItem<'_>]) {
        self.lengths.push(items.len());
        for item in items {
            self.label.append_value(&item.label);
            self.kind.append_value(&item.kind);
            self.text.append_option(item.text.as_deref());
            self.int.append_option(item.int);
            self.float.append_option(item.float);
            self.json.append_option(item.json.as_deref());
        }
    }

    fn finish(&mut self) -> ListArray {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(finish_texts(&mut self.label)),
            Arc::new(self.kind.finish()),
            Arc::new(finish_texts(&mut self.text)),
            Arc::new(self.int.finish()),
            Arc::new(self.float.finish()),
            Arc::new(finish_texts(&mut self.json)),
        ];
        let lengths = std::mem::take(&mut self.lengths);
        let nulls = nulls(lengths.iter().map(|length| *length > 0));
        let items = StructArray::new(metadata_fields(), arrays, None);
        list_of(items, &lengths, nulls)
    }
}

/// Errors with their causes.
#[derive(Default)]
pub struct ErrorColumn {
    own: Levels,
    causes: Levels,
    lengths: Vec<usize>,
    is_there: Vec<bool>,
}

#[derive(Default)]
struct Levels {
    class_name: StringBuilder,
    message: StringBuilder,
    stack: ListBuilder<StringBuilder>,
}

impl Levels {
    fn put(&mut self, level: Option<&ErrorLevel<'_>>) {
        self.class_name
            .append_option(level.and_then(|level| level.class_name.as_deref()));
        self.message
            .append_option(level.and_then(|level| level.message.as_deref()));
        for line in level.into_iter().flat_map(|level| &level.stack) {
            self.stack.values().append_value(line);
        }
        self.stack.append(level.is_some());
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(finish_texts(&mut self.class_name)),
            Arc::new(finish_texts(&mut self.message)),
            Arc::new(self.stack.finish()),
        ]
    }
}

impl ErrorColumn {
    fn put(&mut self, levels: &[ErrorLevel<'_>]) {
        let own = levels.first();
        self.own.put(own);
        let causes = levels.get(1..).unwrap_or_default();
        causes.iter().for_each(|level| self.causes.put(Some(level)));
        self.lengths.push(causes.len());
        self.is_there.push(own.is_some());
    }

    fn finish(&mut self) -> StructArray {
        let lengths = std::mem::take(&mut self.lengths);
        let causes = StructArray::new(level_fields(), self.causes.finish(), None);
        let mut arrays = self.own.finish();
        arrays.push(Arc::new(list_of(causes, &lengths, None)));
        let is_there = std::mem::take(&mut self.is_there);
        StructArray::new(error_fields(), arrays, nulls(is_there.into_iter()))
    }
}

fn list_of(items: StructArray, lengths: &[usize], nulls: Option<NullBuffer>) -> ListArray {
    let field = Arc::new(Field::new_list_field(
        DataType::Struct(items.fields().clone()),
        true,
    ));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    ListArray::new(field, offsets, Arc::new(items), nulls)
}

fn nulls(are_there: impl ExactSizeIterator<Item = bool>) -> Option<NullBuffer> {
    let buffer: NullBuffer = are_there.collect::<Vec<_>>().into();
    (buffer.null_count() > 0).then_some(buffer)
}

/// A time in whole microseconds since 1970, rounded as Python's datetimes are.
pub fn microseconds(seconds: f64) -> Option<i64> {
    let whole = seconds.trunc() * 1e6 + (seconds.fract() * 1e6).round_ties_even();
    (whole.abs() < i64::MAX as f64).then_some(whole as i64)
}

fn field(name: &str, kind: Kind) -> Field {
    Field::new(name, data_type(kind), kind != Kind::Sequence)
}

/// The Arrow type of a kind of column.
pub fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Sequence | Kind::Number => DataType::Int64,
        Kind::Float => DataType::Float64,
        Kind::Flag => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Text => DataType::Utf8,
        Kind::Word => word(),
        Kind::Texts => texts(),
        Kind::Paths => DataType::new_list(texts(), true),
        Kind::Map => DataType::Map(
            Arc::new(Field::new(
                "entries",
                DataType::Struct(Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", DataType::Utf8, true),
                ])),
                false,
            )),
            false,
        ),
        Kind::Metadata => DataType::new_list(DataType::Struct(metadata_fields()), true),
        Kind::Error => DataType::Struct(error_fields()),
    }
}

fn word() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn texts() -> DataType {
    DataType::new_list(DataType::Utf8, true)
}

fn metadata_fields() -> Fields {
    Fields::from(vec![
        Field::new("label", DataType::Utf8, true),
        Field::new("kind", word(), true),
        Field::new("text", DataType::Utf8, true),
        Field::new("int", DataType::Int64, true),
        Field::new("float", DataType::Float64, true),
        Field::new("json", DataType::Utf8, true),
    ])
}

fn level_fields() -> Fields {
    Fields::from(vec![
        Field::new("class_name", DataType::Utf8, true),
        Field::new("message", DataType::Utf8, true),
        Field::new("stack", texts(), true),
    ])
}

fn error_fields() -> Fields {
    let cause = DataType::new_list(DataType::Struct(level_fields()), true);
    level_fields()
        .iter()
        .cloned()
        .chain([Arc::new(Field::new("cause", cause, true))])
        .collect()
}
