//! Writers that come at once: one commits for all, and whoever dies takes nobody's command with it.

mod store_support;

use std::collections::HashMap;
use std::fs::{self, File};
use std::iter::zip;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use eventlog::error::Error;
use eventlog::store::{OpenOptions, Outcome, Schema, Store};
use store_support::{
    FAILING, KILLING, PANICKING, PATIENCE, Player, REFUSED, SCHEMA, Value, creating,
    hold_until_wait, listen, never, new_store, new_store_with, player, role, rows, states, submit,
    tell, wait_until, waiting,
};

fn open(directory: &Path) -> Store {
    Store::open(directory, &SCHEMA, &OpenOptions::default()).unwrap()
}

/// Values in the order of their numbers, which have no gap.
fn values(store: &Store) -> Vec<String> {
    let rows = rows(store).unwrap();
    let numbers = rows.iter().map(|(key, _)| key.clone());
    assert!(numbers.eq((1..=rows.len() as u64).map(|key| key.to_be_bytes().to_vec())));
    let values = rows.into_iter().map(|(_, value)| value);
    values
        .map(|value| String::from_utf8(value).unwrap())
        .collect()
}

#[test]
fn writers_that_wait_are_stored_in_one_commit() {
    const TEST: &str = "writers_that_wait_are_stored_in_one_commit";
    if let Some((role, directory)) = role() {
        let store = open(&directory);
        tell("ready");
        listen();
        return tell(submit(&store, role.as_bytes()).unwrap());
    }
    let (directory, store) = new_store();
    submit(&store, b"first").unwrap();
    let mut players: Vec<_> = (0..3)
        .map(|number| Player::start(TEST, &format!("process {number}"), directory.path()))
        .collect();
    players.iter_mut().for_each(|player| {
        player.hear();
    });
    let before = (store.info().unwrap().last_transaction, store.commit_word());
    let mut told =
        thread::scope(|scope| {
            let mut threads = Vec::new();
            hold_until_wait(&store, 7, || {
                players.iter_mut().for_each(|player| player.say("go"));
                for number in 0..4 {
                    let store = &store;
                    threads.push(scope.spawn(move || {
                        submit(store, format!("thread {number}").as_bytes()).unwrap()
                    }));
                }
            });
            let threads = threads.into_iter().map(|thread| thread.join().unwrap());
            threads.collect::<Vec<_>>()
        });
    told.extend(
        players
            .into_iter()
            .flat_map(Player::end)
            .map(|line| line.parse::<u64>().unwrap()),
    );
    told.sort_unstable();
    assert_eq!(told, (2..=8).collect::<Vec<_>>());
    // One that asks its caller in just that moment comes with the next.
    let commits = store.info().unwrap().last_transaction - before.0;
    assert!(commits <= 2, "{commits} commits of 7 commands");
    assert_eq!(store.commit_word() - before.1, commits as u32);
    let mut stored = values(&store);
    stored.sort();
    assert_eq!(stored.len(), 8);
    stored.dedup();
    assert_eq!(stored.len(), 8);
    assert!(states(directory.path()).iter().all(|state| *state == 0));
}

