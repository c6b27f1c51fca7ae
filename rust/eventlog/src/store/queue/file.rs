//! The file: made, mapped, looked at.
//!
//! ```text
//! 0         4 KiB      12 KiB
//! | header  | slot     | slot     | ...      256 slots of 8 KiB, fewer where there is no room
//! ```
//!
//! Each opener holds an open-file-description lock on the file: who finds no other opener makes the
//! header and empties the slots, since a power cut leaves a locked mutex behind that no kernel frees.

use std::cell::UnsafeCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::os::{self, Hold};
use super::journal_state::{JournalState, Journaled};
use super::lock;
use super::slots::{Claims, Slot};

/// Name of the file in the store's directory.
pub const NAME: &str = "queue";
/// First bytes of the file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"dlmdbq\0\0");
const VERSION: u32 = 2;
/// Bytes of the header.
const HEAD: usize = 4096;
/// Slots of a file that finds room for them.
const SLOTS: u32 = 256;
/// Mutexes of another size or another C library cannot be shared with.
const LAYOUT: u32 = (size_of::<libc::pthread_mutex_t>() as u32) << 8
    | (cfg!(target_env = "musl") as u32) << 1
    | cfg!(target_pointer_width = "64") as u32;

/// First page of the file.
#[repr(C)]
pub struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    layout: AtomicU32,
    /// 1 once the store's first commit is done; from then on a missing data file is damage.
    complete: AtomicU32,
    /// How many slots there are.
    slots: AtomicU32,
    unused: [u8; 40],
    /// Counts commits, on a cache line of its own.
    word: AtomicU32,
    unused_beside_word: [u8; 60],
    /// How often the lock was taken.
    pub turns: AtomicU32,
    /// Threads that have waited a step for the lock, and wait on; too many where one was killed,
    /// until that shows.
    pub passed_over: AtomicU32,
    unused_beside_turns: [u8; 56],
    pub mutex: UnsafeCell<libc::pthread_mutex_t>,
    journal: Journaled,
    unused_beside_journal: [u8; 40],
    /// Slots that were ever used: those below this number.
    pub used: AtomicU32,
    /// 1 while slots may be with a leader.
    pub led: AtomicU32,
}

const _: () = assert!(size_of::<Header>() <= HEAD);

/// Bytes of a file with so many slots.
fn length_of(slots: u32) -> usize {
    HEAD + slots as usize * size_of::<Slot>()
}

/// Why the file could not be opened.
#[derive(Debug)]
pub enum QueueError {
    /// Another program's file has its name.
    Foreign,
    /// Another release made it, and has it open.
    Version(u32),
    /// A process with another C library has it open.
    Layout,
    Io(io::Error),
}

impl From<io::Error> for QueueError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the first bytes of a queue file say, read without mapping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is no file.
    Absent,
    /// Nobody has finished making it.
    Unfinished,
    /// Ours; `complete` says whether the store's creation finished.
    Ours { complete: bool },
    /// Another program's.
    Foreign,
}

/// Looks at a queue file without locking or changing it.
pub fn look(path: &Path) -> io::Result<Found> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(error) => return Err(error),
    };
    let mut head = [0; 20];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(if file.metadata()?.len() == 0 {
                Found::Unfinished
            } else {
                Found::Foreign
            });
        }
        Err(error) => return Err(error),
    }
    let magic = u64::from_ne_bytes(head[..8].try_into().expect("eight bytes"));
    let complete = u32::from_ne_bytes(head[16..].try_into().expect("four bytes"));
    Ok(match magic {
        0 => Found::Unfinished,
        MAGIC => Found::Ours {
            complete: complete == 1,
        },
        _ => Found::Foreign,
    })
}

/// The mapped file.
pub struct Queue {
    header: NonNull<Header>,
    /// How many slots are mapped behind the header.
    slots: u32,
    /// Holds the shared lock that says "in use", and those of this process's slots.
    pub(super) file: File,
    pub(super) claims: Mutex<Claims>,
}

