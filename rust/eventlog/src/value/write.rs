//! Writing a body, value by value.
//!
//! The writer checks nothing but lengths: whoever calls it announces a collection's length, writes
//! that many values, and keeps map keys sorted. A length beyond 32 bits is remembered and reported
//! by `finish`, so that the calls before it need no error path.

use rmp::Marker;

use super::Error;
use super::marker;

/// A body under construction.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Writer {
    pub fn new() -> Self {
        Self::with_capacity(256)
    }

    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            too_long: false,
        }
    }

    /// The body, if all that was written fits the format.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        if self.too_long {
            return Err(Error::TooLong);
        }
        Ok(self.bytes)
    }

    pub fn nil(&mut self) {
        self.marker(Marker::Null);
    }

    pub fn bool(&mut self, value: bool) {
        self.marker(if value { Marker::True } else { Marker::False });
    }

    pub fn int(&mut self, value: i64) {
        if let Ok(value) = u64::try_from(value) {
            return self.uint(value);
        }
        match value {
            -32..=-1 => self.marker(Marker::FixNeg(value as i8)),
            -128..=-33 => self.with_marker(Marker::I8, &(value as i8).to_be_bytes()),
            -32768..=-129 => self.with_marker(Marker::I16, &(value as i16).to_be_bytes()),
            -2147483648..=-32769 => self.with_marker(Marker::I32, &(value as i32).to_be_bytes()),
            _ => self.with_marker(Marker::I64, &value.to_be_bytes()),
        }
    }

    pub fn uint(&mut self, value: u64) {
        match value {
            0..=127 => self.marker(Marker::FixPos(value as u8)),
            128..=0xff => self.with_marker(Marker::U8, &[value as u8]),
            0x100..=0xffff => self.with_marker(Marker::U16, &(value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.with_marker(Marker::U32, &(value as u32).to_be_bytes()),
            _ => self.with_marker(Marker::U64, &value.to_be_bytes()),
        }
    }

    /// An integer that neither `int` nor `uint` can take, in ASCII decimal.
    pub fn big_int(&mut self, decimal: &str) {
        self.extension(marker::BIG_INT, decimal.as_bytes());
    }

    /// A float; all NaNs are one, as in JSON.
    pub fn float(&mut self, value: f64) {
        let value = if value.is_nan() { f64::NAN } else { value };
        self.with_marker(Marker::F64, &value.to_bits().to_be_bytes());
    }

    pub fn str(&mut self, value: &str) {
        match value.len() {
            length @ 0..=31 => self.marker(Marker::FixStr(length as u8)),
            length @ 32..=0xff => self.with_marker(Marker::Str8, &[length as u8]),
            length @ 0x100..=0xffff => {
                self.with_marker(Marker::Str16, &(length as u16).to_be_bytes());
            }
            length => {
                let length = self.length(length);
                self.with_marker(Marker::Str32, &length.to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// A string with lone surrogates. Pairs must have been merged, and what is UTF-8 goes to `str`.
    pub fn surrogates(&mut self, wtf8: &[u8]) {
        self.extension(marker::SURROGATES, wtf8);
    }

    /// An array; `length` values follow.
    pub fn array(&mut self, length: usize) {
        match length {
            0..=15 => self.marker(Marker::FixArray(length as u8)),
            16..=0xffff => self.with_marker(Marker::Array16, &(length as u16).to_be_bytes()),
            _ => {
                let length = self.length(length);
                self.with_marker(Marker::Array32, &length.to_be_bytes());
            }
        }
    }

    /// A map; `length` keys (`str` or `surrogates`, sorted) and values follow, in turn.
    pub fn map(&mut self, length: usize) {
        match length {
            0..=15 => self.marker(Marker::FixMap(length as u8)),
            16..=0xffff => self.with_marker(Marker::Map16, &(length as u16).to_be_bytes()),
            _ => {
                let length = self.length(length);
                self.with_marker(Marker::Map32, &length.to_be_bytes());
            }
        }
    }

    /// An object; as many values follow as its shape has fields.
    pub fn object(&mut self, ordinal: u32, fields: usize) {
        self.array(fields + 1);
        self.ordinal(marker::OBJECT, ordinal);
    }

    /// A field that Dagster skips.
    pub fn absent(&mut self) {
        self.unit(marker::ABSENT);
    }

    /// An enum member.
    pub fn enum_member(&mut self, ordinal: u32) {
        self.ordinal(marker::ENUM, ordinal);
    }

    /// A set; `length` values follow.
    pub fn set(&mut self, length: usize) {
        self.array(length + 1);
        self.unit(marker::SET);
    }

    /// A frozenset; `length` values follow.
    pub fn frozen_set(&mut self, length: usize) {
        self.array(length + 1);
        self.unit(marker::FROZEN_SET);
    }

    /// A mapping with keys that are not scalars; `pairs` keys and values follow, in turn.
    pub fn mapping_items(&mut self, pairs: usize) {
        self.array(pairs * 2 + 1);
        self.unit(marker::MAPPING_ITEMS);
    }

    /// The value of facet number `index` of the record.
    pub fn facet(&mut self, index: u8) {
        self.with_marker(Marker::FixExt1, &[marker::FACET as u8, index]);
    }

    fn marker(&mut self, marker: Marker) {
        self.bytes.push(marker.to_u8());
    }

    fn with_marker(&mut self, marker: Marker, rest: &[u8]) {
        self.marker(marker);
        self.bytes.extend_from_slice(rest);
    }

    fn unit(&mut self, kind: i8) {
        self.with_marker(Marker::FixExt1, &[kind as u8, 0]);
    }

    fn ordinal(&mut self, kind: i8, ordinal: u32) {
        let kind = kind as u8;
        let [a, b, c, d] = ordinal.to_be_bytes();
        match ordinal {
            0..=0xff => self.with_marker(Marker::FixExt1, &[kind, d]),
            0x100..=0xffff => self.with_marker(Marker::FixExt2, &[kind, c, d]),
            _ => self.with_marker(Marker::FixExt4, &[kind, a, b, c, d]),
        }
    }

    fn extension(&mut self, kind: i8, content: &[u8]) {
        match content.len() {
            1 => self.marker(Marker::FixExt1),
            2 => self.marker(Marker::FixExt2),
            4 => self.marker(Marker::FixExt4),
            8 => self.marker(Marker::FixExt8),
            16 => self.marker(Marker::FixExt16),
            length @ 0..=0xff => self.with_marker(Marker::Ext8, &[length as u8]),
            length @ 0x100..=0xffff => {
                self.with_marker(Marker::Ext16, &(length as u16).to_be_bytes());
            }
            length => {
                let length = self.length(length);
                self.with_marker(Marker::Ext32, &length.to_be_bytes());
            }
        }
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(content);
    }

    fn length(&mut self, length: usize) -> u32 {
        u32::try_from(length).unwrap_or_else(|_| {
            self.too_long = true;
            0
        })
    }
}
