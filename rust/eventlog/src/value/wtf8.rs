//! WTF-8: UTF-8 that may also hold surrogates, as Python's `surrogatepass` writes it.
//!
//! JSON cannot tell a pair of surrogates from the character it stands for, so a value that went
//! through Dagster's serdes holds only lone ones; `merge_surrogate_pairs` brings a string there.

/// The code point that starts at `at` and the position behind it; none if the bytes are not WTF-8.
pub(super) fn code_point(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = *bytes.get(at)?;
    let (length, mut point) = match first {
        0x00..=0x7f => return Some((u32::from(first), at + 1)),
        0xc2..=0xdf => (2, u32::from(first & 0x1f)),
        0xe0..=0xef => (3, u32::from(first & 0x0f)),
        0xf0..=0xf4 => (4, u32::from(first & 0x07)),
        _ => return None,
    };
    for &byte in bytes.get(at + 1..at + length)? {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        point = point << 6 | u32::from(byte & 0x3f);
    }
    let overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x1_0000);
    (!overlong && point <= 0x10_ffff).then_some((point, at + length))
}

/// Joins each high surrogate with the low one behind it; none if the bytes are not WTF-8.
pub fn merge_surrogate_pairs(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut merged = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (point, mut next) = code_point(bytes, at)?;
        if let (0xd800..=0xdbff, Some((low @ 0xdc00..=0xdfff, end))) =
            (point, code_point(bytes, next))
        {
            let joined = 0x1_0000 + ((point - 0xd800) << 10) + (low - 0xdc00);
            let mut buffer = [0; 4];
            let character = char::from_u32(joined)?;
            merged.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            next = end;
        } else {
            merged.extend_from_slice(&bytes[at..next]);
        }
        at = next;
    }
    Some(merged)
}

/// The text with U+FFFD for each lone surrogate; none if the bytes are not WTF-8.
pub fn replace_surrogates(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (point, next) = code_point(bytes, at)?;
        text.push(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
        at = next;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{merge_surrogate_pairs, replace_surrogates};

    #[test]
    fn each_lone_surrogate_is_replaced() {
        let lone = "a\u{e9}".as_bytes().iter().copied();
        let bytes: Vec<u8> = lone.chain(*b"\xed\xa0\xbd\xed\xb8\x80z").collect();
        let replaced = replace_surrogates(&bytes);
        assert_eq!(replaced.as_deref(), Some("a\u{e9}\u{fffd}\u{fffd}z"));
        assert_eq!(replace_surrogates(b"\xff"), None);
    }

    #[test]
    fn pairs_merge_and_lone_surrogates_stay() {
        // U+D83D U+DE00 is U+1F600; a high one before the pair stays alone.
        let pair = b"a\xed\xa0\xbd\xed\xb8\x80z";
        assert_eq!(merge_surrogate_pairs(pair).unwrap(), "a😀z".as_bytes());
        let lone = b"\xed\xa0\xbd\xed\xa0\xbd\xed\xb8\x80\xed\xb8\x80";
        let expected = [b"\xed\xa0\xbd", "😀".as_bytes(), b"\xed\xb8\x80"].concat();
        assert_eq!(merge_surrogate_pairs(lone).unwrap(), expected);
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            &b"\xff"[..],
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xed\xa0",
            b"\xf5\x80\x80\x80",
        ] {
            assert_eq!(merge_surrogate_pairs(bytes), None);
        }
    }
}
