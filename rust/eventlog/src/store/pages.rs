//! LMDB's data file, read as a file and not through its map.
//!
//! Owns the check that comes before LMDB maps anything: that the meta pages are LMDB's and that the
//! file reaches as far as they say. A read beyond the end of a mapped file is a SIGBUS, which no
//! error can follow; a `pread` just comes back short. Only `inspect` calls it.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
/// Bytes of the header that every page begins with.
const PAGE_HEADER: usize = 16;
const BRANCH_FLAG: u16 = 0x01;
const LEAF_FLAG: u16 = 0x02;
const META_FLAG: u16 = 0x08;
/// Of a node: its value is in pages of its own.
const BIG_FLAG: u16 = 0x01;
/// No map is larger than what a process can address.
const MOST_BYTES: u64 = 1 << 56;
/// The root of an empty tree.
const NO_PAGE: u64 = u64::MAX;
/// Bytes of a meta page that hold something.
const META_BYTES: usize = 152;

/// Bytes of both meta pages, where pages are as large as LMDB makes them.
pub const LARGEST_METAS: u64 = 2 * 32768;

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
    // A commit may rewrite a meta page, or a page of the tree, during the read: what two readings
    // agree on is so.
    let mut before = look_at_length(file)?;
    for _ in 0..100 {
        let after = look_at_length(file)?;
        if after == before {
            break;
        }
        before = after;
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(before)
}

fn look_at_length(file: &File) -> io::Result<Found> {
    let found = look_at_metas(file)?;
    let Found::Whole(head) = found else {
        return Ok(found);
    };
    let pages = file.metadata()?.len() / head.page_size as u64;
    if pages > head.last_page {
        return Ok(found);
    }
    // A page that was taken and freed in one commit is never written, so free pages may be absent
    // at the end.
    Ok(match free_pages(file, &head, pages)? {
        Some(free) if (pages..=head.last_page).all(|page| free.contains(&page)) => found,
        _ => Found::Damaged(format!(
            "data.mdb ends after {pages} pages of {}, and its last commit uses {}",
            head.page_size,
            head.last_page + 1,
        )),
    })
}

/// The free pages at or above `from`, as the tree of free pages lists them; none if a page of the
/// tree itself is absent or garbage.
fn free_pages(file: &File, head: &Head, from: u64) -> io::Result<Option<HashSet<u64>>> {
    let mut free = HashSet::new();
    let mut to_visit = Vec::new();
    if head.free_root != NO_PAGE {
        to_visit.push(head.free_root);
    }
    let mut visits = 0;
    while let Some(number) = to_visit.pop() {
        visits += 1;
        let page = read_page(file, head, number, head.page_size)?;
        let Some(page) = page.filter(|_| visits <= head.last_page) else {
            return Ok(None);
        };
        let Some(nodes) = nodes_of(&page) else {
            return Ok(None);
        };
        for node in nodes {
            match node {
                Node::Child(page) => to_visit.push(page),
                Node::Value(bytes) => collect(bytes, from, &mut free),
                Node::Overflow { page, length } => {
                    let Some(bytes) = read_page(file, head, page, PAGE_HEADER + length)? else {
                        return Ok(None);
                    };
                    collect(&bytes[PAGE_HEADER..], from, &mut free);
                }
            }
        }
    }
    Ok(Some(free))
}

/// Adds the page numbers of a list: their count, then they.
fn collect(list: &[u8], from: u64, free: &mut HashSet<u64>) {
    let mut numbers = list
        .chunks_exact(8)
        .map(|number| u64::from_ne_bytes(number.try_into().expect("eight bytes")));
    let count = numbers.next().unwrap_or(0);
    free.extend(
        numbers
            .take(count as usize)
            .filter(|number| *number >= from),
    );
}

fn read_page(file: &File, head: &Head, number: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
    let most = (head.last_page + 1) * head.page_size as u64;
    if number > head.last_page || length as u64 > most {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, number * head.page_size as u64) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// An entry of a page of the tree of free pages.
enum Node<'p> {
    Child(u64),
    Value(&'p [u8]),
    Overflow { page: u64, length: usize },
}

/// The entries of a page; none if it is no page of a tree.
fn nodes_of(page: &[u8]) -> Option<Vec<Node<'_>>> {
    let word = |at: usize| Some(u16::from_ne_bytes(page.get(at..at + 2)?.try_into().ok()?));
    let flags = word(10)?;
    let count = usize::from(word(12)?).checked_sub(PAGE_HEADER)? / 2;
    (0..count)
        .map(|index| {
            let at = usize::from(word(PAGE_HEADER + 2 * index)?);
            let low = u64::from(word(at)?) | u64::from(word(at + 2)?) << 16;
            let node_flags = word(at + 4)?;
            if flags & BRANCH_FLAG != 0 {
                return Some(Node::Child(low | u64::from(node_flags) << 32));
            }
            if flags & LEAF_FLAG == 0 {
                return None;
            }
            let data = at + 8 + usize::from(word(at + 6)?);
            if node_flags & BIG_FLAG != 0 {
                let page = page.get(data..data + 8)?.try_into().ok()?;
                return Some(Node::Overflow {
                    page: u64::from_ne_bytes(page),
                    length: low as usize,
                });
            }
            Some(Node::Value(page.get(data..data + low as usize)?))
        })
        .collect()
}

fn look_at_metas(file: &File) -> io::Result<Found> {
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
        || newest.map_size > MOST_BYTES
        || newest.last_page > MOST_BYTES / newest.page_size as u64
        || newest.last_page < 1
        || newest.last_page.saturating_mul(newest.page_size as u64) > newest.map_size.max(1 << 20)
        || (newest.free_root != NO_PAGE && newest.free_root > newest.last_page)
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
