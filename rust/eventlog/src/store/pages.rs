//! LMDB's data file, read as a file and not through its map.
//!
//! Owns the check that comes before LMDB maps anything: that the meta pages are LMDB's and that the
//! file reaches as far as they say. A read beyond the end of a mapped file is a SIGBUS, which no
//! error can follow; a `pread` just comes back short. Only `open` calls it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
/// Bytes of the header that every page begins with.
const PAGE_HEADER: usize = 16;
const META_FLAG: u16 = 0x08;
/// Bytes of a meta page that hold something.
const META_BYTES: usize = 152;

/// What the meta pages of a healthy file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub page_size: usize,
    pub map_size: u64,
    /// Number of the last page in use.
    pub last_page: u64,
    /// Root page of the tree of free pages.
    pub free_root: u64,
    /// Id of the last committed transaction.
    pub transaction: u64,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing was ever written.
    Empty,
    /// The head of a file that is long enough.
    Whole(Head),
    /// The first page is no meta page of LMDB's.
    NotLmdb,
    /// LMDB's, and damaged.
    Damaged(String),
}

/// Checks the meta pages, and the file's size against them.
pub fn look(file: &File) -> io::Result<Found> {
    // A commit may rewrite a meta page during the read: two readings that agree are one.
    let mut before = look_once(file)?;
    for _ in 0..100 {
        let after = look_once(file)?;
        if after == before {
            break;
        }
        before = after;
        std::thread::sleep(Duration::from_micros(100));
    }
    let Found::Whole(head) = before else {
        return Ok(before);
    };
    let pages = file.metadata()?.len() / head.page_size as u64;
    if pages > head.last_page {
        return Ok(Found::Whole(head));
    }
    Ok(Found::Damaged(format!(
        "data.mdb ends after {pages} pages of {}, and its last commit uses {}",
        head.page_size,
        head.last_page + 1,
    )))
}

fn look_once(file: &File) -> io::Result<Found> {
    if file.metadata()?.len() == 0 {
        return Ok(Found::Empty);
    }
    let Some(first) = read_meta(file, 0)? else {
        return Ok(Found::NotLmdb);
    };
    let damaged = |reason: &str| Ok(Found::Damaged(reason.into()));
    let (first, version) = first;
    if version != VERSION {
        return Ok(Found::Damaged(format!(
            "data.mdb has LMDB's data format {version}, and {VERSION} is known"
        )));
    }
    if !first.page_size.is_power_of_two() || !(512..=65536).contains(&first.page_size) {
        return damaged("the first meta page of data.mdb names an impossible page size");
    }
    let Some((second, _)) = read_meta(file, first.page_size as u64)? else {
        return damaged("the second meta page of data.mdb is garbage");
    };
    let newest = if second.transaction > first.transaction {
        second
    } else {
        first
    };
    if second.page_size != first.page_size
        || newest.last_page < 1
        || newest.last_page.saturating_mul(newest.page_size as u64) > newest.map_size.max(1 << 20)
        || (newest.free_root != u64::MAX && newest.free_root > newest.last_page)
    {
        return damaged("the meta pages of data.mdb contradict each other");
    }
    Ok(Found::Whole(newest))
}

/// Reads the meta page at `offset` and its version; none if it is not one.
fn read_meta(file: &File, offset: u64) -> io::Result<Option<(Head, u32)>> {
    let mut page = [0; META_BYTES];
    match file.read_exact_at(&mut page, offset) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let meta = &page[PAGE_HEADER..];
    let small = |at: usize| u32::from_ne_bytes(meta[at..at + 4].try_into().expect("four bytes"));
    let large = |at: usize| u64::from_ne_bytes(meta[at..at + 8].try_into().expect("eight bytes"));
    let flags = u16::from_ne_bytes(page[10..12].try_into().expect("two bytes"));
    if flags & META_FLAG == 0 || small(0) != MAGIC {
        return Ok(None);
    }
    // magic 0, version 4, address 8, map size 16, tree of free pages 24 (its first word is the page
    // size, its root at +40), main tree 72, last page 120, transaction 128.
    let head = Head {
        map_size: large(16),
        page_size: small(24) as usize,
        free_root: large(24 + 40),
        last_page: large(120),
        transaction: large(128),
    };
    Ok(Some((head, small(4))))
}
