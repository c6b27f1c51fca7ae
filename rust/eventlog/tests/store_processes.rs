//! Many threads and processes on one store: forks, deaths, the writer lock, wake-ups.

mod store_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use eventlog::error::Error;
use eventlog::store::{OpenOptions, Outcome, Store};
use store_support::{
    Player, append, creating, get, listen, never, new_store, new_store_with, put, role, rows, tell,
};

/// Mappings of a data file in this process.
fn maps(directory: &std::path::Path) -> usize {
    let data = directory.canonicalize().unwrap().join("data.mdb");
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter(|line| line.ends_with(data.to_str().unwrap()))
        .count()
}

fn monotonic() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid out-pointer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[test]
fn handles_of_one_process_share_one_environment() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    let link = parent.path().join("link");
    std::os::unix::fs::symlink(&directory, &link).unwrap();
    let open = |path| Store::open(path, &store_support::SCHEMA, &creating()).unwrap();
    let (first, second) = (open(&directory), open(&link));
    assert_eq!(maps(&directory), 1);
    put(&first, b"key", b"value").unwrap();
    assert_eq!(
        get(&second, b"key").unwrap().as_deref(),
        Some(&b"value"[..])
    );
    first.close();
    assert_eq!(maps(&directory), 1, "the second has a claim still");
    drop(second);
    assert_eq!(maps(&directory), 0, "the last claim closes");
    assert!(
        get(&first, b"key").unwrap().is_some(),
        "a call after closing opens"
    );
}

#[test]
fn threads_that_open_and_close_lose_no_commit_and_no_lock() {
    const THREADS: u64 = 4;
    const COMMITS: u64 = 40;
    let (directory, store) = new_store();
    drop(store);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..COMMITS {
                    let store =
                        Store::open(directory.path(), &store_support::SCHEMA, &creating()).unwrap();
                    append(&store, b"row").unwrap();
                }
            });
        }
    });
    assert_eq!(maps(directory.path()), 0);
    let store = Store::open(directory.path(), &store_support::SCHEMA, &creating()).unwrap();
    assert_eq!(rows(&store).unwrap().len() as u64, THREADS * COMMITS);
}

#[test]
fn processes_that_write_at_once_lose_no_commit_and_leave_no_gap() {
    const TEST: &str = "processes_that_write_at_once_lose_no_commit_and_leave_no_gap";
    const PROCESSES: usize = 8;
    const COMMITS: usize = 50;
    if let Some((_, directory)) = role() {
        let store =
            Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default()).unwrap();
        tell("ready");
        assert!(listen());
        for _ in 0..COMMITS {
            tell(append(&store, &std::process::id().to_be_bytes()).unwrap());
        }
        return;
    }
    let (directory, store) = new_store();
    let mut writers: Vec<_> = (0..PROCESSES)
        .map(|_| Player::start(TEST, "writer", directory.path()))
        .collect();
    for writer in &mut writers {
        writer.hear();
    }
    let start = Instant::now();
    for writer in &mut writers {
        writer.say("go");
    }
    let mut told: Vec<u64> = writers
        .into_iter()
        .flat_map(Player::end)
        .map(|line| line.parse().unwrap())
        .collect();
    let each = start.elapsed() / (PROCESSES * COMMITS) as u32;
    println!("{PROCESSES} processes: {each:?} a durable commit");
    told.sort_unstable();
    let expected: Vec<_> = (1..=(PROCESSES * COMMITS) as u64).collect();
    assert_eq!(told, expected);
    let stored = rows(&store).unwrap();
    assert!(
        stored
            .iter()
            .map(|(key, _)| key.clone())
            .eq(expected.iter().map(|key| key.to_be_bytes().to_vec()))
    );
}

