//! The writer lock: a robust, process-shared mutex.
//!
//! A process that dies with it leaves it to the next. It goes to whoever is on a processor; a thread
//! that was passed over for a whole step makes others give way.

use std::cell::{Cell, RefCell};
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::super::os::ProcessMark;
use super::file::Queue;

/// How long a wait for the lock lasts before the caller is asked whether to go on, and before who
/// had the lock last gives way.
pub const STEP: Duration = Duration::from_millis(50);
/// How long others let one that was passed over have the lock first.
pub const COURTESY: Duration = Duration::from_millis(10);

/// Why the writer lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// The caller was told to stop waiting.
    Interrupted,
    /// This thread holds it already.
    Reentered,
    /// The caller forked when it was asked, and this is the child, which has the store to open.
    Forked,
    Io(io::Error),
}

thread_local! {
    /// Addresses of the headers whose lock this thread holds. A forked child maps the file anew, at
    /// another address, so what it inherits here means nothing to it.
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// The header whose lock this thread took last, and in which turn.
    static LAST_TURN: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
}

impl Queue {
    /// Takes the writer lock, asking `interrupted` between steps of at most 50 ms.
    pub fn lock(&self, interrupted: &dyn Fn() -> bool) -> Result<WriterLock<'_>, LockError> {
        let process = ProcessMark::here();
        self.refuse_if_held()?;
        self.give_way();
        let mut lock = self.try_lock()?;
        if lock.is_none() {
            lock = self.lock_within_a_step()?;
        }
        loop {
            if let Some(lock) = lock {
                return Ok(lock);
            }
            if interrupted() {
                return Err(LockError::Interrupted);
            }
            if process != ProcessMark::here() {
                return Err(LockError::Forked);
            }
            let _passed_over = self.pass_over();
            lock = self.lock_within_a_step()?;
        }
    }

    /// Takes the writer lock if nobody has it.
    pub fn try_lock(&self) -> Result<Option<WriterLock<'_>>, LockError> {
        self.refuse_if_held()?;
        // SAFETY: the mutex is initialised before the header's magic is, and mapped as long as
        // `self`.
        self.taken(unsafe { libc::pthread_mutex_trylock(self.header().mutex.get()) })
    }

    fn refuse_if_held(&self) -> Result<(), LockError> {
        match HELD.with_borrow(|held| held.contains(&self.address())) {
            true => Err(LockError::Reentered),
            false => Ok(()),
        }
    }

    /// Waits for the writer lock, at most one step.
    pub fn lock_within_a_step(&self) -> Result<Option<WriterLock<'_>>, LockError> {
        let deadline = realtime_in(STEP);
        // SAFETY: as in `try_lock`; `deadline` outlives the call.
        self.taken(unsafe { libc::pthread_mutex_timedlock(self.header().mutex.get(), &deadline) })
    }

    /// How often the lock was taken so far, wrapping.
    pub fn turns(&self) -> u32 {
        self.header().turns.load(Ordering::Relaxed)
    }

    /// Counts this thread among those that others give way to, until it is dropped.
    pub fn pass_over(&self) -> PassedOver<'_> {
        PassedOver::new(&self.header().passed_over)
    }

    /// Whether a thread waits that others give way to.
    pub fn is_anyone_passed_over(&self) -> bool {
        self.header().passed_over.load(Ordering::Relaxed) > 0
    }

    /// Nobody came, so the count is of the dead; who lives counts itself again.
    pub fn forget_passed_over(&self) {
        self.header().passed_over.store(0, Ordering::Relaxed);
    }

    /// Lets a thread have its turn that was passed over, where this one had the last turn.
    ///
    /// The mutex goes to whoever is on a processor, mostly to the one that has just let it go. That
    /// is well: handing it to each thread in turn would wait for the scheduler at every commit. But
    /// nobody shall be passed over for long.
    fn give_way(&self) {
        let (address, turn) = LAST_TURN.get();
        if address != self.address() {
            return;
        }
        let start = Instant::now();
        while self.is_anyone_passed_over() && self.turns() == turn {
            if start.elapsed() > COURTESY {
                return self.forget_passed_over();
            }
            std::thread::sleep(COURTESY / 100);
        }
    }

    /// The lock, where a call that tried to take the mutex did.
    fn taken(&self, code: i32) -> Result<Option<WriterLock<'_>>, LockError> {
        match code {
            0 => {}
            libc::EOWNERDEAD => {
                // What the lock guards is LMDB's, which is whole at any moment, and the slots, which
                // the next write settles.
                // SAFETY: this thread has just got the mutex, in its inconsistent state.
                unsafe { libc::pthread_mutex_consistent(self.header().mutex.get()) };
                // The dead owner may have committed without telling.
                self.count();
                self.wake();
            }
            libc::EBUSY | libc::ETIMEDOUT => return Ok(None),
            // A thread of another PID namespace has this thread's number.
            libc::EDEADLK => {
                std::thread::sleep(Duration::from_millis(1));
                return Ok(None);
            }
            code => return Err(LockError::Io(io::Error::from_raw_os_error(code))),
        }
        HELD.with_borrow_mut(|held| held.push(self.address()));
        let turn = self.header().turns.fetch_add(1, Ordering::Relaxed);
        LAST_TURN.set((self.address(), turn.wrapping_add(1)));
        Ok(Some(WriterLock {
            queue: self,
            thread_bound: PhantomData,
        }))
    }
}

/// A thread's place among those that were passed over.
pub struct PassedOver<'q>(&'q AtomicU32);

impl<'q> PassedOver<'q> {
    fn new(count: &'q AtomicU32) -> Self {
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

/// The writer lock, held. Dropping it hands it on.
pub struct WriterLock<'q> {
    queue: &'q Queue,
    /// A mutex is unlocked by the thread that locked it.
    thread_bound: PhantomData<*const ()>,
}

impl Drop for WriterLock<'_> {
    fn drop(&mut self) {
        let address = self.queue.address();
        // SAFETY: this thread holds the mutex since it was taken, and the mapping outlives `self`.
        unsafe { libc::pthread_mutex_unlock(self.queue.header().mutex.get()) };
        HELD.with_borrow_mut(|held| held.retain(|other| *other != address));
        self.queue.call_next();
    }
}

pub fn make_mutex(mutex: *mut libc::pthread_mutex_t) -> io::Result<()> {
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
