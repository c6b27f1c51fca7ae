//! A body as JSON text: byte for byte what Dagster's `serialize_value` gives for the same object.
//!
//! That is Python's `json.dumps(..., sort_keys=True)` over the packed value: ASCII only, `", "` and
//! `": "` between, NaN and infinities by name. It works without Python, for tools and tests. The
//! walk keeps its own stack, so nesting is bounded by `MAX_DEPTH` and not by the thread's stack.

use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::float::push_float;
use super::wtf8::code_point;
use super::{Error, Facet, MAX_DEPTH, Reader, Shape, ShapeKind, ShapeSource, Token};

/// The packed JSON text of a body.
///
/// `facets` are the record's, at the indexes that the body's references use.
pub fn to_packed_json(
    body: &[u8],
    facets: &[Option<Facet<'_>>],
    shapes: &dyn ShapeSource,
) -> Result<String, Error> {
    let mut text = String::with_capacity(body.len() * 2);
    let mut reader = Reader::new(body);
    JsonPrinter::new(shapes).print(&mut reader, facets, &mut text)?;
    reader.end()?;
    Ok(text)
}

/// Prints values of many bodies, and keeps what it finds out about their shapes.
pub struct JsonPrinter<'s> {
    shapes: &'s dyn ShapeSource,
    /// By ordinal.
    layouts: Vec<Option<Rc<Layout>>>,
}

impl<'s> JsonPrinter<'s> {
    /// A printer of bodies of these shapes.
    pub fn new(shapes: &'s dyn ShapeSource) -> Self {
        Self {
            shapes,
            layouts: Vec::new(),
        }
    }