#[test]
fn a_refusal_or_a_failure_in_a_group_is_its_callers_alone() {
    for bad in [REFUSED, FAILING, PANICKING] {
        let (_directory, store) = new_store();
        let results = thread::scope(|scope| {
            let mut threads = Vec::new();
            hold_until_wait(&store, 6, || {
                for number in 0..6_u8 {
                    let store = &store;
                    threads.push(scope.spawn(move || match number {
                        2 | 4 => submit(store, &[bad, &[b'0' + number]].concat()),
                        _ => submit(store, &[b'0' + number]),
                    }));
                }
            });
            let threads = threads.into_iter().map(|thread| thread.join().unwrap());
            threads.collect::<Vec<_>>()
        });
        for (number, result) in results.iter().enumerate() {
            match (number, result) {
                (2 | 4, Err(Error::Refused(text))) if bad == REFUSED => {
                    assert!(
                        text.ends_with(&number.to_string()),
                        "its own refusal: {text}"
                    );
                }
                (2 | 4, Err(Error::Refused(text))) => assert_eq!(text, "a put failed"),
                (2 | 4, Ok(_)) if bad == PANICKING => {}
                (0 | 1 | 3 | 5, Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        let mut stored = values(&store);
        stored.sort();
        assert_eq!(stored[..4], ["0", "1", "3", "5"]);
        assert_eq!(stored.len(), if bad == PANICKING { 6 } else { 4 });
    }
}

#[test]
fn a_command_that_kills_its_leader_kills_no_second_one() {
    const TEST: &str = "a_command_that_kills_its_leader_kills_no_second_one";
    if let Some((role, directory)) = role() {
        let store = open(&directory);
        tell("ready");
        listen();
        let value = match role.as_str() {
            "killing" => KILLING,
            _ => role.as_bytes(),
        };
        return tell(submit(&store, value).unwrap());
    }
    let mut killed = 0;
    for _ in 0..30 {
        let (directory, store) = new_store();
        let mut players: Vec<_> = ["one", "two", "three", "killing"]
            .iter()
            .map(|role| (*role, Player::start(TEST, role, directory.path())))
            .collect();
        players.iter_mut().for_each(|(_, player)| {
            player.hear();
        });
        hold_until_wait(&store, 4, || {
            players.iter_mut().for_each(|(_, player)| player.say("go"));
        });
        let mut dead = Vec::new();
        let mut told = Vec::new();
        for (role, mut player) in players {
            let status = player.child.wait().unwrap();
            if !status.success() {
                dead.push(role);
            } else {
                told.push(role);
            }
        }
        assert!(dead.len() <= 1, "{dead:?}");
        assert!(!dead.contains(&"killing"), "it runs its own command");
        let mut stored = values(&store);
        stored.sort();
        told.sort_unstable();
        assert_eq!(stored, told, "what the dead leader wanted went with it");
        killed += dead.len();
        if killed == 2 {
            return;
        }
    }
    panic!("the command never came to another leader");
}

#[test]
fn a_caller_that_dies_while_it_waits_has_stored_nothing_and_its_slot_is_used_again() {
    const TEST: &str =
        "a_caller_that_dies_while_it_waits_has_stored_nothing_and_its_slot_is_used_again";
    if let Some((role, directory)) = role() {
        let store = open(&directory);
        tell("ready");
        submit(&store, role.as_bytes()).unwrap();
        return;
    }
    let (directory, store) = new_store();
    let alive = store
        .write(&never, |_| {
            for round in 0..4 {
                let mut player = Player::start(TEST, "dead", directory.path());
                player.hear();
                wait_until("it waits", || waiting(directory.path()) == 1);
                player.kill();
                assert_eq!(waiting(directory.path()), 1, "{round}");
            }
            let alive = Player::start(TEST, "alive", directory.path());
            wait_until("it has taken the slot", || {
                let states = states(directory.path());
                thread::sleep(Duration::from_millis(20));
                waiting(directory.path()) == 1 && states[1..].iter().all(|state| *state == 0)
            });
            thread::sleep(Duration::from_millis(100));
            Ok(Outcome::Nothing(alive))
        })
        .unwrap();
    alive.end();
    assert_eq!(values(&store), ["alive"]);
    // One more, whom nobody takes over from before the next leader comes.
    store
        .write(&never, |_| {
            let mut player = Player::start(TEST, "dead", directory.path());
            player.hear();
            wait_until("it waits", || waiting(directory.path()) == 1);
            player.kill();
            Ok(Outcome::Nothing(()))
        })
        .unwrap();
    submit(&store, b"next").unwrap();
    assert_eq!(values(&store), ["alive", "next"]);
    assert_eq!(waiting(directory.path()), 0);
}

#[test]
fn who_waits_in_a_slot_answers_and_may_withdraw() {
    let (directory, store) = new_store();
    let asked = AtomicU64::new(0);
    store
        .write(&never, |_| {
            let interrupted = || asked.fetch_add(1, Ordering::Relaxed) == 2;
            let result = thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let start = Instant::now();
                    (
                        store.submit(&interrupted, &Value(b"never")),
                        start.elapsed(),
                    )
                });
                waiter.join().unwrap()
            });
            assert!(matches!(result.0, Err(Error::Interrupted)), "{result:?}");
            assert!(result.1 >= Duration::from_millis(150), "{result:?}");
            Ok(Outcome::Nothing(()))
        })
        .unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert!(states(directory.path()).iter().all(|state| *state == 0));
    assert_eq!(submit(&store, b"value").unwrap(), 1);
    assert_eq!(values(&store), ["value"]);
    let inside = store.read(|_| submit(&store, b"deadlock"));
    assert!(matches!(inside, Err(Error::Reentered { .. })), "{inside:?}");
}

