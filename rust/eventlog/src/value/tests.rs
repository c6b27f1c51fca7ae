//! Bodies written, read and printed; and bytes that are no bodies.

use std::sync::Arc;

use super::{Error, Facet, MAX_DEPTH, Reader, Shape, ShapeKind, Token, Writer, to_packed_json};

fn shapes() -> Vec<Arc<Shape>> {
    let shape = |kind, name: &str, fields: &[&str], constants: &str| {
        Arc::new(Shape {
            kind,
            name: name.to_owned(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            constants: constants.to_owned(),
            plan: 7,
        })
    };
    vec![
        shape(ShapeKind::Object, "Thing", &["Upper", "left", "right"], ""),
        shape(ShapeKind::Enum, "Color.RED", &[], ""),
        shape(
            ShapeKind::Object,
            "Old",
            &["b", "z"],
            r#"{"a": [1e-06, {"y": null, "x": true}], "c": "", "zz": -3}"#,
        ),
        shape(ShapeKind::Object, "Bad", &[], "[]"),
        shape(ShapeKind::Object, "Empty", &[], ""),
    ]
}

fn print(write: impl FnOnce(&mut Writer)) -> Result<String, Error> {
    let mut writer = Writer::new();
    write(&mut writer);
    let facets = [
        None,
        Some(Facet::Str("run\u{e9}")),
        Some(Facet::Float(1700000000.25)),
    ];
    to_packed_json(&writer.finish().unwrap(), &facets, &shapes())
}

/// A body with every kind of token.
fn everything(out: &mut Writer) {
    out.array(10);
    out.object(0, 3);
    out.map(2);
    out.str("a");
    out.float(-0.0);
    out.str("b");
    out.big_int("-123456789012345678901234567890");
    out.absent();
    out.facet(1);
    out.enum_member(1);
    out.set(2);
    out.int(-5);
    out.uint(u64::MAX);
    out.frozen_set(0);
    out.mapping_items(2);
    out.array(0);
    out.nil();
    out.object(4, 0);
    out.map(0);
    out.surrogates(b"x\xed\xa0\x80");
    out.object(2, 2);
    out.facet(2);
    out.bool(true);
    out.str("\u{1f600}\u{7f}\"\\\n");
    out.array(1);
    out.array(1);
    out.bool(false);
    out.int(i64::MIN);
}

const EVERYTHING: &str = concat!(
    r#"[{"Upper": {"a": -0.0, "b": -123456789012345678901234567890}, "__class__": "Thing", "#,
    r#""right": "run\u00e9"}, {"__enum__": "Color.RED"}, {"__set__": [-5, 18446744073709551615]}, "#,
    r#"{"__frozenset__": []}, {"__mapping_items__": [[[], null], [{"__class__": "Empty"}, {}]]}, "#,
    r#""x\ud800", {"__class__": "Old", "a": [1e-06, {"x": true, "y": null}], "b": 1700000000.25, "#,
    r#""c": "", "z": true, "zz": -3}, "\ud83d\ude00\u007f\"\\\n", [[false]], -9223372036854775808]"#,
);

#[test]
fn every_token_prints_as_pythons_json() {
    assert_eq!(print(everything).unwrap(), EVERYTHING);
}

#[test]
fn what_json_escapes_is_found_wherever_it_stands() {
    let escapes = [
        ("\"", r#"\""#),
        ("\\", r"\\"),
        ("\n", r"\n"),
        ("\u{1f}", r"\u001f"),
        ("\u{7f}", r"\u007f"),
        ("\u{e9}", r"\u00e9"),
        ("\u{1f600}", r"\ud83d\ude00"),
    ];
    for length in 0..40 {
        let plain = " ~".repeat(length);
        assert_eq!(print(|out| out.str(&plain)), Ok(format!("\"{plain}\"")));
        for (character, escape) in escapes {
            for at in 0..=plain.len() {
                let (before, after) = plain.split_at(at);
                let text = format!("{before}{character}{after}");
                let expected = format!("\"{before}{escape}{after}\"");
                assert_eq!(print(|out| out.str(&text)), Ok(expected));
            }
        }
    }
}

#[test]
fn integers_and_lengths_round_trip_at_every_size() {
    for bits in 0..64 {
        for value in [
            1_i64 << bits,
            (1_i64 << bits).wrapping_sub(1),
            (-1_i64) << bits,
        ] {
            let mut writer = Writer::new();
            writer.int(value);
            let body = writer.finish().unwrap();
            let mut reader = Reader::new(&body);
            assert_eq!(reader.token(), Ok(Token::Int(value)));
            assert_eq!(reader.end(), Ok(()));
        }
    }
    for length in [0, 1, 2, 4, 8, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        let text = "7".repeat(length);
        let mut writer = Writer::new();
        writer.array(length + 2);
        writer.str(&text);
        writer.surrogates(text.as_bytes());
        (0..length).for_each(|_| writer.nil());
        let body = writer.finish().unwrap();
        let mut reader = Reader::new(&body);
        assert_eq!(reader.token(), Ok(Token::Array(length + 2)));
        assert_eq!(reader.token(), Ok(Token::Str(&text)));
        assert_eq!(reader.token(), Ok(Token::Surrogates(text.as_bytes())));
    }
    for ordinal in [0, 255, 256, 65_535, 65_536, u32::MAX] {
        let mut writer = Writer::new();
        writer.object(ordinal, 20);
        writer.enum_member(ordinal);
        (0..19).for_each(|_| writer.absent());
        let body = writer.finish().unwrap();
        let mut reader = Reader::new(&body);
        assert_eq!(
            reader.token(),
            Ok(Token::Object {
                ordinal,
                fields: 20
            })
        );
        assert_eq!(reader.token(), Ok(Token::Enum(ordinal)));
        assert_eq!(reader.token(), Ok(Token::Absent));
    }
}

#[test]
fn what_is_wrong_with_a_body_is_named() {
    let cases: [(&[u8], Error); 19] = [
        (b"", Error::Truncated),
        (b"\xa3ab", Error::Truncated),
        (b"\xdd\xff\xff\xff\xff\xc0", Error::Truncated),
        (b"\xdf\x00\x00\x00\x02\xa1a\xc0", Error::Truncated),
        (b"\xc0\xc0", Error::Trailing(1)),
        (b"\xc1", Error::BadMarker(0xc1)),
        (b"\xca\x00\x00\x00\x00", Error::BadMarker(0xca)),
        (b"\xc4\x00", Error::BadMarker(0xc4)),
        (b"\xa1\xff", Error::BadString),
        (b"\xd4\x08\xff", Error::BadString),
        (b"\xd4\x63\x00", Error::BadExtension(0x63)),
        (b"\xd4\x01\x00", Error::BadExtension(1)),
        (b"\xc7\x01\x07-", Error::BadExtension(7)),
        (b"\x92\xd4\x06\x00\xc0", Error::BadExtension(6)),
        (b"\x81\x01\xc0", Error::BadKey),
        (b"\x91\xd4\x02\x00", Error::MisplacedAbsent),
        (b"\xd4\x03\x63", Error::UnknownShape(99)),
        (b"\xd4\x03\x00", Error::WrongKind(0)),
        (b"\xd4\x09\x00", Error::BadFacet(0)),
    ];
    for (body, error) in cases {
        let found = to_packed_json(body, &[None], &shapes());
        assert_eq!(found, Err(error), "{body:02x?}");
    }
    let count = print(|out| out.object(0, 0)).unwrap_err();
    let (expected, found) = (3, 0);
    assert_eq!(
        count,
        Error::FieldCount {
            ordinal: 0,
            expected,
            found
        }
    );
    assert_eq!(print(|out| out.object(3, 0)), Err(Error::BadConstants(3)));
    assert_eq!(print(|out| out.object(1, 0)), Err(Error::WrongKind(1)));
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| {
        let mut body = vec![0x91; depth];
        body.push(0xc0);
        to_packed_json(&body, &[], &shapes())
    };
    assert!(nested(MAX_DEPTH).is_ok());
    assert_eq!(nested(MAX_DEPTH * 4), Err(Error::TooDeep));
}

/// Xorshift: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn mutated_bodies_never_panic() {
    let mut writer = Writer::new();
    everything(&mut writer);
    let body = writer.finish().unwrap();
    let shapes = shapes();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut readable = 0;
    for _ in 0..200_000 {
        let mut mutated = body.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(mutated.len());
            match random.below(4) {
                0 => mutated[at] = random.below(256) as u8,
                1 => mutated[at] ^= 1 << random.below(8),
                2 => mutated.truncate(at.max(1)),
                _ => mutated.insert(at, random.below(256) as u8),
            }
        }
        let facets = [None, Some(Facet::Str("x")), Some(Facet::Float(f64::NAN))];
        readable += usize::from(to_packed_json(&mutated, &facets, &shapes).is_ok());
    }
    // Both outcomes occur, or the test shows nothing.
    assert!(readable > 1000 && readable < 150_000, "{readable}");
}