#[test]
fn a_forked_child_reads_and_writes_at_once_while_the_parent_commits_and_reads() {
    const TEST: &str = "a_forked_child_reads_and_writes_at_once_while_the_parent_commits_and_reads";
    const FORKS: u64 = 40;
    // In a process of its own: other tests' threads shall not take part in the forks.
    let Some((_, directory)) = role() else {
        let (directory, store) = new_store();
        store.close();
        let told = Player::start(TEST, "parent", directory.path()).end();
        println!("slowest child: {} us to its first commit", told[0]);
        return;
    };
    let store = Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default()).unwrap();
    let stop = AtomicBool::new(false);
    let commits = AtomicU64::new(0);
    let mut slowest = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                append(&store, b"parent").unwrap();
                commits.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    store.read(|snapshot| Ok(snapshot.meta().epoch)).unwrap();
                }
            });
        }
        for fork in 0..FORKS {
            thread::sleep(Duration::from_micros(fork * 37));
            // SAFETY: the child runs on alone, and leaves by _exit.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: ends a child that hangs.
                unsafe { libc::alarm(20) };
                let work = || {
                    let start = Instant::now();
                    let before = rows(&store).unwrap().len() as u64;
                    let number = append(&store, b"child").unwrap();
                    let took = start.elapsed().as_micros();
                    assert!(number > before);
                    // A grandchild, too, and a thread of the child.
                    // SAFETY: as above.
                    let grandchild = unsafe { libc::fork() };
                    if grandchild == 0 {
                        let fine = append(&store, b"grandchild").is_ok();
                        // SAFETY: ends this process.
                        unsafe { libc::_exit(i32::from(!fine)) };
                    }
                    thread::scope(|scope| {
                        scope.spawn(|| append(&store, b"thread").unwrap()).join()
                    })
                    .unwrap();
                    let mut status = 0;
                    // SAFETY: waits for the process forked above.
                    unsafe { libc::waitpid(grandchild, &mut status, 0) };
                    assert_eq!(status, 0, "the grandchild");
                    std::fs::write(directory.join(format!("took-{fork}")), took.to_string())
                        .unwrap();
                };
                let fine = catch_unwind(AssertUnwindSafe(work)).is_ok();
                // SAFETY: ends the child.
                unsafe { libc::_exit(i32::from(!fine)) };
            }
            let mut status = 0;
            // SAFETY: waits for the process forked above.
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0, "fork {fork}");
            let took = std::fs::read_to_string(directory.join(format!("took-{fork}"))).unwrap();
            slowest = slowest.max(took.parse::<u64>().unwrap());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let stored = rows(&store).unwrap();
    assert_eq!(
        stored.len() as u64,
        commits.load(Ordering::Relaxed) + 3 * FORKS
    );
    tell(slowest);
}

#[test]
fn a_killed_writer_leaves_the_lock_to_the_next_at_once() {
    const TEST: &str = "a_killed_writer_leaves_the_lock_to_the_next_at_once";
    if let Some((_, directory)) = role() {
        let store =
            Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default()).unwrap();
        return store
            .write(&never, |transaction| {
                transaction.put(transaction.trees().log, b"never", b"seen")?;
                tell("inside");
                listen();
                Ok(Outcome::Nothing(()))
            })
            .unwrap();
    }
    let (directory, store) = new_store();
    for round in 0..3 {
        let mut holder = Player::start(TEST, "holder", directory.path());
        holder.hear();
        let asked = AtomicU64::new(0);
        let error = store.write(&|| asked.fetch_add(1, Ordering::Relaxed) == 2, |_| {
            Ok(Outcome::Commit(()))
        });
        assert!(matches!(error, Err(Error::Interrupted)), "{error:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                append(&store, b"row").unwrap();
                Instant::now()
            });
            thread::sleep(Duration::from_millis(120));
            assert!(!waiter.is_finished());
            let killed = Instant::now();
            holder.kill();
            let waited = waiter.join().unwrap().duration_since(killed);
            println!("round {round}: {waited:?} from the kill to the next commit");
            assert!(waited < Duration::from_secs(5));
        });
        assert_eq!(get(&store, b"never").unwrap(), None);
    }
    assert_eq!(rows(&store).unwrap().len(), 3);
}

#[test]
fn a_writer_in_a_loop_lets_others_have_their_turn() {
    const TEST: &str = "a_writer_in_a_loop_lets_others_have_their_turn";
    const ROUNDS: usize = 30;
    if let Some((_, directory)) = role() {
        let store =
            Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default()).unwrap();
        let stop = AtomicBool::new(false);
        tell("ready");
        thread::scope(|scope| {
            scope.spawn(|| {
                listen();
                stop.store(true, Ordering::Relaxed);
            });
            while !stop.load(Ordering::Relaxed) {
                append(&store, b"loop").unwrap();
            }
        });
        return;
    }
    let (directory, store) = new_store();
    let mut looping = Player::start(TEST, "looping", directory.path());
    looping.hear();
    let before = store.commit_word();
    let start = Instant::now();
    let mut waits: Vec<_> = (0..ROUNDS)
        .map(|_| {
            thread::sleep(Duration::from_millis(2));
            let start = Instant::now();
            append(&store, b"turn").unwrap();
            start.elapsed()
        })
        .collect();
    let each = start.elapsed() / (store.commit_word() - before);
    looping.say("stop");
    looping.end();
    waits.sort();
    println!(
        "beside a loop of commits of {each:?}: median {:?}, worst {:?}",
        waits[ROUNDS / 2],
        waits[ROUNDS - 1]
    );
    assert!(waits[ROUNDS / 2] < Duration::from_secs(1));
}