#[test]
fn a_child_forked_by_the_handler_of_a_signal_takes_none_of_its_parents_slots() {
    const TEST: &str = "a_child_forked_by_the_handler_of_a_signal_takes_none_of_its_parents_slots";
    if let Some((_, directory)) = role() {
        let store = open(&directory);
        tell("ready");
        listen();
        let child = AtomicU64::new(u64::MAX);
        let handler = || {
            if child.load(Ordering::Relaxed) == u64::MAX {
                // SAFETY: the child goes on alone with this call, and leaves by _exit.
                child.store(unsafe { libc::fork() } as u64, Ordering::Relaxed);
            }
            false
        };
        let stored = store.submit(&handler, &Value(b"value"));
        match child.load(Ordering::Relaxed) {
            // SAFETY: ends the child.
            0 => unsafe { libc::_exit(i32::from(stored.is_err())) },
            child => {
                let mut status = 0;
                // SAFETY: waits for the process forked above.
                unsafe { libc::waitpid(child as i32, &mut status, 0) };
                assert_eq!(status, 0, "the child");
                return tell(stored.unwrap());
            }
        }
    }
    let (directory, store) = new_store();
    let mut player = Player::start(TEST, "forking", directory.path());
    player.hear();
    store
        .write(&never, |_| {
            player.say("go");
            wait_until("the child waits, too", || waiting(directory.path()) == 2);
            Ok(Outcome::Nothing(()))
        })
        .unwrap();
    player.end();
    assert_eq!(values(&store), ["value", "value"], "each of them once");
}

#[test]
fn a_leader_passes_over_what_it_does_not_know() {
    const TEST: &str = "a_leader_passes_over_what_it_does_not_know";
    static OTHER_RELEASE: Schema = Schema {
        fold_version: SCHEMA_OF_BOTH.fold_version,
        ..SCHEMA_OF_BOTH
    };
    const SCHEMA_OF_BOTH: Schema = Schema {
        fold_version: 3,
        tables: &["runs", "tags"],
        redo: |_, _| panic!("nothing is redone"),
        serve: |_, _, _| panic!("it runs no command of the other release"),
        dialect: 2,
    };
    if let Some((role, directory)) = role() {
        let store = Store::open(&directory, &OTHER_RELEASE, &OpenOptions::default()).unwrap();
        tell("ready");
        listen();
        return tell(submit(&store, role.as_bytes()).unwrap());
    }
    let (directory, store) = new_store();
    submit(&store, b"first").unwrap();
    for _ in 0..5 {
        let mut other = Player::start(TEST, "other", directory.path());
        other.hear();
        thread::scope(|scope| {
            hold_until_wait(&store, 4, || {
                other.say("go");
                for _ in 0..3 {
                    scope.spawn(|| submit(&store, b"same").unwrap());
                }
            });
        });
        assert_eq!(other.end().len(), 1);
    }
    let stored = values(&store);
    assert_eq!(stored.iter().filter(|value| *value == "same").count(), 15);
    assert_eq!(stored.iter().filter(|value| *value == "other").count(), 5);
}

#[test]
fn a_waiting_writer_whose_queue_file_was_removed_is_refused() {
    let (directory, store) = new_store();
    submit(&store, b"first").unwrap();
    let results = thread::scope(|scope| {
        let mut threads = Vec::new();
        hold_until_wait(&store, 2, || {
            for _ in 0..2 {
                threads.push(scope.spawn(|| submit(&store, b"never")));
            }
            wait_until("they wait", || waiting(directory.path()) == 2);
            fs::copy(
                directory.path().join("queue"),
                directory.path().join("copy"),
            )
            .unwrap();
            fs::rename(
                directory.path().join("copy"),
                directory.path().join("queue"),
            )
            .unwrap();
        });
        let threads = threads.into_iter().map(|thread| thread.join().unwrap());
        threads.collect::<Vec<_>>()
    });
    for result in results {
        assert!(
            matches!(result, Err(Error::LockNotShared { .. })),
            "{result:?}"
        );
    }
    assert_eq!(values(&store), ["first"]);
}

