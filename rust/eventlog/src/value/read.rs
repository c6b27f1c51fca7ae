//! Reading a body, token by token, without copying.
//!
//! A token is one value, or the head of a collection whose values are the next tokens. The reader
//! checks the bytes of each token and that a collection's length can fit the rest of the body, so a
//! caller may allocate by it. What needs context (shapes, facets, where ABSENT may stand) is the
//! caller's to check.

use rmp::Marker;

use super::Error;
use super::marker;

/// One value, or the head of a collection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// Only above `i64::MAX`.
    UInt(u64),
    /// ASCII decimal with an optional minus.
    BigInt(&'a str),
    Float(f64),
    Str(&'a str),
    /// WTF-8 by intent; not yet checked.
    Surrogates(&'a [u8]),
    Array(usize),
    /// Number of pairs; each key is read with `Reader::key`.
    Map(usize),
    Object {
        ordinal: u32,
        fields: usize,
    },
    Set(usize),
    FrozenSet(usize),
    /// Number of pairs.
    MappingItems(usize),
    Enum(u32),
    Absent,
    Facet(u8),
}

/// A cursor over a body.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// Checks that the body is used up.
    pub fn end(&self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(Error::Trailing(more)),
        }
    }

    /// The next key of a map: `Str` or `Surrogates`.
    pub fn key(&mut self) -> Result<Token<'a>, Error> {
        match self.token()? {
            key @ (Token::Str(_) | Token::Surrogates(_)) => Ok(key),
            _ => Err(Error::BadKey),
        }
    }

    /// The next token.
    pub fn token(&mut self) -> Result<Token<'a>, Error> {
        let [first] = self.bytes::<1>()?;
        Ok(match Marker::from_u8(first) {
            Marker::FixStr(length) => self.str(length as usize)?,
            Marker::Str8 => self.sized_str::<1>()?,
            Marker::Str16 => self.sized_str::<2>()?,
            Marker::Str32 => self.sized_str::<4>()?,
            Marker::FixPos(value) => Token::Int(i64::from(value)),
            Marker::FixNeg(value) => Token::Int(i64::from(value)),
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixArray(length) => self.array(length as usize)?,
            Marker::Array16 => {
                let length = self.length::<2>()?;
                self.array(length)?
            }
            Marker::Array32 => {
                let length = self.length::<4>()?;
                self.array(length)?
            }
            Marker::FixMap(length) => self.map(length as usize)?,
            Marker::Map16 => {
                let length = self.length::<2>()?;
                self.map(length)?
            }
            Marker::Map32 => {
                let length = self.length::<4>()?;
                self.map(length)?
            }
            Marker::F64 => Token::Float(f64::from_be_bytes(self.bytes()?)),
            Marker::U8 => Token::Int(i64::from(u8::from_be_bytes(self.bytes()?))),
            Marker::U16 => Token::Int(i64::from(u16::from_be_bytes(self.bytes()?))),
            Marker::U32 => Token::Int(i64::from(u32::from_be_bytes(self.bytes()?))),
            Marker::U64 => {
                let value = u64::from_be_bytes(self.bytes()?);
                i64::try_from(value).map_or(Token::UInt(value), Token::Int)
            }
            Marker::I8 => Token::Int(i64::from(i8::from_be_bytes(self.bytes()?))),
            Marker::I16 => Token::Int(i64::from(i16::from_be_bytes(self.bytes()?))),
            Marker::I32 => Token::Int(i64::from(i32::from_be_bytes(self.bytes()?))),
            Marker::I64 => Token::Int(i64::from_be_bytes(self.bytes()?)),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => {
                let length = self.length::<1>()?;
                self.extension(length)?
            }
            Marker::Ext16 => {
                let length = self.length::<2>()?;
                self.extension(length)?
            }
            Marker::Ext32 => {
                let length = self.length::<4>()?;
                self.extension(length)?
            }
            Marker::F32 | Marker::Bin8 | Marker::Bin16 | Marker::Bin32 | Marker::Reserved => {
                return Err(Error::BadMarker(first));
            }
        })
    }

    /// Passes over the next value, with all that is in it.
    pub fn skip(&mut self) -> Result<(), Error> {
        let token = self.token()?;
        self.skip_rest(token)
    }

    /// Passes over what is in the value that a token began.
    pub fn skip_rest(&mut self, token: Token<'a>) -> Result<(), Error> {
        let mut left = values_within(token);
        while left > 0 {
            left = left - 1 + values_within(self.token()?);
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn length<const N: usize>(&mut self) -> Result<usize, Error> {
        Ok(big_endian(&self.bytes::<N>()?) as usize)
    }

    fn sized_str<const N: usize>(&mut self) -> Result<Token<'a>, Error> {
        let length = self.length::<N>()?;
        self.str(length)
    }

    fn str(&mut self, length: usize) -> Result<Token<'a>, Error> {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Error::BadString)?;
        Ok(Token::Str(text))
    }

    /// An array, or what its first element makes of it.
    fn array(&mut self, length: usize) -> Result<Token<'a>, Error> {
        if length > self.rest.len() {
            return Err(Error::Truncated);
        }
        let size = match self.rest.first().map(|first| Marker::from_u8(*first)) {
            Some(Marker::FixExt1) => 1,
            Some(Marker::FixExt2) => 2,
            Some(Marker::FixExt4) => 4,
            _ => return Ok(Token::Array(length)),
        };
        if length == 0 {
            return Ok(Token::Array(0));
        }
        let head = self.rest.get(1..2 + size).ok_or(Error::Truncated)?;
        let (kind, content) = (head[0] as i8, &head[1..]);
        let items = length - 1;
        let token = match kind {
            marker::OBJECT => Token::Object {
                ordinal: big_endian(content),
                fields: items,
            },
            marker::SET if content == [0] => Token::Set(items),
            marker::FROZEN_SET if content == [0] => Token::FrozenSet(items),
            marker::MAPPING_ITEMS if content == [0] && items.is_multiple_of(2) => {
                Token::MappingItems(items / 2)
            }
            marker::SET | marker::FROZEN_SET | marker::MAPPING_ITEMS => {
                return Err(Error::BadExtension(kind));
            }
            // Any other extension is a first element like others.
            _ => return Ok(Token::Array(length)),
        };
        self.take(2 + size)?;
        Ok(token)
    }

    fn map(&mut self, length: usize) -> Result<Token<'a>, Error> {
        if length > self.rest.len() / 2 {
            return Err(Error::Truncated);
        }
        Ok(Token::Map(length))
    }

    fn extension(&mut self, length: usize) -> Result<Token<'a>, Error> {
        let [kind] = self.bytes::<1>()?;
        let kind = kind as i8;
        let content = self.take(length)?;
        Ok(match (kind, content) {
            (marker::ENUM, [_] | [_, _] | [_, _, _, _]) => Token::Enum(big_endian(content)),
            (marker::ABSENT, [0]) => Token::Absent,
            (marker::FACET, &[index]) => Token::Facet(index),
            (marker::SURROGATES, _) => Token::Surrogates(content),
            (marker::BIG_INT, _) => Token::BigInt(decimal(content)?),
            _ => return Err(Error::BadExtension(kind)),
        })
    }
}

/// How many tokens stand for what is in a value, at its first level; keys of a map included.
fn values_within(token: Token<'_>) -> usize {
    match token {
        Token::Array(items) | Token::Set(items) | Token::FrozenSet(items) => items,
        Token::Map(pairs) | Token::MappingItems(pairs) => pairs * 2,
        Token::Object { fields, .. } => fields,
        _ => 0,
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn decimal(content: &[u8]) -> Result<&str, Error> {
    let digits = content.strip_prefix(b"-").unwrap_or(content);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Error::BadExtension(marker::BIG_INT));
    }
    std::str::from_utf8(content).map_err(|_| Error::BadString)
}
