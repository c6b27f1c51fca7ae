//! Reading the log in order.

use crate::error::Result;
use crate::record::{Kind, frame_kind};
use crate::sequence::Sequence;
use crate::store::lmdb::{Tree, View};

/// A frame of the log under its sequence.
pub type Scanned<'t> = (Sequence, &'t [u8]);

/// Frames after a sequence, ascending.
pub fn scan<'t>(
    view: View<'t>,
    log: Tree,
    after: Sequence,
) -> Result<impl Iterator<Item = Result<Scanned<'t>>>> {
    let frames = view.range(log, &after.next().to_key(), &[])?;
    Ok(frames.map(|row| {
        let (key, frame) = row?;
        Ok((Sequence::from_key_end(key), frame))
    }))
}

/// The kind that a frame seems to be of, before its checksum is looked at.
pub fn kind_of(frame: &[u8]) -> Option<Kind> {
    Kind::ALL.get(usize::from(frame_kind(frame)?)).copied()
}
