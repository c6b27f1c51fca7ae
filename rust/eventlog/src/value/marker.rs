//! The extension types of a body, and the one limit of the format.
//!
//! Types 1, 4, 5 and 6 are fixext markers that stand as the first element of an array and say what
//! the rest of the array is; the others are values by themselves.

/// First element of an object: the ordinal of its shape, big endian, in 1, 2 or 4 bytes.
pub(super) const OBJECT: i8 = 1;
/// A field that Dagster skipped; only as a field of an object.
pub(super) const ABSENT: i8 = 2;
/// An enum member: the ordinal of the shape named `Class.MEMBER`.
pub(super) const ENUM: i8 = 3;
/// First element of a set.
pub(super) const SET: i8 = 4;
/// First element of a frozenset.
pub(super) const FROZEN_SET: i8 = 5;
/// First element of a mapping whose keys are not scalars: key, value, key, value, ...
pub(super) const MAPPING_ITEMS: i8 = 6;
/// An integer outside [-2^63, 2^64), in ASCII decimal.
pub(super) const BIG_INT: i8 = 7;
/// A string with lone surrogates, in WTF-8.
pub(super) const SURROGATES: i8 = 8;
/// A string or float that equals facet number i of the record.
pub(super) const FACET: i8 = 9;

/// How deep values may nest. Dagster's own serdes stops near Python's recursion limit (1000).
pub const MAX_DEPTH: usize = 1024;
