//! What can be wrong with a body, or with a value on its way into one.

/// Why bytes are not a body, or a value cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the body ends in the middle of a value")]
    Truncated,
    #[error("{0} bytes follow the end of the body")]
    Trailing(usize),
    #[error("byte 0x{0:02x} starts no value that a body may hold")]
    BadMarker(u8),
    #[error("extension type {0} is not known here, or its content is malformed")]
    BadExtension(i8),
    #[error("a string is not valid UTF-8")]
    BadString,
    #[error("a map has a key that is not a string")]
    BadKey,
    #[error("the marker of an absent field stands outside an object")]
    MisplacedAbsent,
    #[error("shape {0} is not defined")]
    UnknownShape(u32),
    #[error("shape {0} is used as another kind than it was defined")]
    WrongKind(u32),
    #[error("an object of shape {ordinal} has {found} fields, its shape {expected}")]
    FieldCount {
        ordinal: u32,
        expected: usize,
        found: usize,
    },
    #[error("the constants of shape {0} are not a JSON object")]
    BadConstants(u32),
    #[error("the body refers to facet {0}, which its record does not have")]
    BadFacet(u8),
    #[error("values are nested more than {} deep", super::MAX_DEPTH)]
    TooDeep,
    #[error("a string or a collection is longer than a body can say (4 GiB)")]
    TooLong,
}
