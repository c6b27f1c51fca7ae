//! Which threads of this process are inside the environment.
//!
//! Owns the open environment, and the count of transactions that this process has in it. LMDB may
//! be remapped or closed only while that count is zero, so whoever does either waits for the
//! threads inside, and keeps new ones out. A thread that is inside already goes in again without
//! waiting, for nothing that waits for it could end. Only `store` calls this.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::lmdb::{Environment, Tree};
use super::os::ProcessMark;

/// The trees of a store's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trees {
    pub meta: Tree,
    pub log: Tree,
    pub cached_status: Tree,
    pub times: Tree,
    /// The projection tables of both sets, in the order of `Schema::tables`.
    pub sets: [Vec<Tree>; 2],
}

/// An open environment and its trees.
pub struct Live {
    environment: Option<Environment>,
    pub trees: Trees,
    /// Tells one opening of the environment from the next.
    pub serial: u64,
    opened_by: ProcessMark,
}

impl Live {
    pub fn new(environment: Environment, trees: Trees) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            environment: Some(environment),
            trees,
            opened_by: ProcessMark::here(),
        }
    }

    pub fn environment(&self) -> &Environment {
        self.environment.as_ref().expect("open until dropped")
    }

    /// For a remap, while no transaction borrows it.
    pub fn environment_mut(&mut self) -> &mut Environment {
        self.environment.as_mut().expect("open until dropped")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A child that closed what it inherited would drop the locks of its own environment.
        if self.opened_by != ProcessMark::here()
            && let Some(environment) = self.environment.take()
        {
            environment.leak();
        }
    }
}

struct State {
    live: Option<Arc<Live>>,
    inside: usize,
    /// Someone waits for `inside` to be zero, or is alone with the environment.
    exclusive: bool,
}

/// Lets transactions in, or one thread alone.
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

thread_local! {
    /// Addresses of the gates that this thread is inside of, once for each transaction.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A thread inside already asked to be alone inside.
#[derive(Debug)]
pub struct NotAlone;

impl Gate {
    pub fn new(live: Live) -> Self {
        Self {
            state: Mutex::new(State {
                live: Some(Arc::new(live)),
                inside: 0,
                exclusive: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Whether this thread has a transaction in the environment.
    pub fn is_inside(&self) -> bool {
        INSIDE.with_borrow(|inside| inside.contains(&self.address()))
    }

    /// Goes in for one transaction; none if there is no environment and one has to be opened.
    pub fn enter(&self) -> Option<Inside<'_>> {
        let again = self.is_inside();
        let mut state = self.lock();
        while state.exclusive && !again {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let live = state.live.clone()?;
        state.inside += 1;
        INSIDE.with_borrow_mut(|inside| inside.push(self.address()));
        Some(Inside {
            gate: self,
            live: Some(live),
        })
    }

    /// Runs `work` while no transaction of this process is live.
    pub fn alone<R>(&self, work: impl FnOnce(&mut Option<Live>) -> R) -> Result<R, NotAlone> {
        if self.is_inside() {
            return Err(NotAlone);
        }
        let wait = |state| {
            self.changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut state = self.lock();
        while state.exclusive {
            state = wait(state);
        }
        state.exclusive = true;
        while state.inside > 0 {
            state = wait(state);
        }
        // The mutex stays locked, so a panic in `work` lets the others go on.
        state.exclusive = false;
        // Nobody inside means that no other reference to it is left.
        let mut live = state.live.take().and_then(Arc::into_inner);
        let result = work(&mut live);
        state.live = live.map(Arc::new);
        drop(state);
        self.changed.notify_all();
        Ok(result)
    }
}

/// A thread's stay inside, for one transaction.
pub struct Inside<'g> {
    gate: &'g Gate,
    live: Option<Arc<Live>>,
}

impl Inside<'_> {
    pub fn live(&self) -> &Arc<Live> {
        self.live.as_ref().expect("held until dropped")
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // The environment is let go before the count says so.
        self.live = None;
        let address = self.gate.address();
        INSIDE.with_borrow_mut(|inside| {
            if let Some(last) = inside.iter().rposition(|other| *other == address) {
                inside.remove(last);
            }
        });
        let mut state = self.gate.lock();
        state.inside -= 1;
        if state.inside == 0 && state.exclusive {
            drop(state);
            self.gate.changed.notify_all();
        }
    }
}
