//! The small file that every process of a store maps: writer lock and wake-up word.
//!
//! Owns `DIR/queue`: a header page, and room for a queue of commands behind it. The writer lock is a
//! robust process-shared mutex, so a process that dies with it leaves it to the next; the wake-up
//! word counts commits, and a futex on it wakes who waits for one. Each opener holds an
//! open-file-description lock on the file: who finds no other opener makes mutex and header anew,
//! since a power cut leaves a locked mutex behind that no kernel frees. Only `store` calls this.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::os::{self, Hold};

/// Name of the file in the store's directory.
pub const NAME: &str = "queue";
/// First bytes of the file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"dlmdbq\0\0");
const VERSION: u32 = 1;
/// Bytes of the file.
const SIZE: usize = 64 << 10;
/// How long a wait for the lock lasts before the caller is asked whether to go on, and before who
/// had the lock last gives way.
const STEP: Duration = Duration::from_millis(50);
/// How long a thread that had the lock last lets one that was passed over have it first.
const COURTESY: Duration = Duration::from_millis(10);
/// Mutexes of another size or another C library cannot be shared with.
const LAYOUT: u32 = (size_of::<libc::pthread_mutex_t>() as u32) << 8
    | (cfg!(target_env = "musl") as u32) << 1
    | cfg!(target_pointer_width = "64") as u32;

/// First page of the file.
#[repr(C)]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    layout: AtomicU32,
    /// 1 once the store's first commit is done; from then on a missing data file is damage.
    complete: AtomicU32,
    unused: [u8; 44],
    /// Counts commits, on a cache line of its own.
    word: AtomicU32,
    unused_beside_word: [u8; 60],
    /// How often the lock was taken.
    turns: AtomicU32,
    /// Threads that have waited a step for the lock, and wait on; too many where one was killed,
    /// until that shows.
    passed_over: AtomicU32,
    unused_beside_turns: [u8; 56],
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    journal: Journaled,
}

/// How far the journal is. Holders of the writer lock alone touch it.
#[derive(Default)]
#[repr(C)]
struct Journaled {
    /// 1 once an opener has looked whether there is something to recover.
    recovered: AtomicU32,
    /// 1 while the fields below hold; else the next writer makes a checkpoint first.
    ready: AtomicU32,
    /// 1 from a commit's entry to its end.
    in_flight: AtomicU32,
    /// 1 once the disk has lost what it was given.
    lost: AtomicU32,
    generation: AtomicU64,
    /// Where the next entry goes.
    offset: AtomicU64,
    /// The last transaction of whose freed pages the journal knows.
    noted: AtomicU64,
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

/// Why the writer lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// The caller was told to stop waiting.
    Interrupted,
    /// This thread holds it already.
    Reentered,
    Io(io::Error),
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
    /// Holds the shared lock that says "in use".
    file: File,
}

// SAFETY: the header lives in shared memory and is touched through atomics and the mutex alone.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

