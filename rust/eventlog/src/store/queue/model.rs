//! The steps of a slot under every interleaving, with up to three preemptions, of its owner and two leaders, the
//! first of which may die at any moment.
//!
//! The database is a list of commits, and a command's effect an entry in it; the writer lock is a word
//! that is tried, as the robust mutex is; sleeping on the slot's word is a futex that compares the word
//! and sleeps in one step.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU32, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use std::sync::atomic::Ordering;

use super::protocol::{State, Steps, Word};

impl Word for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn exchange(&self, from: u32, to: u32, order: Ordering) -> bool {
        self.compare_exchange(from, to, order, Ordering::Relaxed)
            .is_ok()
    }

    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// When the first leader dies: after how many of its steps; none if it lives.
type Death = Option<u32>;

struct Queue {
    word: AtomicU32,
    /// Command, and later reply and transaction. Loom tells where two touch it at once.
    content: UnsafeCell<(u32, u32)>,
    /// The writer lock.
    locked: AtomicBool,
    /// 1 while the slot may be with a leader. Holders of the lock touch it.
    led: AtomicU32,
    /// Commands that are committed, in order, none for a commit of no command. Holders of the lock touch
    /// it.
    commits: UnsafeCell<Vec<u32>>,
    sleeping: Mutex<()>,
    woken: Condvar,
}

const COMMAND: u32 = 7;
const OTHER: u32 = 9;

impl Queue {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU32::new(0),
            content: UnsafeCell::new((0, 0)),
            locked: AtomicBool::new(false),
            led: AtomicU32::new(0),
            commits: UnsafeCell::new(Vec::new()),
            sleeping: Mutex::new(()),
            woken: Condvar::new(),
        })
    }

    fn steps(&self) -> Steps<'_, AtomicU32> {
        Steps(&self.word)
    }

    fn try_lock(&self) -> bool {
        self.locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn unlock(&self) {
        self.locked.store(false, Ordering::Release);
        // As `call_next` does.
        fence(Ordering::SeqCst);
        if self.steps().call() {
            self.wake();
        }
    }

    fn write(&self, content: (u32, u32)) {
        // SAFETY: loom checks that nobody else has it.
        self.content.with_mut(|place| unsafe { *place = content });
    }

    fn read(&self) -> (u32, u32) {
        // SAFETY: as above.
        self.content.with(|place| unsafe { *place })
    }

    fn commit(&self, command: u32) {
        // SAFETY: as above; the caller holds the lock.
        self.commits
            .with_mut(|commits| unsafe { (*commits).push(command) });
    }

    fn committed(&self) -> Vec<u32> {
        // SAFETY: as above.
        self.commits.with(|commits| unsafe { (*commits).clone() })
    }

    fn wake(&self) {
        drop(self.sleeping.lock().unwrap());
        self.woken.notify_all();
    }

    /// Sleeps until it is woken; a death stands for the timeout of the real one.
    fn sleep(&self, state: State, someone_died: &AtomicBool) {
        let sleeping = self.sleeping.lock().unwrap();
        if self.word.load(Ordering::Relaxed) == state as u32
            && !someone_died.load(Ordering::Relaxed)
        {
            drop(self.woken.wait(sleeping).unwrap());
        }
    }

    /// What a holder of the lock does first.
    fn settle(&self) {
        if self.led.load(Ordering::Relaxed) == 0 {
            return;
        }
        let next = self.committed().len() as u32 + 1;
        if self.steps().settle(|| self.read().1 < next) {
            self.wake();
        }
        self.led.store(0, Ordering::Relaxed);
    }

    /// A write of a holder of the lock, which takes the slot's command along. False if it died; then the
    /// lock is free, as that of a dead process is, and nobody was told.
    fn lead(&self, own: u32, death: Death) -> bool {
        let mut left = death.unwrap_or(u32::MAX);
        let mut lives = || {
            left = left.wrapping_sub(1);
            left != 0
        };
        let die = || self.locked.store(false, Ordering::Release);
        self.settle();
        self.led.store(1, Ordering::Relaxed);
        let mut commands = own;
        let taken = self.steps().take();
        if !lives() {
            die();
            return false;
        }
        if taken {
            let (command, _) = self.read();
            assert_eq!(command, COMMAND, "a command is whole");
            commands += command;
            self.write((command + 1, self.committed().len() as u32 + 1));
            if !lives() {
                die();
                return false;
            }
            self.steps().prepare();
        }
        if !lives() {
            die();
            return false;
        }
        self.commit(commands);
        if !lives() {
            die();
            return false;
        }
        if taken {
            self.steps().publish();
        }
        if !lives() {
            die();
            return false;
        }
        self.led.store(0, Ordering::Relaxed);
        self.unlock();
        if taken {
            self.wake();
        }
        true
    }

    /// The owner's call, as `wait_for_turn` goes. A timeout is a look for the lock, once somebody died.
    fn submit(&self, someone_died: &AtomicBool) {
        if self.try_lock() {
            assert!(self.lead(COMMAND, None));
            return;
        }
        self.steps().begin();
        self.write((COMMAND, 0));
        self.steps().fill();
        loop {
            match self.steps().state() {
                State::Done => {
                    assert_eq!(self.read().0, COMMAND + 1, "the reply is whole");
                    return self.steps().free();
                }
                State::Called => self.steps().answer(),
                state @ (State::Filled | State::Taken | State::Prepared) => {
                    let looks = state == State::Filled || someone_died.load(Ordering::Acquire);
                    if looks && self.try_lock() {
                        if self.steps().withdraw() {
                            self.steps().free();
                            assert!(self.lead(COMMAND, None));
                            return;
                        }
                        self.settle();
                        self.unlock();
                    } else if someone_died.load(Ordering::Acquire) {
                        thread::yield_now();
                    } else {
                        self.sleep(state, someone_died);
                    }
                }
                State::Alone | State::Free | State::Filling => {
                    self.steps().free();
                    while !self.try_lock() {
                        thread::yield_now();
                    }
                    assert!(self.lead(COMMAND, None));
                    return;
                }
            }
        }
    }
}

