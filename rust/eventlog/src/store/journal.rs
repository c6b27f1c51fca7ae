//! The file beside LMDB's that makes commits durable with one flush.
//!
//! Owns `DIR/journal`. LMDB flushes twice a commit, its pages and then its meta page. Here a commit is
//! durable once its entry in the journal is: LMDB's own pages follow whenever the system writes them,
//! in any order, and a checkpoint flushes them all before the journal begins anew. After a power cut
//! the data file may hold any mixture of what was written since, so an entry carries both ways out:
//!
//! * *undo*: the pages of the last checkpoint, the base, that LMDB may use again from here on, as they
//!   were. LMDB overwrites no page before the second commit after the one that freed it, and each
//!   entry is flushed before its commit's pages are written;
//! * *redo*: what the commit did, in the words of the layer above.
//!
//! ```text
//! 0          4 KiB      8 KiB
//! | header   | header   | entry | entry | ...      each entry begins a block of 4 KiB
//! ```
//!
//! Behind the room for entries stands which pages are free in the base, and need not be kept.
//!
//! Of the headers the valid one of the higher generation counts; entries carry its nonce. Every
//! call's caller holds the writer lock. Only `store` calls this.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::iter::zip;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::environment::DATA;
use super::free_pages::{self, FreePages};
use super::lmdb::Environment;
use super::queue::JournalState;
use super::refusal::{damaged, failed, refused};
use super::stamp::Stamp;
use super::transaction::Transaction;
use crate::error::{Error, Result};

/// Name of the file in the store's directory.
pub const NAME: &str = "journal";
/// First bytes of a header.
const MAGIC: u64 = u64::from_le_bytes(*b"dlmdbj\0\0");
const VERSION: u64 = 1;
/// Bytes of the file at least and at most, and which part of the data file's it may be.
const LEAST: u64 = 256 << 10;
const MOST: u64 = 2 << 20;
const PART: u64 = 8;
/// Pages that a checkpoint lists as free.
const MOST_FREE: usize = 1 << 15;
/// A header takes one block, and entries begin at one, so that no flush rewrites an older entry.
pub const BLOCK: u64 = 4096;
/// Where the entries begin.
pub const ENTRIES: u64 = 2 * BLOCK;
/// Bytes of a meta page that are kept.
pub const META_BYTES: usize = 256;
/// Bytes of a header that hold something: the fields, both meta pages, the checksum.
const HEADER: usize = 64 + 2 * META_BYTES;
/// Bytes of an entry before its page numbers.
const ENTRY: usize = 48;

/// The state that undoing leads back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Rises with each checkpoint.
    pub generation: u64,
    /// Drawn at each checkpoint; an entry with another belongs to an older one.
    pub nonce: u64,
    /// LMDB's last transaction.
    pub transaction: u64,
    pub page_size: u64,
    /// Number of the last page in use.
    pub last_page: u64,
    /// Bytes of the journal.
    pub length: u64,
    /// How both of LMDB's meta pages begin.
    pub metas: [[u8; META_BYTES]; 2],
}

impl Base {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        for number in [
            self.generation,
            self.nonce,
            self.transaction,
            self.page_size,
            self.last_page,
            self.length,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for meta in &self.metas {
            bytes.extend_from_slice(meta);
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, checksum) = bytes.get(..HEADER + 4)?.split_at(HEADER);
        let number = |index: usize| number_at(fields, 8 * index);
        if checksum != crc32c::crc32c(fields).to_le_bytes()
            || number(0) != MAGIC
            || number(1) != VERSION
        {
            return None;
        }
        let meta = |index: usize| {
            let start = 64 + index * META_BYTES;
            fields[start..start + META_BYTES].try_into().expect("in it")
        };
        Some(Self {
            generation: number(2),
            nonce: number(3),
            transaction: number(4),
            page_size: number(5),
            last_page: number(6),
            length: number(7),
            metas: [meta(0), meta(1)],
        })
    }
}