#[test]
fn a_write_inside_a_transaction_is_an_error_and_a_read_inside_one_is_not() {
    let (_directory, store) = new_store();
    put(&store, b"key", b"before").unwrap();
    store
        .write(&never, |transaction| {
            transaction.put(transaction.trees().log, b"key", b"after")?;
            let error = put(&store, b"key", b"deadlock").unwrap_err();
            assert!(matches!(error, Error::Reentered { .. }), "{error:?}");
            assert_eq!(
                get(&store, b"key").unwrap().as_deref(),
                Some(&b"before"[..])
            );
            let error = store.resize(2 << 40).unwrap_err();
            assert!(matches!(error, Error::Reentered { .. }), "{error:?}");
            Ok(Outcome::Commit(()))
        })
        .unwrap();
    let inside_a_read = store.read(|_| put(&store, b"key", b"deadlock"));
    assert!(matches!(inside_a_read, Err(Error::Reentered { .. })));
    assert_eq!(get(&store, b"key").unwrap().as_deref(), Some(&b"after"[..]));
}

#[test]
fn a_write_that_fails_or_panics_stores_nothing_and_frees_the_lock() {
    let (_directory, store) = new_store();
    let failed: Result<(), _> = store.write(&never, |transaction| {
        transaction.put(transaction.trees().log, b"key", b"value")?;
        Err(Error::Refused("no".into()))
    });
    assert!(matches!(failed, Err(Error::Refused(_))));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.write(&never, |transaction| -> Result<Outcome<()>, Error> {
            transaction.put(transaction.trees().log, b"key", b"value")?;
            panic!("in the work");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(rows(&store).unwrap(), []);
    thread::scope(|scope| scope.spawn(|| put(&store, b"key", b"value")).join())
        .unwrap()
        .unwrap();
}

#[test]
fn a_commit_is_told_and_what_stores_nothing_is_not() {
    let (_directory, store) = new_store();
    let word = store.commit_word();
    store.write(&never, |_| Ok(Outcome::Nothing(()))).unwrap();
    let side = |transaction: &mut eventlog::store::Transaction<'_>| {
        transaction.put(transaction.trees().cached_status, b"key", b"value")?;
        Ok(Outcome::Commit(()))
    };
    store.write_relaxed(&never, side).unwrap();
    assert_eq!(store.commit_word(), word);
    let start = Instant::now();
    assert_eq!(store.wait_for_commit(word, Duration::from_millis(60)), word);
    assert!(start.elapsed() >= Duration::from_millis(60));
    put(&store, b"key", b"value").unwrap();
    assert_eq!(
        store.wait_for_commit(word, Duration::from_secs(60)),
        word + 1
    );
}

#[test]
fn a_waiter_of_another_process_wakes_with_the_commit() {
    const TEST: &str = "a_waiter_of_another_process_wakes_with_the_commit";
    const ROUNDS: usize = 60;
    if let Some((_, directory)) = role() {
        let store =
            Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default()).unwrap();
        let mut seen = store.commit_word();
        tell("ready");
        for _ in 0..ROUNDS {
            seen = store.wait_for_commit(seen, Duration::from_secs(20));
            let woken = monotonic();
            let rows = rows(&store).unwrap().len();
            tell(format!("{woken} {rows}"));
        }
        return;
    }
    let (directory, store) = new_store();
    let mut waiter = Player::start(TEST, "waiter", directory.path());
    waiter.hear();
    let mut latencies = Vec::new();
    for round in 1..=ROUNDS {
        thread::sleep(Duration::from_millis(3));
        append(&store, b"row").unwrap();
        let committed = monotonic();
        let told = waiter.hear();
        let (woken, rows) = told.split_once(' ').unwrap();
        assert_eq!(
            rows.parse::<usize>().unwrap(),
            round,
            "it sees what woke it"
        );
        latencies.push(woken.parse::<i64>().unwrap() - committed as i64);
    }
    waiter.end();
    latencies.sort_unstable();
    let at = |part: usize| latencies[ROUNDS * part / 100] / 1000;
    println!(
        "from the return of a commit to the wake-up: median {} us, 90 % {} us, worst {} us",
        at(50),
        at(90),
        latencies[ROUNDS - 1] / 1000
    );
    assert!(at(50) < 50_000);
}