thread_local! {
    /// Addresses of the headers whose lock this thread holds. A forked child maps the file anew, at
    /// another address, so what it inherits here means nothing to it.
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// The header whose lock this thread took last, and in which turn.
    static LAST_TURN: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
}

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
            if file.metadata()?.len() >= SIZE as u64 {
                let queue = Self::map(file.try_clone()?)?;
                let header = queue.header();
                if header.magic.load(Ordering::Acquire) == MAGIC {
                    return match header.version.load(Ordering::Relaxed) {
                        VERSION if header.layout.load(Ordering::Relaxed) == LAYOUT => Ok(queue),
                        VERSION => Err(QueueError::Layout),
                        other => Err(QueueError::Version(other)),
                    };
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
        if length < SIZE as u64 {
            // Written zeros, not a hole: a page of a hole that finds the disk full at its first
            // touch is a SIGBUS.
            let zeros = vec![0; SIZE - length as usize];
            file.write_all_at(&zeros, length)?;
        }
        let queue = Self::map(file)?;
        let header = queue.header();
        // A half-made header is not taken for a whole one.
        header.magic.store(0, Ordering::Release);
        header.version.store(VERSION, Ordering::Relaxed);
        header.layout.store(LAYOUT, Ordering::Relaxed);
        make_mutex(header.mutex.get())?;
        for flag in [
            &header.journal.recovered,
            &header.journal.ready,
            &header.journal.in_flight,
            &header.journal.lost,
        ] {
            flag.store(0, Ordering::Relaxed);
        }
        header.magic.store(MAGIC, Ordering::Release);
        Ok(queue)
    }

    fn map(file: File) -> io::Result<Self> {
        // SAFETY: a new mapping of an open file, at an address that the kernel picks.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIZE,
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
        Ok(Self { header, file })
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping lives as long as `self`, is at least a page long and page-aligned;
        // every field is atomic, a mutex in a cell, or never read.
        unsafe { self.header.as_ref() }
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

    /// Takes the writer lock, asking `interrupted` between steps of at most 50 ms.
    pub fn lock(&self, interrupted: &dyn Fn() -> bool) -> Result<WriterLock<'_>, LockError> {
        let address = self.header.as_ptr() as usize;
        if HELD.with_borrow(|held| held.contains(&address)) {
            return Err(LockError::Reentered);
        }
        self.give_way();
        // SAFETY: the mutex is initialised before the header's magic is, and mapped as long as
        // `self`.
        let code = unsafe { libc::pthread_mutex_trylock(self.header().mutex.get()) };
        let mut taken = self.is_taken(code)? || self.is_taken(self.wait_for_mutex())?;
        while !taken {
            if interrupted() {
                return Err(LockError::Interrupted);
            }
            let _passed_over = PassedOver::new(self);
            taken = self.is_taken(self.wait_for_mutex())?;
        }
        HELD.with_borrow_mut(|held| held.push(address));
        let turn = self.header().turns.fetch_add(1, Ordering::Relaxed);
        LAST_TURN.set((address, turn.wrapping_add(1)));
        Ok(WriterLock {
            queue: self,
            thread_bound: PhantomData,
        })
    }

    /// Lets a thread have its turn that was passed over, where this one had the last turn.
    ///
    /// The mutex goes to whoever is on a processor, mostly to the one that has just let it go. That
    /// is well: handing it to each thread in turn would wait for the scheduler at every commit. But
    /// nobody shall be passed over for long.
    fn give_way(&self) {
        let header = self.header();
        let (address, turn) = LAST_TURN.get();
        if address != self.header.as_ptr() as usize {
            return;
        }
        let start = Instant::now();
        while header.passed_over.load(Ordering::Relaxed) > 0
            && header.turns.load(Ordering::Relaxed) == turn
        {
            if start.elapsed() > COURTESY {
                // Nobody came, so the count is of the dead; who lives counts itself again.
                header.passed_over.store(0, Ordering::Relaxed);
                return;
            }
            std::thread::sleep(COURTESY / 100);
        }
    }

    /// Waits for the mutex, at most one step.
    fn wait_for_mutex(&self) -> i32 {
        let deadline = realtime_in(STEP);
        // SAFETY: as in `lock`; `deadline` outlives the call.
        unsafe { libc::pthread_mutex_timedlock(self.header().mutex.get(), &deadline) }
    }

    /// Whether a call that tried to take the mutex did.
    fn is_taken(&self, code: i32) -> Result<bool, LockError> {
        match code {
            0 => Ok(true),
            libc::EOWNERDEAD => {
                // What the lock guards is LMDB's, which is whole at any moment.
                // SAFETY: this thread has just got the mutex, in its inconsistent state.
                unsafe { libc::pthread_mutex_consistent(self.header().mutex.get()) };
                // The dead owner may have committed without telling.
                self.count();
                self.wake();
                Ok(true)
            }
            libc::EBUSY | libc::ETIMEDOUT => Ok(false),
            // A thread of another PID namespace has this thread's number.
            libc::EDEADLK => {
                std::thread::sleep(Duration::from_millis(1));
                Ok(false)
            }
            code => Err(LockError::Io(io::Error::from_raw_os_error(code))),
        }
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

/// How far the journal is, shared by every process. Holders of the writer lock alone use it.
#[derive(Clone, Copy)]
pub struct JournalState<'q>(&'q Journaled);

impl JournalState<'_> {
    /// Whether the last writer left the journal in order.
    pub fn is_ready(self) -> bool {
        self.0.ready.load(Ordering::Relaxed) == 1 && self.0.in_flight.load(Ordering::Relaxed) == 0
    }

    pub fn set_ready(self, ready: bool) {
        self.0.ready.store(ready.into(), Ordering::Relaxed);
    }

    pub fn set_in_flight(self, in_flight: bool) {
        self.0.in_flight.store(in_flight.into(), Ordering::Relaxed);
    }

    pub fn is_lost(self) -> bool {
        self.0.lost.load(Ordering::Relaxed) == 1
    }

    pub fn set_lost(self) {
        self.0.lost.store(1, Ordering::Relaxed);
    }

    pub fn generation(self) -> u64 {
        self.0.generation.load(Ordering::Relaxed)
    }

    /// Where the next entry goes.
    pub fn offset(self) -> u64 {
        self.0.offset.load(Ordering::Relaxed)
    }

    /// The last transaction of whose freed pages the journal knows.
    pub fn noted(self) -> u64 {
        self.0.noted.load(Ordering::Relaxed)
    }

    /// Begins anew after a checkpoint.
    pub fn begin(self, generation: u64, offset: u64, noted: u64) {
        self.0.generation.store(generation, Ordering::Relaxed);
        self.advance(offset, noted);
        self.set_ready(true);
    }

    /// Goes on after a commit.
    pub fn advance(self, offset: u64, noted: u64) {
        self.0.offset.store(offset, Ordering::Relaxed);
        self.0.noted.store(noted, Ordering::Relaxed);
        self.set_in_flight(false);
    }
}