#[test]
fn commands_larger_than_a_slot_and_more_of_them_than_a_commit_takes_are_all_stored() {
    let (_directory, store) = new_store();
    let before = store.info().unwrap().last_transaction;
    thread::scope(|scope| {
        hold_until_wait(&store, 30, || {
            for number in 0..34_u8 {
                let length = if number < 4 { 20_000 } else { 8_000 };
                let store = &store;
                scope.spawn(move || submit(store, &vec![b'A' + number; length]).unwrap());
            }
        });
    });
    assert_eq!(values(&store).len(), 34);
    // The journal of a small store takes 128 KiB of them at once.
    let commits = store.info().unwrap().last_transaction - before;
    assert!((3..34).contains(&commits), "{commits}");
}

#[test]
fn a_full_map_in_a_group_is_told_to_those_for_whom_there_is_no_room() {
    let (_directory, store) = new_store_with(&OpenOptions {
        map_size: Some(1 << 20),
        ..creating()
    });
    let length = 7000;
    let mut stored = 0;
    loop {
        let results = thread::scope(|scope| {
            let mut threads = Vec::new();
            hold_until_wait(&store, 8, || {
                for _ in 0..8 {
                    threads.push(scope.spawn(|| submit(&store, &vec![b'v'; length])));
                }
            });
            let threads = threads.into_iter().map(|thread| thread.join().unwrap());
            threads.collect::<Vec<_>>()
        });
        for result in &results {
            assert!(
                matches!(result, Ok(_) | Err(Error::MapFull { .. })),
                "{result:?}"
            );
        }
        let good = results.iter().filter(|result| result.is_ok()).count();
        stored += good;
        assert_eq!(values(&store).len(), stored);
        if good == 0 {
            break;
        }
    }
    assert!(stored > 30, "{stored}");
    store.resize(4 << 20).unwrap();
    submit(&store, &vec![b'v'; length]).unwrap();
}

/// A process that submits values until it is killed or told to stop, and tells a file what it stored.
struct Writer {
    child: Child,
    told: PathBuf,
}

impl Writer {
    fn start(test: &str, role: &str, directory: &Path, number: usize, fault: Option<&str>) -> Self {
        let told = directory.join(format!("told-{number}"));
        let mut command = player(&[], test, role, directory);
        command.stdout(File::create(&told).unwrap());
        if let Some(fault) = fault {
            command.env("STORE_FAULT", fault);
        }
        let child = command.spawn().unwrap();
        Self { child, told }
    }

    /// What it was told: values and the numbers that were given to them.
    fn told(&self) -> Vec<(String, u64)> {
        let text = fs::read_to_string(&self.told).unwrap();
        // Killed in the middle of a line, it has told nothing by it.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole
            .lines()
            .filter_map(|line| line.split_once("tell:")?.1.split_once('='));
        lines
            .map(|(value, number)| (value.into(), number.parse().unwrap()))
            .collect()
    }

    fn is_dead(&mut self) -> bool {
        match self.child.try_wait().unwrap() {
            None => false,
            Some(status) => {
                assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
                true
            }
        }
    }

    /// Lets it end what it is at, which has to go well.
    fn stop(&mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

/// Submits values in two threads until the input ends, and tells each with its number. Some are refused,
/// and with `failing` some make their group fail.
fn write_on(directory: &Path, failing: bool) {
    let store = open(directory);
    let name = std::process::id();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..2 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let value = format!("{name}-{thread}-{number}");
                    let bad = match number % 7 {
                        3 => REFUSED,
                        5 if failing => FAILING,
                        _ => {
                            let stored = submit(store, value.as_bytes()).unwrap();
                            tell(format!("{value}={stored}"));
                            continue;
                        }
                    };
                    let refused = submit(store, &[bad, value.as_bytes()].concat());
                    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
                }
            });
        }
        while listen() {}
        stop.store(true, Ordering::Relaxed);
    });
}