    /// Appends the packed JSON text of the next value.
    pub fn print(
        &mut self,
        reader: &mut Reader<'_>,
        facets: &[Option<Facet<'_>>],
        text: &mut String,
    ) -> Result<(), Error> {
        self.print_with(reader, facets, text, &[])
    }

    /// The same, where fields of the value itself, an object, have other values: names and JSON texts.
    pub fn print_with(
        &mut self,
        reader: &mut Reader<'_>,
        facets: &[Option<Facet<'_>>],
        text: &mut String,
        replaced: &[(&str, &str)],
    ) -> Result<(), Error> {
        let mut printing = Printing {
            printer: self,
            reader,
            facets,
            text,
            replaced,
            open: Vec::new(),
        };
        printing.print()
    }

    fn shape(&self, ordinal: u32, kind: ShapeKind) -> Result<Arc<Shape>, Error> {
        let shape = self
            .shapes
            .shape(ordinal)
            .ok_or(Error::UnknownShape(ordinal))?;
        if shape.kind != kind {
            return Err(Error::WrongKind(ordinal));
        }
        Ok(shape)
    }

    fn layout(&mut self, ordinal: u32) -> Result<Rc<Layout>, Error> {
        let place = ordinal as usize;
        if let Some(Some(layout)) = self.layouts.get(place) {
            return Ok(Rc::clone(layout));
        }
        let shape = self.shape(ordinal, ShapeKind::Object)?;
        let layout = Layout::of(&shape).ok_or(Error::BadConstants(ordinal))?;
        let layout = Rc::new(layout);
        if self.layouts.len() <= place {
            self.layouts.resize(place + 1, None);
        }
        self.layouts[place] = Some(Rc::clone(&layout));
        Ok(layout)
    }
}

/// Appends the JSON text of a string.
pub fn push_json_str(text: &mut String, value: &str) {
    push_str(text, value);
}

/// The text of an object around its values: what is written before each field, and at its end.
struct Layout {
    fields: Vec<Field>,
    /// Constants that sort behind the last field, as text.
    tail: String,
}

struct Field {
    name: String,
    /// Constants that sort before it, as text.
    before: String,
    /// Its name as text, with what parts it from the value.
    key: String,
}

/// A collection whose values are not all printed yet.
enum Open {
    Array {
        left: usize,
        first: bool,
    },
    Map {
        left: usize,
        first: bool,
    },
    Pairs {
        left: usize,
        in_pair: bool,
        first: bool,
    },
    Object {
        layout: Rc<Layout>,
        next: usize,
        first: bool,
    },
    /// Text that closes the dict around a set or a mapping.
    Close(&'static str),
}

/// One value on its way into text.
struct Printing<'p, 's, 'a, 'f> {
    printer: &'p mut JsonPrinter<'s>,
    reader: &'p mut Reader<'a>,
    facets: &'p [Option<Facet<'f>>],
    text: &'p mut String,
    replaced: &'p [(&'p str, &'p str)],
    open: Vec<Open>,
}

impl<'a> Printing<'_, '_, 'a, '_> {
    fn print(&mut self) -> Result<(), Error> {
        let token = self.reader.token()?;
        self.value(token)?;
        loop {
            let depth = self.open.len();
            let Some(top) = self.open.last_mut() else {
                break;
            };
            match top {
                Open::Close(text) => {
                    self.text.push_str(text);
                    self.open.pop();
                }
                Open::Array { left: 0, .. } | Open::Pairs { left: 0, .. } => {
                    self.text.push(']');
                    self.open.pop();
                }
                Open::Array { left, first } => {
                    *left -= 1;
                    separate(self.text, first);
                    let token = self.reader.token()?;
                    self.value(token)?;
                }
                Open::Pairs {
                    left,
                    in_pair,
                    first,
                } => {
                    if *in_pair {
                        self.text.push_str(", ");
                        *left -= 1;
                    } else {
                        separate(self.text, first);
                        self.text.push('[');
                    }
                    let closes = *in_pair;
                    *in_pair = !*in_pair;
                    // The value's own collections close before the pair does.
                    if closes {
                        self.open.push(Open::Close("]"));
                    }
                    let token = self.reader.token()?;
                    self.value(token)?;
                }
                Open::Map { left: 0, .. } => {
                    self.text.push('}');
                    self.open.pop();
                }
                Open::Map { left, first } => {
                    *left -= 1;
                    separate(self.text, first);
                    match self.reader.key()? {
                        Token::Str(key) => push_str(self.text, key),
                        Token::Surrogates(key) => push_wtf8(self.text, key)?,
                        _ => return Err(Error::BadKey),
                    }
                    self.text.push_str(": ");
                    let token = self.reader.token()?;
                    self.value(token)?;
                }
                Open::Object {
                    layout,
                    next,
                    first,
                } => {
                    let Some(field) = layout.fields.get(*next) else {
                        push_constants(self.text, &layout.tail, first);
                        self.text.push('}');
                        self.open.pop();
                        continue;
                    };
                    *next += 1;
                    push_constants(self.text, &field.before, first);
                    let is_outermost = depth == 1;
                    if is_outermost
                        && let Some((_, value)) =
                            self.replaced.iter().find(|(name, _)| *name == field.name)
                    {
                        self.reader.skip()?;
                        separate(self.text, first);
                        self.text.push_str(&field.key);
                        self.text.push_str(value);
                        continue;
                    }
                    let token = self.reader.token()?;
                    if token != Token::Absent {
                        separate(self.text, first);
                        self.text.push_str(&field.key);
                        self.value(token)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, token: Token<'a>) -> Result<(), Error> {
        match token {
            Token::Nil => self.text.push_str("null"),
            Token::Bool(true) => self.text.push_str("true"),
            Token::Bool(false) => self.text.push_str("false"),
            Token::Int(value) => push_display(self.text, value),
            Token::UInt(value) => push_display(self.text, value),
            Token::BigInt(decimal) => self.text.push_str(decimal),
            Token::Float(value) => push_float(self.text, value),
            Token::Str(value) => push_str(self.text, value),
            Token::Surrogates(value) => push_wtf8(self.text, value)?,
            Token::Facet(index) => match self.facets.get(index as usize).copied().flatten() {
                Some(Facet::Str(value)) => push_str(self.text, value),
                Some(Facet::Float(value)) => push_float(self.text, value),
                None => return Err(Error::BadFacet(index)),
            },
            Token::Absent => return Err(Error::MisplacedAbsent),
            Token::Enum(ordinal) => {
                let shape = self.printer.shape(ordinal, ShapeKind::Enum)?;
                self.text.push_str("{\"__enum__\": ");
                push_str(self.text, &shape.name);
                self.text.push('}');
            }
            Token::Array(left) => {
                self.text.push('[');
                self.push(Open::Array { left, first: true })?;
            }
            Token::Map(left) => {
                self.text.push('{');
                self.push(Open::Map { left, first: true })?;
            }
            Token::Set(left) => self.push_marked("{\"__set__\": [", left)?,
            Token::FrozenSet(left) => self.push_marked("{\"__frozenset__\": [", left)?,
            Token::MappingItems(left) => {
                self.text.push_str("{\"__mapping_items__\": [");
                self.push(Open::Close("}"))?;
                self.push(Open::Pairs {
                    left,
                    in_pair: false,
                    first: true,
                })?;
            }
            Token::Object { ordinal, fields } => {
                let layout = self.printer.layout(ordinal)?;
                if layout.fields.len() != fields {
                    return Err(Error::FieldCount {
                        ordinal,
                        expected: layout.fields.len(),
                        found: fields,
                    });
                }
                self.text.push('{');
                self.push(Open::Object {
                    layout,
                    next: 0,
                    first: true,
                })?;
            }
        }
        Ok(())
    }

    fn push(&mut self, open: Open) -> Result<(), Error> {
        // A set and a mapping of items take two entries, a pair one more: a generous bound, checked
        // for the sake of memory; the exact limit is the writer's.
        if self.open.len() >= MAX_DEPTH * 3 {
            return Err(Error::TooDeep);
        }
        self.open.push(open);
        Ok(())
    }

    fn push_marked(&mut self, head: &str, left: usize) -> Result<(), Error> {
        self.text.push_str(head);
        self.push(Open::Close("}"))?;
        self.push(Open::Array { left, first: true })
    }
}

impl Layout {
    fn of(shape: &Shape) -> Option<Self> {
        let mut constants = vec![("__class__".to_owned(), Value::from(shape.name.as_str()))];
        if !shape.constants.is_empty() {
            match serde_json::from_str(&shape.constants).ok()? {
                Value::Object(map) => constants.extend(map),
                _ => return None,
            }
        }
        constants.sort_by(|a, b| a.0.cmp(&b.0));
        let mut constants = constants.into_iter().peekable();
        let mut fields = Vec::with_capacity(shape.fields.len());
        for name in &shape.fields {
            let mut before = String::new();
            while let Some((key, value)) = constants.next_if(|(key, _)| key < name) {
                push_entry(&mut before, &key, &value);
            }
            fields.push(Field {
                name: name.clone(),
                before,
                key: key_text(name),
            });
        }
        let mut tail = String::new();
        for (key, value) in constants {
            push_entry(&mut tail, &key, &value);
        }
        Some(Self { fields, tail })
    }
}

fn key_text(key: &str) -> String {
    let mut text = String::new();
    push_str(&mut text, key);
    text.push_str(": ");
    text
}

/// Appends an entry of a dict to those before.
fn push_entry(text: &mut String, key: &str, value: &Value) {
    separate(text, &mut text.is_empty());
    push_str(text, key);
    text.push_str(": ");
    push_value(text, value);
}

/// A constant of a shape. Its nesting is bounded by serde_json's own limit.
fn push_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => push_display(text, value),
        Value::Number(value) => match (value.as_i64(), value.as_u64(), value.as_f64()) {
            (Some(value), _, _) => push_display(text, value),
            (_, Some(value), _) => push_display(text, value),
            (_, _, value) => push_float(text, value.unwrap_or(f64::NAN)),
        },
        Value::String(value) => push_str(text, value),
        Value::Array(values) => {
            text.push('[');
            let mut first = true;
            for value in values {
                separate(text, &mut first);
                push_value(text, value);
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let mut inner = String::new();
            for (key, value) in entries {
                push_entry(&mut inner, key, value);
            }
            text.push_str(&inner);
            text.push('}');
        }
    }
}

fn push_constants(text: &mut String, constants: &str, first: &mut bool) {
    if !constants.is_empty() {
        separate(text, first);
        text.push_str(constants);
    }
}

fn separate(text: &mut String, first: &mut bool) {
    if !std::mem::replace(first, false) {
        text.push_str(", ");
    }
}

fn push_display(text: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{value}");
}

fn push_str(text: &mut String, value: &str) {
    text.push('"');
    let mut rest = value;
    while let Some(at) = first_escaped(rest.as_bytes()) {
        text.push_str(&rest[..at]);
        // Only ASCII stands before a byte that is escaped, so a character begins there.
        let mut characters = rest[at..].chars();
        if let Some(character) = characters.next() {
            push_escaped(text, character as u32);
        }
        rest = characters.as_str();
    }
    text.push_str(rest);
    text.push('"');
}

/// Where the first byte is that JSON says in another way. Most texts are looked through for one in vain,
/// so sixteen bytes are looked at in one step, which compilers make of this.
fn first_escaped(bytes: &[u8]) -> Option<usize> {
    let any_escaped = |bytes: &[u8; 16]| {
        bytes
            .iter()
            .fold(false, |any, byte| any | is_escaped(*byte))
    };
    let (chunks, _) = bytes.as_chunks();
    let plain = 16
        * chunks
            .iter()
            .take_while(|chunk| !any_escaped(chunk))
            .count();
    let rest = bytes[plain..].iter().position(|byte| is_escaped(*byte))?;
    Some(plain + rest)
}

/// Whether JSON says a byte of UTF-8 in another way.
fn is_escaped(byte: u8) -> bool {
    !(0x20..=0x7e).contains(&byte) | (byte == b'"') | (byte == b'\\')
}

fn push_wtf8(text: &mut String, value: &[u8]) -> Result<(), Error> {
    text.push('"');
    let mut at = 0;
    while at < value.len() {
        let (point, next) = code_point(value, at).ok_or(Error::BadString)?;
        push_escaped(text, point);
        at = next;
    }
    text.push('"');
    Ok(())
}

fn push_escaped(text: &mut String, point: u32) {
    match point {
        0x22 => text.push_str("\\\""),
        0x5c => text.push_str("\\\\"),
        0x20..=0x7e => text.push(point as u8 as char),
        0x08 => text.push_str("\\b"),
        0x09 => text.push_str("\\t"),
        0x0a => text.push_str("\\n"),
        0x0c => text.push_str("\\f"),
        0x0d => text.push_str("\\r"),
        0x1_0000.. => {
            let offset = point - 0x1_0000;
            let _ = write!(
                text,
                "\\u{:04x}\\u{:04x}",
                0xd800 + (offset >> 10),
                0xdc00 + (offset & 0x3ff)
            );
        }
        _ => {
            let _ = write!(text, "\\u{point:04x}");
        }
    }
}