fn times(commits: &[u32]) -> usize {
    let holds = |commit: &&u32| [COMMAND, COMMAND + OTHER].contains(commit);
    commits.iter().filter(holds).count()
}

/// One owner beside leaders, the first of which dies as told.
fn explore(death: Death, leaders: u32) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let queue = Queue::new();
        let died = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..leaders)
            .map(|number| {
                let (queue, died) = (Arc::clone(&queue), Arc::clone(&died));
                thread::spawn(move || {
                    if !queue.try_lock() {
                        return;
                    }
                    let death = death.filter(|_| number == 0);
                    if !queue.lead(OTHER, death) {
                        died.store(true, Ordering::Release);
                        queue.wake();
                    }
                })
            })
            .collect();
        queue.submit(&died);
        // The call has returned, so it is stored, once.
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(times(&queue.committed()), 1, "{:?}", queue.committed());
    });
}

#[test]
fn a_leader_and_an_owner_lose_no_call_and_store_a_command_once() {
    explore(None, 1);
}

#[test]
fn two_leaders_and_an_owner_store_a_command_once() {
    explore(None, 2);
}

#[test]
fn a_leader_that_dies_at_any_step_leaves_a_command_stored_once() {
    for step in 1..=5 {
        explore(Some(step), 1);
    }
}

#[test]
fn a_leader_beside_one_that_dies_at_any_step_stores_a_command_once() {
    for step in 1..=5 {
        explore(Some(step), 2);
    }
}

#[test]
fn an_heir_of_a_dead_owner_discards_what_it_left_or_waits_for_the_leader() {
    loom::model(|| {
        let queue = Queue::new();
        // The owner died after filling.
        queue.steps().begin();
        queue.write((COMMAND, 0));
        queue.steps().fill();
        let leader = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                assert!(queue.try_lock());
                assert!(queue.lead(OTHER, None));
            })
        };
        if queue.steps().inherit() {
            // From here on it is the heir's, and no leader touches it.
            queue.write((0, 0));
            assert_eq!(queue.steps().state(), State::Free);
        }
        leader.join().unwrap();
        assert!(times(&queue.committed()) <= 1);
    });
}