/// Every value that was told is there under its number, and nothing is there twice.
fn check<'w>(store: &Store, writers: impl Iterator<Item = &'w Writer>) {
    let stored = values(store);
    let mut places = HashMap::new();
    for (index, value) in stored.iter().enumerate() {
        let before = places.insert(value, index as u64 + 1);
        assert_eq!(before, None, "{value} is stored twice");
        let bad = [REFUSED, FAILING].map(|bad| value.as_bytes().starts_with(bad));
        assert_eq!(bad, [false; 2], "{value}");
    }
    for (value, number) in writers.flat_map(Writer::told) {
        assert_eq!(places.get(&value), Some(&number), "{value}");
    }
}

#[test]
fn a_writer_killed_at_any_step_loses_and_doubles_nothing() {
    const TEST: &str = "a_writer_killed_at_any_step_loses_and_doubles_nothing";
    if let Some((role, directory)) = role() {
        return write_on(&directory, role == "failing");
    }
    let moments = [
        "claimed",
        "filling",
        "filled:5",
        "leading:3",
        "taken:3",
        "prepared:2",
        "entered:4",
        "committed:4",
        "publishing:2",
        "published:2",
        "unlocked:9",
        "called:3",
        "woken:3",
        "done:3",
        "alone:2",
        "handing back:2",
        // As the next leader after one that died.
        "settling:3",
    ];
    for moment in moments {
        let (directory, store) = new_store();
        let role = match moment {
            "handing back:2" => "failing",
            _ => "writer",
        };
        let start = |number, fault| Writer::start(TEST, role, directory.path(), number, fault);
        let mut victims = vec![start(0, Some(moment))];
        let mut others: Vec<_> = (1..4).map(|number| start(number, None)).collect();
        let began = Instant::now();
        while !victims[0].is_dead() {
            assert!(began.elapsed() < PATIENCE, "nobody came by {moment}");
            // Those leave something to settle.
            if moment.starts_with("settling") && victims[1..].iter_mut().all(Writer::is_dead) {
                victims.push(start(victims.len() + 3, Some("prepared")));
            }
            thread::sleep(Duration::from_millis(2));
        }
        // The others go on.
        let count = |others: &[Writer]| -> Vec<_> {
            others.iter().map(|other| other.told().len()).collect()
        };
        let before = count(&others);
        wait_until(moment, || {
            let now = count(&others);
            zip(&before, &now).all(|(before, now)| *now > before + 10)
        });
        others.iter_mut().for_each(Writer::stop);
        for victim in &mut victims[1..] {
            // It may not have come by its own moment yet.
            let _ = victim.child.kill();
            victim.child.wait().unwrap();
        }
        check(&store, victims.iter().chain(&others));
        let states = states(directory.path());
        let left = states
            .iter()
            .filter(|state| [4, 5].contains(*state))
            .count();
        assert_eq!(left, 0, "{moment}: with a leader that is no more");
    }
}

#[test]
fn a_storm_of_writers_with_kills_at_any_time_loses_and_doubles_nothing() {
    const TEST: &str = "a_storm_of_writers_with_kills_at_any_time_loses_and_doubles_nothing";
    const KILLS: usize = 40;
    if let Some((role, directory)) = role() {
        return write_on(&directory, role == "failing");
    }
    let (directory, store) = new_store();
    let start = |number: usize| {
        let role = ["writer", "failing"][usize::from(number % 5 == 4)];
        Writer::start(TEST, role, directory.path(), number, None)
    };
    let mut alive: Vec<_> = (0..6).map(start).collect();
    let mut dead = Vec::new();
    for kill in 0..KILLS {
        // Whoever is killed has stored something, or has not yet begun.
        thread::sleep(Duration::from_micros(kill as u64 * 4931 % 30_000));
        let mut victim = std::mem::replace(&mut alive[kill % 5], start(6 + kill));
        victim.child.kill().unwrap();
        victim.child.wait().unwrap();
        dead.push(victim);
    }
    let told = |writers: &[Writer]| writers.iter().map(|writer| writer.told().len()).min();
    wait_until("they go on", || told(&alive) > Some(5));
    alive.iter_mut().for_each(Writer::stop);
    check(&store, dead.iter().chain(&alive));
    assert!(dead.iter().map(|writer| writer.told().len()).sum::<usize>() > KILLS);
}
