//! What the store asks of the operating system below the standard library.
//!
//! Owns open-file-description locks, file system types, shared futexes and the cell that every
//! process has its own copy of. Nothing here knows what a store is. With `lmdb` and `queue/` it is
//! all of the crate with `unsafe` in it. Only `store` calls it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

/// How a lock is held: by many, or by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Shared,
    Exclusive,
}

fn lock_request(hold: Hold, byte: u32) -> libc::flock {
    // SAFETY: flock is plain data; zero is a valid value of each field.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = match hold {
        Hold::Shared => libc::F_RDLCK as libc::c_short,
        Hold::Exclusive => libc::F_WRLCK as libc::c_short,
    };
    request.l_whence = libc::SEEK_SET as libc::c_short;
    request.l_start = libc::off_t::from(byte);
    request.l_len = 1;
    request
}

fn fcntl_lock(file: &File, operation: libc::c_int, request: &mut libc::flock) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open for the call, and `request` is a valid flock.
        if unsafe { libc::fcntl(file.as_raw_fd(), operation, ptr::from_mut(request)) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Takes the first byte of `file` as an open-file-description lock, or says that another holds it.
///
/// The lock belongs to this opening of the file: it lasts until the last copy of the descriptor is
/// closed, whichever process holds it, and it conflicts within one process too.
pub fn try_lock(file: &File, hold: Hold) -> io::Result<bool> {
    try_lock_byte(file, 0, hold)
}

/// As [`try_lock`], of another byte, which the file need not have.
pub fn try_lock_byte(file: &File, byte: u32, hold: Hold) -> io::Result<bool> {
    match fcntl_lock(file, libc::F_OFD_SETLK, &mut lock_request(hold, byte)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// As [`try_lock`], and waits until the lock is free.
pub fn wait_lock(file: &File, hold: Hold) -> io::Result<()> {
    fcntl_lock(file, libc::F_OFD_SETLKW, &mut lock_request(hold, 0))
}

/// Lets a byte go that this opening has locked.
pub fn unlock_byte(file: &File, byte: u32) -> io::Result<()> {
    let mut request = lock_request(Hold::Exclusive, byte);
    request.l_type = libc::F_UNLCK as libc::c_short;
    fcntl_lock(file, libc::F_OFD_SETLK, &mut request)
}

/// How another opening of the file holds the lock, if one does.
pub fn held(file: &File) -> io::Result<Option<Hold>> {
    held_byte(file, 0)
}

/// As [`held`], of another byte.
pub fn held_byte(file: &File, byte: u32) -> io::Result<Option<Hold>> {
    let mut request = lock_request(Hold::Exclusive, byte);
    fcntl_lock(file, libc::F_OFD_GETLK, &mut request)?;
    Ok(match libc::c_int::from(request.l_type) {
        libc::F_UNLCK => None,
        libc::F_RDLCK => Some(Hold::Shared),
        _ => Some(Hold::Exclusive),
    })
}

/// Keeps a descriptor from programs that this process executes.
pub fn close_on_exec(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD changes a flag of a descriptor; an invalid one is an error, not more.
    match unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The magic number of the file system that holds `path`.
pub fn file_system_type(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statfs is plain data; zero is a valid value of each field.
    let mut result: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated and `result` a valid out-pointer for the call.
    match unsafe { libc::statfs(path.as_ptr(), &mut result) } {
        // The kernel's magic numbers are 32 bits wide; the field is a signed long on most targets.
        0 => Ok(result.f_type as u64 & 0xFFFF_FFFF),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a write failed because there is no room for it.
pub fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG)
    )
}

/// Bytes that an unprivileged process can still write to the file system that holds `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain data; zero is a valid value of each field.
    let mut result: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated and `result` a valid out-pointer for the call.
    match unsafe { libc::statvfs(path.as_ptr(), &mut result) } {
        0 => Ok(result.f_bavail as u64 * result.f_frsize as u64),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The largest file that this process may write.
pub fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a valid out-pointer; on failure it keeps "no limit".
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
    limit.rlim_cur
}

/// Sleeps while `word`, in memory that processes share, is `expected`; returns on a wake-up, a
/// signal or the timeout, and the caller looks again.
pub fn futex_wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().min(1 << 30) as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: `word` and `timeout` outlive the call; FUTEX_WAIT only reads them.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            ptr::from_ref(&timeout),
        )
    };
}

/// Wakes every thread of every process that sleeps on `word`.
pub fn futex_wake_all(word: &AtomicU32) {
    // SAFETY: `word` outlives the call; FUTEX_WAKE does not touch the memory.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            libc::c_int::MAX,
        )
    };
}

/// Ends this process with no chance to clean up.
#[cfg(debug_assertions)]
pub fn kill_self() {
    // SAFETY: a signal to this process; nothing of it goes on.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// Counts the forks between this process and the first of its line, as far as libc did them.
static FORKS: AtomicU32 = AtomicU32::new(0);
static COUNTS_FORKS: AtomicBool = AtomicBool::new(false);

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Which process this is. Two processes of one line differ in it, also where the kernel gives a
/// process id out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMark {
    process: u32,
    forks: u32,
}

impl ProcessMark {
    pub fn here() -> Self {
        Self {
            process: std::process::id(),
            forks: FORKS.load(Ordering::Relaxed),
        }
    }
}

/// A value that each process has of its own.
///
/// After a fork the child sees none of the parent's value: it makes a new one and leaks what it
/// inherited, whose locks another thread of the parent may have held at the fork.
pub struct PerProcess<T: 'static> {
    current: AtomicPtr<Marked<T>>,
}

struct Marked<T> {
    mark: ProcessMark,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub const fn new() -> Self {
        Self {
            current: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// This process's value, made by `make` at its first use. `make` may run twice when threads
    /// race; one result is kept.
    pub fn get(&'static self, make: impl FnOnce() -> T) -> &'static T {
        let mark = ProcessMark::here();
        let found = self.current.load(Ordering::Acquire);
        // SAFETY: a pointer that was stored here is never freed.
        if let Some(marked) = unsafe { found.as_ref() }
            && marked.mark == mark
        {
            return &marked.value;
        }
        if !COUNTS_FORKS.swap(true, Ordering::Relaxed) {
            // SAFETY: the handler only adds to an atomic, which is safe in a forked child. Where
            // registering fails, the process id alone tells child and parent apart.
            unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        }
        let made = Box::into_raw(Box::new(Marked {
            mark,
            value: make(),
        }));
        match self
            .current
            .compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire)
        {
            // SAFETY: `made` is leaked into the cell and never freed.
            Ok(_) => unsafe { &(*made).value },
            Err(winner) => {
                // SAFETY: `made` was not published, so this is its only owner; `winner` was stored
                // by another thread of this process, and is never freed.
                unsafe {
                    drop(Box::from_raw(made));
                    &(*winner).value
                }
            }
        }
    }
}
