//! Pages that were free in the journal's base, as its processes tell each other.
//!
//! Nothing that undoing leads back to is in them, so the journal does not keep them. Owns the set and its
//! bytes behind the journal's entries. Those say what a page may be spared, and no more: where they are
//! absent, cut or not of this base, all pages are kept. So they need no flush, and recovery never reads
//! them. Only `journal` calls this.

/// Bytes that the list may take: more pages than commits take while the longest journal fills.
pub const ROOM: u64 = 32 << 10;
/// Bytes before the list: nonce, length, checksum.
const HEAD: usize = 16;

/// A set of pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FreePages {
    /// First and last page of each run, ascending; no two runs touch.
    runs: Vec<(u64, u64)>,
}

impl FreePages {
    /// Those pages, in any order.
    pub fn of(pages: &[u64]) -> Self {
        let mut pages = pages.to_vec();
        pages.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for page in pages {
            match runs.last_mut() {
                Some((_, last)) if page <= *last + 1 => *last = page,
                _ => runs.push((page, page)),
            }
        }
        Self { runs }
    }

    /// O(log runs).
    pub fn contains(&self, page: u64) -> bool {
        let after = self.runs.partition_point(|(first, _)| *first <= page);
        after > 0 && page <= self.runs[after - 1].1
    }

    /// The bytes of as many of these pages as there is room for, the first ones first.
    pub fn encode(pages: &[u64], nonce: u64) -> Vec<u8> {
        let mut count = pages.len();
        loop {
            let list = Self::of(&pages[..count]).list();
            if HEAD + list.len() <= ROOM as usize {
                let mut bytes = Vec::with_capacity(HEAD + list.len());
                bytes.extend_from_slice(&nonce.to_le_bytes());
                bytes.extend_from_slice(&(list.len() as u32).to_le_bytes());
                bytes.extend_from_slice(&checksum(&bytes, &list).to_le_bytes());
                bytes.extend_from_slice(&list);
                return bytes;
            }
            count /= 2;
        }
    }

    /// The pages in these bytes; none where they are not whole, or of another base.
    pub fn decode(bytes: &[u8], nonce: u64) -> Self {
        Self::read(bytes, nonce).unwrap_or_default()
    }

    fn read(bytes: &[u8], nonce: u64) -> Option<Self> {
        let (head, list) = bytes.split_at_checked(HEAD)?;
        let length = u32::from_le_bytes(head[8..12].try_into().ok()?);
        let list = list.get(..length as usize)?;
        if head[..8] != nonce.to_le_bytes()
            || head[12..] != checksum(&head[..12], list).to_le_bytes()
        {
            return None;
        }
        let mut rest = list;
        let mut runs = Vec::new();
        let mut next = 0_u64;
        while !rest.is_empty() {
            let first = next.checked_add(read_number(&mut rest)?)?;
            let last = first.checked_add(read_number(&mut rest)?)?;
            runs.push((first, last));
            next = last.checked_add(1)?;
        }
        Some(Self { runs })
    }

    /// For each run the pages between the last one and it, and how many follow its first.
    fn list(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut next = 0;
        for (first, last) in &self.runs {
            write_number(&mut bytes, first - next);
            write_number(&mut bytes, last - first);
            next = last + 1;
        }
        bytes
    }
}

fn checksum(head: &[u8], list: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), list)
}

/// LEB128: seven bits a byte, the lowest first.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{FreePages, HEAD, ROOM};

    #[test]
    fn a_set_has_its_pages_and_no_others() {
        let pages = [7, 9, 8, 300, 5, 70_000, 5];
        let free = FreePages::of(&pages);
        let found: Vec<_> = (0..70_100).filter(|page| free.contains(*page)).collect();
        assert_eq!(found, [5, 7, 8, 9, 300, 70_000]);
        assert!(!FreePages::default().contains(0));
    }

    #[test]
    fn its_bytes_give_it_back_to_whoever_has_the_nonce() {
        let pages = [1, 2, 3, 1 << 40, 90, 127, 128, 129];
        let bytes = FreePages::encode(&pages, 11);
        assert_eq!(FreePages::decode(&bytes, 11), FreePages::of(&pages));
        let none = FreePages::default();
        assert_eq!(FreePages::decode(&bytes, 12), none);
        for length in 0..bytes.len() {
            assert_eq!(FreePages::decode(&bytes[..length], 11), none);
            let mut flipped = bytes.clone();
            flipped[length] ^= 1;
            assert_eq!(FreePages::decode(&flipped, 11), none);
        }
    }

    #[test]
    fn where_there_is_no_room_for_all_the_first_ones_are_kept() {
        let pages: Vec<_> = (1..100_000).map(|number| number * 200).collect();
        let bytes = FreePages::encode(&pages, 1);
        assert!((ROOM as usize / 4..=ROOM as usize).contains(&bytes.len()));
        let free = FreePages::decode(&bytes, 1);
        let kept = pages.partition_point(|page| free.contains(*page));
        assert!(kept > (ROOM as usize - HEAD) / 8, "{kept}");
        assert!(!pages[kept..].iter().any(|page| free.contains(*page)));
    }
}
