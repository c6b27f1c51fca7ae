//! The bytes of a record in the log: a format byte, a checksum, then MessagePack.
//!
//! ```text
//! +--------+------------------+--------------+------------------------+
//! | format | CRC-32C of rest  | kind         | fields                 |
//! | 1 byte | 4 bytes, little  | MessagePack  | MessagePack array      |
//! |        | endian           | integer      |                        |
//! +--------+------------------+--------------+------------------------+
//! ```
//!
//! A frame is well formed when its format is known, its checksum holds and its kind and fields
//! decode. Every read checks all three.

/// The format that this release writes.
pub const FRAME_FORMAT: u8 = 1;

const HEADER: usize = 5;

/// A frame whose checksum holds: the record's MessagePack.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub payload: &'a [u8],
}

/// Why bytes are not a well-formed frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the frame has {0} bytes, fewer than its header")]
    Truncated(usize),
    #[error("the frame has format {0}, which this release does not know")]
    Format(u8),
    #[error("the checksum is {found:08x} and should be {expected:08x}")]
    Checksum { found: u32, expected: u32 },
    #[error("the fields do not decode: {0}")]
    Fields(String),
    #[error("kind {0} is not known to this release")]
    Kind(u8),
}

/// What stands before a record's MessagePack in its frame.
pub fn frame_header(payload: &[u8]) -> [u8; HEADER] {
    let [a, b, c, d] = crc32c::crc32c(payload).to_le_bytes();
    [FRAME_FORMAT, a, b, c, d]
}

/// Wraps a record's MessagePack into a frame.
pub fn seal_frame(payload: &[u8]) -> Vec<u8> {
    [&frame_header(payload), payload].concat()
}

/// Checks a frame's format and checksum.
pub fn open_frame(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let Some((header, payload)) = bytes.split_at_checked(HEADER) else {
        return Err(FrameError::Truncated(bytes.len()));
    };
    if header[0] != FRAME_FORMAT {
        return Err(FrameError::Format(header[0]));
    }
    let expected = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    let found = crc32c::crc32c(payload);
    if found != expected {
        return Err(FrameError::Checksum { found, expected });
    }
    Ok(Frame { payload })
}

/// The number of a frame's kind, its checksum unseen.
pub fn frame_kind(bytes: &[u8]) -> Option<u8> {
    bytes.get(HEADER).copied()
}

/// The checksum that a frame carries, unseen whether it holds.
pub fn frame_checksum(bytes: &[u8]) -> Option<u32> {
    let checksum = bytes.get(1..HEADER)?.first_chunk()?;
    Some(u32::from_le_bytes(*checksum))
}

/// The payload of a frame that was opened before.
pub fn payload_of(frame: &[u8]) -> &[u8] {
    frame.get(HEADER..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{FrameError, open_frame, seal_frame};

    #[test]
    fn a_sealed_frame_opens_to_its_payload() {
        assert_eq!(
            open_frame(&seal_frame(b"payload")).unwrap().payload,
            b"payload"
        );
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let sealed = seal_frame(b"payload");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open_frame(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_truncated_frame_is_refused() {
        assert_eq!(open_frame(b"\x01\0").unwrap_err(), FrameError::Truncated(2));
    }
}