// SAFETY: header and slots live in shared memory and are touched through atomics, the mutex, and the
// contents of slots as their states allow.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Opens the file, making it first if it is absent.
    pub fn open(path: &Path) -> Result<Self, QueueError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        loop {
            if os::try_lock(&file, Hold::Exclusive)? {
                let queue = Self::make(file.try_clone()?)?;
                // The shared lock replaces the exclusive one in a single step.
                os::wait_lock(&file, Hold::Shared)?;
                return Ok(queue);
            }
            os::wait_lock(&file, Hold::Shared)?;
            if file.metadata()?.len() >= HEAD as u64 {
                let queue = Self::map(file.try_clone()?, 0)?;
                let header = queue.header();
                if header.magic.load(Ordering::Acquire) == MAGIC {
                    match header.version.load(Ordering::Relaxed) {
                        VERSION if header.layout.load(Ordering::Relaxed) == LAYOUT => {}
                        VERSION => return Err(QueueError::Layout),
                        other => return Err(QueueError::Version(other)),
                    }
                    let slots = header.slots.load(Ordering::Relaxed).min(SLOTS);
                    return Ok(Self::map(file, slots)?);
                }
            }
            // Who made it died half-way; its lock is gone, so the next turn makes it.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Makes the header anew; the caller is the only opener.
    fn make(file: File) -> Result<Self, QueueError> {
        let length = file.metadata()?.len();
        if length > 0 {
            let mut magic = [0; 8];
            match file.read_exact_at(&mut magic, 0) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(QueueError::Foreign);
                }
                Err(error) => return Err(error.into()),
            }
            if !matches!(u64::from_ne_bytes(magic), 0 | MAGIC) {
                return Err(QueueError::Foreign);
            }
        }
        let slots = lengthen(&file, length)?;
        let queue = Self::map(file, slots)?;
        let header = queue.header();
        // A half-made header is not taken for a whole one.
        header.magic.store(0, Ordering::Release);
        header.version.store(VERSION, Ordering::Relaxed);
        header.layout.store(LAYOUT, Ordering::Relaxed);
        header.slots.store(slots, Ordering::Relaxed);
        lock::make_mutex(header.mutex.get())?;
        header.journal.reset();
        for counter in [&header.passed_over, &header.used, &header.led] {
            counter.store(0, Ordering::Relaxed);
        }
        // What a power cut or a copy left in them is nobody's.
        (0..slots).for_each(|index| queue.slot(index).steps().free());
        header.magic.store(MAGIC, Ordering::Release);
        Ok(queue)
    }

    fn map(file: File, slots: u32) -> io::Result<Self> {
        // SAFETY: a new mapping of an open file, at an address that the kernel picks.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length_of(slots),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let header = NonNull::new(address.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            header,
            slots,
            file,
            claims: Mutex::default(),
        })
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: the mapping lives as long as `self`, is at least a page long and page-aligned;
        // every field is atomic, a mutex in a cell, or never read.
        unsafe { self.header.as_ref() }
    }

    /// Where the header is mapped, by which threads know what they hold.
    pub(super) fn address(&self) -> usize {
        self.header.as_ptr() as usize
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    pub(super) fn slot(&self, index: u32) -> &Slot {
        assert!(index < self.slots, "no such slot");
        // SAFETY: so many slots are mapped behind the header, aligned as they ask; a slot is atomics
        // and a cell.
        unsafe {
            let first = self.header.as_ptr().cast::<u8>().add(HEAD).cast::<Slot>();
            &*first.add(index as usize)
        }
    }

    /// Whether the file is no longer in the directory, so that the next opener makes another.
    pub fn is_removed(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// How far the journal is, for a holder of the writer lock.
    pub fn journal(&self) -> JournalState<'_> {
        JournalState(&self.header().journal)
    }

    /// Whether what a power cut left has been recovered.
    pub fn is_recovered(&self) -> bool {
        self.header().journal.recovered.load(Ordering::Acquire) == 1
    }

    /// Says that it has been.
    pub fn set_recovered(&self) {
        self.header().journal.recovered.store(1, Ordering::Release);
    }

    /// Whether the store's creation has finished.
    pub fn is_complete(&self) -> bool {
        self.header().complete.load(Ordering::Acquire) == 1
    }

    /// Says that the store's first commit is done.
    pub fn set_complete(&self) {
        self.header().complete.store(1, Ordering::Release);
    }

    /// Number of commits announced so far, wrapping.
    pub fn word(&self) -> u32 {
        self.header().word.load(Ordering::Acquire)
    }

    /// Counts a commit; whoever waits for one is still to be woken.
    pub fn count(&self) {
        self.header().word.fetch_add(1, Ordering::AcqRel);
    }

    /// Wakes who waits for a commit.
    pub fn wake(&self) {
        os::futex_wake_all(&self.header().word);
    }

    /// Waits until the word is not `seen`, at most `timeout`; returns the word.
    pub fn wait(&self, seen: u32, timeout: Duration) -> u32 {
        let started = Instant::now();
        loop {
            let word = self.word();
            let Some(left) = timeout.checked_sub(started.elapsed()) else {
                return word;
            };
            if word != seen || left.is_zero() {
                return word;
            }
            os::futex_wait(&self.header().word, seen, left);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let length = length_of(self.slots);
        // SAFETY: the mapping was made by `map` with this size, and nothing borrows it any more.
        unsafe { libc::munmap(self.header.as_ptr().cast(), length) };
    }
}

/// Makes the file as long as it wants to be, or as there is room for; returns how many slots it has.
///
/// Written zeros, not a hole: a page of a hole that finds the disk full at its first touch is a SIGBUS.
fn lengthen(file: &File, mut length: u64) -> io::Result<u32> {
    if length < HEAD as u64 {
        file.write_all_at(&vec![0; HEAD - length as usize], length)?;
        length = HEAD as u64;
    }
    let wanted = length_of(SLOTS) as u64;
    if length < wanted {
        match file.write_all_at(&vec![0; (wanted - length) as usize], length) {
            Err(error) if os::is_no_room(&error) => {}
            written => written?,
        }
        length = file.metadata()?.len();
    }
    let slots = (length - HEAD as u64) / size_of::<Slot>() as u64;
    Ok(slots.min(u64::from(SLOTS)) as u32)
}