fn number_at(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes[offset..offset + 8].try_into();
    u64::from_le_bytes(bytes.expect("eight bytes"))
}

/// One commit's way back and forth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// LMDB's number of the commit.
    pub transaction: u64,
    /// Pages as they were: number and content.
    pub undo: Vec<(u64, Vec<u8>)>,
    /// What the commit did; empty for one that is no part of history.
    pub redo: Vec<u8>,
    /// Version of the rules by which the commit was folded.
    pub fold_version: u64,
}

/// Bytes that an entry takes in the file.
fn blocks(pages: usize, page_size: u64, redo: usize) -> u64 {
    let bytes = ENTRY as u64 + pages as u64 * (8 + page_size) + redo as u64;
    bytes.next_multiple_of(BLOCK)
}

/// Reads the header that counts; none if there never was one.
pub fn read_base(directory: &Path) -> Result<Option<Base>> {
    let mut headers = vec![0; ENTRIES as usize];
    match File::open(directory.join(NAME)).and_then(|file| file.read_exact_at(&mut headers, 0)) {
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(refused("cannot read the journal of", directory, error)),
    }
    let made = [0, BLOCK as usize].map(|at| number_at(&headers, at) == MAGIC);
    let versions = [0, BLOCK as usize].map(|at| number_at(&headers, at + 8));
    if let Some((_, version)) = zip(made, versions).find(|found| found.0 && found.1 != VERSION) {
        return Err(Error::Incompatible {
            path: directory.into(),
            reason: format!("its journal has version {version}"),
        });
    }
    let base = newest(&headers);
    // A power cut tears the header that is being written, and so the first of all, but never both.
    if base.is_none() && made == [true; 2] {
        return damaged(directory, "neither header of its journal is whole");
    }
    Ok(base)
}

/// Reads the entries since the base, up to the first that is not whole.
pub fn read_entries(directory: &Path, base: &Base) -> io::Result<Vec<Entry>> {
    let bytes = std::fs::read(directory.join(NAME))?;
    let mut entries = Vec::new();
    let mut offset = ENTRIES as usize;
    let mut last = base.transaction;
    while let Some((entry, length)) = decode_entry(&bytes, offset, base)
        && entry.transaction > last
    {
        last = entry.transaction;
        offset += length;
        entries.push(entry);
    }
    Ok(entries)
}

fn newest(bytes: &[u8]) -> Option<Base> {
    (0..2)
        .filter_map(|slot| Base::decode(bytes.get(slot * BLOCK as usize..)?))
        .max_by_key(|base| base.generation)
}

fn decode_entry(bytes: &[u8], offset: usize, base: &Base) -> Option<(Entry, usize)> {
    let head = bytes.get(offset..offset + ENTRY)?;
    let [nonce, transaction, pages, redo, fold_version, checksum] =
        [0, 1, 2, 3, 4, 5].map(|index| number_at(head, 8 * index));
    let most = bytes.len() as u64;
    if nonce != base.nonce || pages > most || redo > most {
        return None;
    }
    let (pages, redo, page_size) = (pages as usize, redo as usize, base.page_size as usize);
    let content = offset + ENTRY;
    let images = content + 8 * pages;
    let end = images + pages * page_size;
    let body = bytes.get(content..end + redo)?;
    if checksum != checksum_of(&head[..ENTRY - 8], body) {
        return None;
    }
    let undo = (0..pages)
        .map(|index| {
            let start = images + index * page_size;
            let image = bytes[start..start + page_size].to_vec();
            (number_at(bytes, content + 8 * index), image)
        })
        .collect();
    let entry = Entry {
        transaction,
        undo,
        redo: bytes[end..end + redo].to_vec(),
        fold_version,
    };
    Some((entry, blocks(pages, base.page_size, redo) as usize))
}

fn checksum_of(head: &[u8], body: &[u8]) -> u64 {
    u64::from(crc32c::crc32c_append(crc32c::crc32c(head), body))
}

