//! Reading the log in order.

use crate::error::Result;
use crate::query::open_record;
use crate::record::{Kind, Record, frame_kind};
use crate::refold::Progress;
use crate::sequence::Sequence;
use crate::store::Store;
use crate::store::lmdb::{Tree, View};

/// Records looked at per snapshot of a walk, so that none pins old pages for long.
const WALKED: usize = 20_000;

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
        Ok((Sequence::from_key_end(key)?, frame))
    }))
}

/// The kind that a frame seems to be of, before its checksum is looked at.
pub fn kind_of(frame: &[u8]) -> Option<Kind> {
    Kind::ALL.get(usize::from(frame_kind(frame)?)).copied()
}

/// Calls `see` with the records after a sequence, up to another, until it returns false; in several
/// short snapshots.
pub fn walk(
    store: &Store,
    after: Sequence,
    to: Sequence,
    phase: &str,
    progress: Progress<'_>,
    mut see: impl FnMut(Sequence, &Record<'_>) -> Result<bool>,
) -> Result<()> {
    let mut at = after;
    while at < to {
        let go_on = store.read(|snapshot| {
            let mut frames = scan(snapshot.view(), snapshot.trees().log, at)?.take(WALKED);
            while let Some((sequence, frame)) = frames.next().transpose()? {
                if sequence > to {
                    at = to;
                    return Ok(true);
                }
                at = sequence;
                if !see(sequence, &open_record(sequence, frame)?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        progress(phase, at.get(), to.get())?;
        if !go_on {
            break;
        }
    }
    Ok(())
}