#[test]
fn readers_beyond_the_slots_are_refused_and_the_dead_make_room() {
    const TEST: &str = "readers_beyond_the_slots_are_refused_and_the_dead_make_room";
    const SLOTS: u32 = 3;
    if let Some((_, directory)) = role() {
        let store =
            Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default()).unwrap();
        return store
            .read(|_| {
                tell("inside");
                listen();
                Ok(())
            })
            .unwrap();
    }
    let (directory, store) = new_store_with(&OpenOptions {
        max_readers: SLOTS,
        ..creating()
    });
    put(&store, b"key", b"value").unwrap();
    fn nested(store: &Store, depth: u32) -> Result<(), Error> {
        store.read(|_| match depth {
            0 => Ok(()),
            _ => nested(store, depth - 1),
        })
    }
    nested(&store, SLOTS - 1).unwrap();
    let error = nested(&store, SLOTS).unwrap_err();
    assert!(
        matches!(
            error,
            Error::ReadersFull {
                max_readers: SLOTS,
                ..
            }
        ),
        "{error:?}"
    );
    // A write takes no slot.
    put(&store, b"key", b"next").unwrap();
    let readers: Vec<_> = (0..SLOTS)
        .map(|_| {
            let mut reader = Player::start(TEST, "reader", directory.path());
            reader.hear();
            reader
        })
        .collect();
    assert!(matches!(
        get(&store, b"key"),
        Err(Error::ReadersFull { .. })
    ));
    for reader in readers {
        reader.kill();
    }
    assert!(get(&store, b"key").unwrap().is_some());
    nested(&store, SLOTS - 1).unwrap();
}

#[test]
fn a_process_that_executes_another_program_leaves_it_no_file_of_the_store() {
    let (directory, _store) = new_store();
    let output = std::process::Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(
        !listed.contains(directory.path().to_str().unwrap()),
        "{listed}"
    );
}

#[test]
fn closing_one_handle_keeps_the_locks_of_the_others() {
    const TEST: &str = "closing_one_handle_keeps_the_locks_of_the_others";
    if let Some((_, directory)) = role() {
        // LMDB marks a live process by a lock on the byte of its process id.
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(directory.join("lock.mdb"))
            .unwrap();
        // SAFETY: flock is plain data; zero is a valid value of each field.
        let mut request: libc::flock = unsafe { std::mem::zeroed() };
        request.l_type = libc::F_WRLCK as libc::c_short;
        // SAFETY: asks for this process's parent.
        request.l_start = i64::from(unsafe { libc::getppid() });
        request.l_len = 1;
        // SAFETY: the descriptor is open, and `request` valid for the call.
        let code = unsafe {
            libc::fcntl(
                std::os::fd::AsRawFd::as_raw_fd(&file),
                libc::F_GETLK,
                &mut request,
            )
        };
        assert_eq!(code, 0);
        return tell(request.l_type != libc::F_UNLCK as libc::c_short);
    }
    let (directory, shared) = new_store();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    get(&shared, b"key").unwrap();
                    shared.wait_for_commit(shared.commit_word(), Duration::from_micros(50));
                }
            });
        }
        for round in 0..20 {
            for _ in 0..20 {
                shared.close();
            }
            put(&shared, b"key", b"value").unwrap();
            if round % 4 == 0 {
                let kept =
                    Store::open(directory.path(), &store_support::SCHEMA, &creating()).unwrap();
                shared.close();
                kept.read(|_| {
                    shared.close();
                    let probe = Player::start(TEST, "probe", directory.path());
                    assert_eq!(probe.end(), ["true"]);
                    Ok(())
                })
                .unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    shared.close();
    assert_eq!(maps(directory.path()), 0);
}

#[test]
fn killing_writers_at_any_moment_loses_no_commit_that_was_told() {
    const TEST: &str = "killing_writers_at_any_moment_loses_no_commit_that_was_told";
    const KILLS: u64 = 30;
    if let Some((_, directory)) = role() {
        let store =
            Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default()).unwrap();
        loop {
            tell(append(&store, &std::process::id().to_be_bytes()).unwrap());
        }
    }
    let (directory, store) = new_store();
    let mut bystander = Player::start(TEST, "writer", directory.path());
    let mut told = Vec::new();
    for round in 0..KILLS {
        let mut writer = Player::start(TEST, "writer", directory.path());
        told.push(writer.hear());
        thread::sleep(Duration::from_micros(round * 331 % 3000));
        told.extend(writer.kill());
        told.push(bystander.hear());
    }
    told.extend(bystander.kill());
    append(&store, b"last").unwrap();
    let stored = rows(&store).unwrap();
    let keys = stored.iter().map(|(key, _)| key.clone());
    assert!(keys.eq((1..=stored.len() as u64).map(|key| key.to_be_bytes().to_vec())));
    let mut numbers: Vec<u64> = told.iter().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    let count = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "no number was given twice");
    assert!(numbers.len() as u64 > 2 * KILLS);
    assert!(*numbers.last().unwrap() < stored.len() as u64);
}