/// What one process knows of the entries since the last checkpoint.
#[derive(Default)]
struct Window {
    generation: u64,
    nonce: u64,
    page_size: u64,
    last_page: u64,
    length: u64,
    /// How far it has read.
    offset: u64,
    /// Pages whose base the journal holds.
    saved: HashSet<u64>,
    /// Pages that were free in the base.
    free: FreePages,
    /// Whether the entry of the commit under way is flushed.
    is_flushed: bool,
}

/// What came of an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Appended {
    /// The commit may follow, unflushed; [`Journal::finish`] or [`Journal::cancel`] follows it.
    Written,
    /// It fits into no journal: the commit flushes itself, and [`Journal::checkpoint`] follows it.
    TooLarge,
}

/// The journal of an open store.
pub struct Journal {
    file: File,
    data: File,
    window: Mutex<Window>,
}

impl Journal {
    /// Opens the journal, making it if it is absent.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(NAME);
        let new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| refused("cannot open the journal of", directory, error))?;
        if let Err(error) = lengthen(&file, LEAST) {
            if new {
                let _ = std::fs::remove_file(&path);
            }
            return Err(refused("cannot make the journal of", directory, error));
        }
        let data = open_data(directory)?;
        Ok(Self {
            file,
            data,
            window: Mutex::default(),
        })
    }

    /// Whether the file is no longer in the directory, where recovery would look for it.
    pub fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 0)
    }

    /// What this process knows, brought up to what other processes have written.
    fn window(&self, state: JournalState<'_>) -> io::Result<MutexGuard<'_, Window>> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = state.offset();
        if window.generation != state.generation() || window.offset > offset {
            let mut headers = vec![0; ENTRIES as usize];
            self.file.read_exact_at(&mut headers, 0)?;
            let base = newest(&headers).filter(|base| base.generation == state.generation());
            let base = base.ok_or_else(|| io::Error::other("its journal has no header"))?;
            let free = self.read_free(&base)?;
            *window = Window {
                generation: base.generation,
                nonce: base.nonce,
                page_size: base.page_size,
                last_page: base.last_page,
                length: base.length,
                offset: ENTRIES,
                saved: HashSet::new(),
                free,
                is_flushed: false,
            };
        }
        while window.offset < offset {
            let mut head = [0; ENTRY];
            self.file.read_exact_at(&mut head, window.offset)?;
            let (pages, redo) = (number_at(&head, 16) as usize, number_at(&head, 24) as usize);
            let mut numbers = vec![0; 8 * pages];
            self.file
                .read_exact_at(&mut numbers, window.offset + ENTRY as u64)?;
            window
                .saved
                .extend((0..pages).map(|index| number_at(&numbers, 8 * index)));
            window.offset += blocks(pages, window.page_size, redo);
        }
        Ok(window)
    }

    /// Makes the state of LMDB's last commit the base, and flushes all of it before.
    pub fn checkpoint(
        &self,
        directory: &Path,
        state: JournalState<'_>,
        environment: &Environment,
    ) -> Result<()> {
        let io = |error| refused("cannot write the journal of", directory, error);
        let written = |error| write_failed(directory, error);
        state.set_ready(false);
        let mut headers = vec![0; ENTRIES as usize];
        self.file.read_exact_at(&mut headers, 0).map_err(io)?;
        let last = newest(&headers);
        match &last {
            // Whoever wrote this header did not get to know whether it is on disk.
            Some(base) if Stamp::read(&self.data).map_err(io)?.is_open() => {
                self.write_header(base).map_err(written)?;
            }
            Some(_) => {}
            // From its first header on, commits rely on the file's being in the directory.
            None => File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(io)?,
        }
        // Recovery commits under a number below those that it redid, so the last one goes too.
        let stamp = Stamp {
            from: last.as_ref().map_or(0, |base| base.nonce),
            to: random(directory)?,
            flushed: 0,
        };
        stamp.write(&self.data).map_err(written)?;
        if let Err(error) = environment.sync() {
            // The kernel may take pages that it failed to write for written.
            state.set_lost();
            return Err(failed(directory, Some(environment), error));
        }
        let sizes = environment
            .info()
            .map_err(|error| failed(directory, Some(environment), error))?;
        let page_size = sizes.page_size as u64;
        let used = sizes.last_page as u64 * page_size;
        let wanted = (used / PART).next_multiple_of(BLOCK).clamp(LEAST, MOST);
        // What there is will do where there is no room for more.
        let length = lengthen(&self.file, wanted + free_pages::ROOM)
            .or_else(|_| {
                self.file
                    .metadata()
                    .map(|found| found.len() / BLOCK * BLOCK)
            })
            .map_err(io)?
            .saturating_sub(free_pages::ROOM)
            .max(LEAST);
        let base = Base {
            generation: last.map_or(1, |base| base.generation + 1),
            nonce: stamp.to,
            transaction: sizes.last_transaction as u64,
            page_size,
            last_page: sizes.last_page as u64,
            length,
            metas: read_metas(&self.data, page_size).map_err(io)?,
        };
        self.write_free(&base, environment);
        self.write_header(&base).map_err(written)?;
        let from = stamp.to;
        Stamp { from, ..stamp }.write(&self.data).map_err(written)?;
        state.begin(base.generation, ENTRIES, base.transaction);
        Ok(())
    }

    /// Says which pages are free in the base, which is the state of LMDB's last commit.
    fn write_free(&self, base: &Base, environment: &Environment) {
        let free = environment
            .read()
            .and_then(|reading| reading.freed_after(0, MOST_FREE));
        // Without it more pages are kept than need be.
        if let Ok(pages) = free {
            let bytes = FreePages::encode(&pages, base.nonce);
            let _ = self.file.write_all_at(&bytes, base.length);
        }
    }

    fn read_free(&self, base: &Base) -> io::Result<FreePages> {
        let mut bytes = vec![0; free_pages::ROOM as usize];
        match self.file.read_exact_at(&mut bytes, base.length) {
            Ok(()) => Ok(FreePages::decode(&bytes, base.nonce)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(FreePages::default()),
            Err(error) => Err(error),
        }
    }

    fn write_header(&self, base: &Base) -> io::Result<()> {
        let slot = base.generation % 2;
        self.file.write_all_at(&base.encode(), slot * BLOCK)?;
        self.file.sync_data()
    }

    /// Writes the entry of the commit under way, and flushes it where `flush` or an undo asks.
    ///
    pub fn append(
        &self,
        directory: &Path,
        state: JournalState<'_>,
        environment: &Environment,
        transaction: &Transaction<'_>,
        flush: bool,
    ) -> Result<Appended> {
        let redo = transaction.redo.as_deref().unwrap_or_default();
        let io = |error| refused("cannot read the journal of", directory, error);
        let mut window = self.window(state).map_err(io)?;
        let (mut pages, is_known) = match self.freed(&window, state, environment) {
            Ok(pages) => (pages, true),
            // Looking takes a reader's slot. After a checkpoint there is nothing to look for.
            Err(error) if error.is_readers_full() => (Vec::new(), false),
            Err(error) => return Err(failed(directory, Some(environment), error)),
        };
        let length = blocks(pages.len(), window.page_size, redo.len());
        if !is_known || state.offset() + length > window.length {
            drop(window);
            self.checkpoint(directory, state, environment)?;
            window = self.window(state).map_err(io)?;
            pages.clear();
            if ENTRIES + blocks(0, window.page_size, redo.len()) > window.length {
                return Ok(Appended::TooLarge);
            }
        }
        state.set_in_flight(true);
        window.is_flushed = false;
        if pages.is_empty() && redo.is_empty() {
            return Ok(Appended::Written);
        }
        let bytes = self
            .encode(&window, transaction, &pages, redo)
            .map_err(io)?;
        let flush = flush || !pages.is_empty();
        let written = self
            .file
            .write_all_at(&bytes, state.offset())
            .and_then(|()| match flush {
                true => self.file.sync_data(),
                false => Ok(()),
            });
        if let Err(error) = written {
            drop(window);
            self.cancel(state);
            return Err(write_failed(directory, error));
        }
        window.is_flushed = flush;
        window.saved.extend(&pages);
        window.offset += bytes.len() as u64;
        Ok(Appended::Written)
    }

    /// Pages of the base that LMDB may use again after the commit under way, and that the journal
    /// does not hold yet.
    fn freed(
        &self,
        window: &Window,
        state: JournalState<'_>,
        environment: &Environment,
    ) -> std::result::Result<Vec<u64>, super::lmdb::LmdbError> {
        let mut pages = environment
            .read()?
            .freed_after(state.noted() as usize, usize::MAX)?;
        pages.retain(|page| {
            *page <= window.last_page
                && !window.saved.contains(page)
                && !window.free.contains(*page)
        });
        pages.sort_unstable();
        pages.dedup();
        Ok(pages)
    }

    fn encode(
        &self,
        window: &Window,
        transaction: &Transaction<'_>,
        pages: &[u64],
        redo: &[u8],
    ) -> io::Result<Vec<u8>> {
        let length = blocks(pages.len(), window.page_size, redo.len()) as usize;
        let mut bytes = Vec::with_capacity(length);
        for number in [
            window.nonce,
            transaction.id() as u64,
            pages.len() as u64,
            redo.len() as u64,
            transaction.meta.fold_version.into(),
            0,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for page in pages {
            bytes.extend_from_slice(&page.to_le_bytes());
        }
        for page in pages {
            let start = bytes.len();
            bytes.resize(start + window.page_size as usize, 0);
            self.data
                .read_exact_at(&mut bytes[start..], page * window.page_size)?;
        }
        bytes.extend_from_slice(redo);
        let checksum = checksum_of(&bytes[..ENTRY - 8], &bytes[ENTRY..]);
        bytes[ENTRY - 8..ENTRY].copy_from_slice(&checksum.to_le_bytes());
        bytes.resize(length, 0);
        Ok(bytes)
    }

    /// Says that the commit of the last entry is done.
    pub fn finish(&self, state: JournalState<'_>, transaction: usize) {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.is_flushed {
            // The commit is durable without the mark, which only tells when the journal is damaged.
            let _ = Stamp::write_flushed(&self.data, transaction as u64);
        }
        // All that LMDB had freed before this commit is saved.
        state.advance(window.offset, transaction as u64 - 1);
    }

    /// Takes the last entry back: its commit did not happen. The next one takes its place.
    pub fn cancel(&self, state: JournalState<'_>) {
        // The disk has failed already, or is full; what was written before stays as it is.
        let _ = self
            .file
            .write_all_at(&[0; ENTRY], state.offset())
            .and_then(|()| self.file.sync_data());
        self.window
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .generation = 0;
        state.set_in_flight(false);
    }
}

/// How both of LMDB's meta pages begin.
pub fn read_metas(data: &File, page_size: u64) -> io::Result<[[u8; META_BYTES]; 2]> {
    let mut metas = [[0; META_BYTES]; 2];
    for (slot, meta) in (0..).zip(&mut metas) {
        data.read_exact_at(meta, slot * page_size)?;
    }
    Ok(metas)
}

/// Opens the data file beside LMDB.
pub fn open_data(directory: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(directory.join(DATA))
        .map_err(|error| refused("cannot open", directory, error))
}

/// Makes the file at least so long; returns its length. Written, not a hole: a flush then finds its
/// blocks.
fn lengthen(file: &File, least: u64) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if length >= least {
        return Ok(length);
    }
    file.write_all_at(&vec![0; (least - length) as usize], length)?;
    file.sync_all()?;
    Ok(least)
}

fn random(directory: &Path) -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        refused(
            "cannot draw a number for",
            directory,
            io::Error::other(error),
        )
    })?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A failed write or flush of the journal.
fn write_failed(directory: &Path, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EIO) => Error::DiskFailed {
            path: directory.into(),
            source: error,
        },
        _ => refused("cannot write the journal of", directory, error),
    }
}
