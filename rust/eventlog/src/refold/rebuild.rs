//! Rebuilding: the other projection set filled beside live writers, then made the live one.
//!
//! The set that is not live is emptied and filled in many commits; each leaves its progress in the
//! meta row, so that a rebuild that died is taken up where it was. The commit that reaches the head
//! switches, and the old set is emptied in small commits after it; so are tables of either set that
//! only another fold had, which then go.

use super::Progress;
use crate::error::{Error, Result};
use crate::log::{Frames, scan};
use crate::projection::{Carry, FOLD_VERSION, LogSource, TABLES, Table, fold};
use crate::query::{Reader, open_record};
use crate::record::Record;
use crate::sequence::Sequence;
use crate::store::maintenance::{COMPACTION, REBUILD, alone, shared};
use crate::store::{Meta, Outcome, Rebuild, Store, Transaction};

/// Rows removed per commit.
const ROWS: usize = 20_000;

/// Refolds the log into the other set and switches to it; returns the head at the switch.
///
/// # Errors
///
/// [`Error::RebuildRunning`] while another process rebuilds the store;
/// [`Error::MaintenanceRunning`] while one compacts it.
pub fn rebuild(store: &Store, progress: Progress<'_>) -> Result<Sequence> {
    let directory = store.directory();
    let path = || directory.to_owned();
    let _alone = alone(directory, REBUILD, || Error::RebuildRunning {
        path: path(),
    })?;
    let _same_log = shared(directory, COMPACTION, || Error::MaintenanceRunning {
        path: path(),
    })?;
    begin(store, progress)?;
    loop {
        let (at, head, done) = store.write(&|| false, fold_chunk)?;
        progress("refold", at.get(), head.get())?;
        if done {
            empty_other_set(store, progress)?;
            remove_unused_trees(store, progress)?;
            return Ok(head);
        }
    }
}

/// Empties the other set, unless a rebuild of this fold version was under way.
fn begin(store: &Store, progress: Progress<'_>) -> Result<()> {
    let meta = store.read(|snapshot| Ok(snapshot.meta().clone()))?;
    if meta
        .rebuild
        .as_ref()
        .is_some_and(|rebuild| rebuild.fold_version == FOLD_VERSION)
    {
        return Ok(());
    }
    empty_other_set(store, progress)?;
    store.write(&|| false, |transaction| {
        let meta = transaction.meta().clone();
        let rebuild = Rebuild {
            target_set: 1 - meta.live_set,
            fold_version: FOLD_VERSION,
            next_sequence: 1,
        };
        transaction.set_meta(Meta {
            rebuild: Some(rebuild),
            ..meta
        })?;
        Ok(Outcome::Commit(()))
    })
}

/// Folds the next records, for a tenth of a second or so, in which other writers wait; switches where they
/// reach the head.
fn fold_chunk(transaction: &mut Transaction<'_>) -> Result<Outcome<(Sequence, Sequence, bool)>> {
    let meta = transaction.meta().clone();
    let Some(rebuild) = meta.rebuild.clone() else {
        return Err(Error::Refused(
            "the rebuild was ended by another process".to_owned(),
        ));
    };
    let log = transaction.trees().log;
    let set = &transaction.trees().sets[usize::from(rebuild.target_set)];
    let head = Reader::new(transaction.view(), set, log).head()?;
    let mut at = Sequence::new(rebuild.next_sequence - 1);
    let mut frames = Frames::default();
    for row in scan(transaction.view(), log, at)? {
        let (sequence, frame) = row?;
        frames.push(sequence, frame);
        if frames.is_full() {
            break;
        }
    }
    let writing = transaction.writing();
    let mut carry = Carry::default();
    let mut target = carry.target(writing, set, LogSource::Same(log));
    for (sequence, frame) in frames.iter() {
        let record: Record<'_> = open_record(sequence, frame)?;
        fold(&mut target, sequence, &record)?;
        at = sequence;
    }
    carry.finish(writing, set)?;
    let done = at >= head;
    let next = if done {
        Meta {
            live_set: rebuild.target_set,
            fold_version: rebuild.fold_version,
            rebuild: None,
            ..meta
        }
    } else {
        Meta {
            rebuild: Some(Rebuild {
                next_sequence: at.get() + 1,
                ..rebuild
            }),
            ..meta
        }
    };
    transaction.set_meta(next)?;
    Ok(Outcome::Commit((at, head, done)))
}

/// Empties the set that is not live.
fn empty_other_set(store: &Store, progress: Progress<'_>) -> Result<()> {
    for (index, table) in Table::ALL.into_iter().enumerate() {
        progress("empty", index as u64, Table::ALL.len() as u64)?;
        while store.write(&|| false, |transaction| empty_some(transaction, table))? {}
    }
    Ok(())
}

/// Removes some rows of a table of the other set; true if there may be more.
fn empty_some(transaction: &mut Transaction<'_>, table: Table) -> Result<Outcome<bool>> {
    let other = usize::from(1 - transaction.meta().live_set);
    let tree = transaction.trees().sets[other][table as usize];
    Ok(match transaction.writing().delete_first(tree, ROWS)? {
        0 => Outcome::Nothing(false),
        deleted => Outcome::Commit(deleted == ROWS),
    })
}

/// Removes the trees of tables that the fold of another release had, of either set. Processes of that
/// release refuse to go on since the switch, so nobody reads them.
fn remove_unused_trees(store: &Store, progress: Progress<'_>) -> Result<()> {
    let names = store.read(|snapshot| Ok(snapshot.view().tree_names()?))?;
    let unused: Vec<_> = names.iter().filter(|name| is_unused(name)).collect();
    for (index, name) in unused.iter().enumerate() {
        progress("remove", index as u64, unused.len() as u64)?;
        while store.write(&|| false, |transaction| remove_some(transaction, name))? {}
    }
    Ok(())
}

/// Whether a tree is a projection table of a set, and none of today's.
fn is_unused(tree: &str) -> bool {
    let table = tree.strip_prefix("a.").or_else(|| tree.strip_prefix("b."));
    table.is_some_and(|table| !TABLES.contains(&table))
}

/// Removes some rows of a tree, and the tree once it has none; true if there may be more.
fn remove_some(transaction: &mut Transaction<'_>, name: &str) -> Result<Outcome<bool>> {
    let Some(tree) = transaction.writing().open_tree(name)? else {
        return Ok(Outcome::Nothing(false));
    };
    if transaction.writing().delete_first(tree, ROWS)? == ROWS {
        return Ok(Outcome::Commit(true));
    }
    transaction.writing().remove_tree(tree)?;
    Ok(Outcome::Commit(false))
}