/// A thread's place among those that were passed over.
struct PassedOver<'q>(&'q AtomicU32);

impl<'q> PassedOver<'q> {
    fn new(queue: &'q Queue) -> Self {
        let count = &queue.header().passed_over;
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for PassedOver<'_> {
    fn drop(&mut self) {
        // Already zero where another thread took this one for dead.
        let less = |count: u32| count.checked_sub(1);
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this size, and nothing borrows it any more.
        unsafe { libc::munmap(self.header.as_ptr().cast(), SIZE) };
    }
}

/// The writer lock, held. Dropping it hands it on.
pub struct WriterLock<'q> {
    queue: &'q Queue,
    /// A mutex is unlocked by the thread that locked it.
    thread_bound: PhantomData<*const ()>,
}

impl Drop for WriterLock<'_> {
    fn drop(&mut self) {
        let address = self.queue.header.as_ptr() as usize;
        // SAFETY: this thread holds the mutex since `lock`, and the mapping outlives `self`.
        unsafe { libc::pthread_mutex_unlock(self.queue.header().mutex.get()) };
        HELD.with_borrow_mut(|held| held.retain(|other| *other != address));
    }
}

fn make_mutex(mutex: *mut libc::pthread_mutex_t) -> io::Result<()> {
    let checked = |code| match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    };
    // SAFETY: `mutex` points into the mapped header, and the caller is its only user; `attributes`
    // is initialised before it is used and destroyed after.
    unsafe {
        ptr::write_bytes(mutex, 0, 1);
        let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
        checked(libc::pthread_mutexattr_init(&mut attributes))?;
        let made = checked(libc::pthread_mutexattr_setpshared(
            &mut attributes,
            libc::PTHREAD_PROCESS_SHARED,
        ))
        .and_then(|()| {
            checked(libc::pthread_mutexattr_setrobust(
                &mut attributes,
                libc::PTHREAD_MUTEX_ROBUST,
            ))
        })
        .and_then(|()| {
            checked(libc::pthread_mutexattr_settype(
                &mut attributes,
                libc::PTHREAD_MUTEX_ERRORCHECK,
            ))
        })
        .and_then(|()| checked(libc::pthread_mutex_init(mutex, &attributes)));
        libc::pthread_mutexattr_destroy(&mut attributes);
        made
    }
}

/// The clock reading of pthread_mutex_timedlock, some time ahead.
fn realtime_in(wait: Duration) -> libc::timespec {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let at = now + wait;
    libc::timespec {
        tv_sec: at.as_secs() as libc::time_t,
        tv_nsec: at.subsec_nanos() as libc::c_long,
    }
}
