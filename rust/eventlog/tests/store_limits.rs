//! A full map, a full disk, a failing disk: whole or absent, and on again without a restart.

mod store_support;

use std::fs;
use std::io::Write;
use std::path::Path;

use eventlog::error::Error;
use eventlog::store::{OpenOptions, Outcome, Store};
use store_support::{
    Player, append, creating, get, listen, never, new_store, new_store_with, player, put, role,
    rows, shim, submit, tell,
};

fn open(directory: &Path) -> Store {
    Store::open(directory, &store_support::SCHEMA, &creating()).unwrap()
}

/// Appends until that fails; returns the rows stored and the error.
fn fill(store: &Store, length: usize) -> (u64, Error) {
    let mut last = 0;
    loop {
        match append(store, &vec![last as u8; length]) {
            Ok(number) => last = number,
            Err(error) => return (last, error),
        }
    }
}

#[test]
fn a_full_map_stores_nothing_and_a_larger_one_goes_on_in_every_process() {
    const TEST: &str = "a_full_map_stores_nothing_and_a_larger_one_goes_on_in_every_process";
    const SMALL: usize = 1 << 20;
    if let Some((_, directory)) = role() {
        let store = open(&directory);
        tell(store.info().unwrap().map_size);
        listen();
        // First to read what lies beyond the map that this process made, then to write there.
        tell(rows(&store).unwrap().len());
        put(&store, b"other", &[1; 100_000]).unwrap();
        return tell(store.info().unwrap().map_size);
    }
    let (directory, store) = new_store_with(&OpenOptions {
        map_size: Some(SMALL),
        ..creating()
    });
    let mut other = Player::start(TEST, "other", directory.path());
    assert_eq!(other.hear(), SMALL.to_string());
    let (stored, error) = fill(&store, 20_000);
    assert!(
        matches!(
            error,
            Error::MapFull {
                map_size: SMALL,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("dagster-lmdb resize"));
    assert!(stored > 20);
    assert_eq!(rows(&store).unwrap().len() as u64, stored);
    let (again, _) = fill(&store, 20_000);
    assert_eq!(again, 0, "still full");

    assert!(matches!(store.resize(SMALL / 2), Err(Error::Refused(_))) || SMALL == 1 << 20);
    store.resize(4 << 20).unwrap();
    for number in 0..100_u64 {
        assert_eq!(append(&store, &[0; 20_000]).unwrap(), stored + 1 + number);
    }
    other.say("go");
    assert_eq!(other.hear(), (stored + 100).to_string());
    assert_eq!(other.end(), [(4 << 20).to_string()]);
    assert!(get(&store, b"other").unwrap().is_some());
    assert!(matches!(store.resize(2 << 20), Err(Error::Refused(_))));
    store.close();
    assert_eq!(store.info().unwrap().map_size, 4 << 20);
}

#[test]
fn a_map_that_another_process_made_larger_is_taken_before_it_is_needed() {
    const TEST: &str = "a_map_that_another_process_made_larger_is_taken_before_it_is_needed";
    if let Some((_, directory)) = role() {
        return open(&directory).resize(8 << 20).unwrap();
    }
    let (directory, store) = new_store_with(&OpenOptions {
        map_size: Some(1 << 20),
        ..creating()
    });
    fill(&store, 20_000);
    Player::start(TEST, "resizer", directory.path()).end();
    append(&store, &[0; 20_000]).unwrap();
    assert_eq!(store.info().unwrap().map_size, 8 << 20);
}

#[test]
fn a_file_size_limit_stores_whole_or_nothing_and_writing_goes_on_after_it() {
    const TEST: &str = "a_file_size_limit_stores_whole_or_nothing_and_writing_goes_on_after_it";
    let Some((_, directory)) = role() else {
        let (directory, store) = new_store();
        store.close();
        Player::start(TEST, "limited", directory.path()).end();
        return;
    };
    // SAFETY: without it the limit is a signal that ends the process; Python ignores it too.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let limit = |bytes| {
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: `limit` is valid for the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    };
    let store = open(&directory);
    for length in [2_000, 3_000, 50_000] {
        let before = rows(&store).unwrap().len() as u64;
        limit(store.info().unwrap().file_bytes + 100_000);
        let (stored, error) = fill(&store, length);
        assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
        assert!(stored > before);
        for _ in 0..3 {
            assert!(matches!(
                append(&store, &[1; 900_000]),
                Err(Error::DiskFull { .. })
            ));
        }
        let kept = rows(&store).unwrap();
        assert_eq!(kept.len() as u64, stored);
        for (key, value) in &kept[before as usize..] {
            let number = u64::from_be_bytes(key[..].try_into().unwrap());
            assert!(value.iter().all(|byte| *byte == (number - 1) as u8) || number == before + 1);
        }
        limit(libc::RLIM_INFINITY);
        assert_eq!(append(&store, &[0; 900_000]).unwrap(), stored + 1);
    }
    let expected = rows(&store).unwrap();
    drop(store);
    assert_eq!(rows(&open(&directory)).unwrap(), expected);
}

#[test]
fn a_full_disk_stores_whole_or_nothing_and_writing_goes_on_when_there_is_room() {
    const TEST: &str = "a_full_disk_stores_whole_or_nothing_and_writing_goes_on_when_there_is_room";
    if let Some((role, directory)) = role() {
        if role == "reader" {
            return tell(rows(&open(&directory)).unwrap().len());
        }
        // In a mount namespace of its own, so the mount goes with the process.
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(&directory)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            return tell("SKIPPED: this machine lets nobody mount a tmpfs");
        }
        let path = directory.join("store");
        let store = open(&path);
        append(&store, b"first").unwrap();
        let filler = directory.join("filler");
        // The last pages go to another file.
        let file = fs::File::create(&filler).unwrap();
        while (&file).write_all(&[1; 4096]).is_ok() {}
        drop(file);
        let (stored, error) = fill(&store, 30_000);
        assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
        assert_eq!(rows(&store).unwrap().len() as u64, stored.max(1));
        // A second process opens and reads a store on a full disk.
        let reader = Player::start(TEST, "reader", &path);
        assert_eq!(reader.end(), [stored.max(1).to_string()]);
        // A new store finds no room, and says so.
        let error = Store::open(&directory.join("new"), &store_support::SCHEMA, &creating());
        assert!(matches!(error.map(|_| ()), Err(Error::DiskFull { .. })));
        // Without room for slots, each writer commits by itself.
        store.close();
        let queue = fs::File::options()
            .write(true)
            .open(path.join("queue"))
            .unwrap();
        queue.set_len(4096).unwrap();
        drop(queue);
        let file = fs::File::options().append(true).open(&filler).unwrap();
        while (&file).write_all(&[1; 4096]).is_ok() {}
        drop(file);
        let opened = open(&path);
        assert_eq!(fs::metadata(path.join("queue")).unwrap().len(), 4096);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..20).for_each(|_| drop(submit(&opened, b"small"))));
            }
        });
        let stored = rows(&opened).unwrap().len() as u64;
        drop(opened);
        fs::remove_file(filler).unwrap();
        let next = append(&store, &[0; 30_000]).unwrap();
        assert_eq!(next, stored + 1);
        open(&directory.join("new"));
        return tell("done");
    }
    let parent = tempfile::tempdir().unwrap();
    let wrapper = ["unshare", "--mount", "--propagation", "private"];
    let mut command = std::process::Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg("true");
    if !store_support::finish(command).status.success() {
        println!("SKIPPED: this machine lets nobody make a mount namespace");
        return;
    }
    let told = Player::run(player(&wrapper, TEST, "writer", parent.path())).end();
    println!("{told:?}");
}

/// Fails LMDB's writes of the meta page, which are the only ones of their length, as the
/// environment says: `before` writes nothing; `after` writes, then says that it failed; `stuck` does
/// so and keeps LMDB from putting the old page back. `flush` fails to flush pages.
const SHIM: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    static const char *mode(void) {
        const char *path = getenv("STORE_TEST_FAILURE");
        static __thread char mode[16];
        memset(mode, 0, sizeof mode);
        return path && readlink(path, mode, 15) > 0 ? mode : "";
    }
    static int failures;
    static ssize_t write_at(const char *name, int fd, const void *bytes, size_t length, off_t at) {
        ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, name);
        const char *now = length == 120 ? mode() : "";
        if (!*now || !strcmp(now, "flush"))
            return real(fd, bytes, length, at);
        if (!strcmp(now, "after") && failures++ % 2 == 1)
            return real(fd, bytes, length, at);
        if (!strcmp(now, "stuck") && failures++ % 2 == 1)
            return length;
        if (strcmp(now, "before"))
            real(fd, bytes, length, at);
        errno = EIO;
        return -1;
    }
    ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
        return write_at("pwrite", fd, bytes, length, at);
    }
    ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
        return write_at("pwrite64", fd, bytes, length, at);
    }
    int fdatasync(int fd) {
        int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
        if (!strcmp(mode(), "flush")) {
            errno = EIO;
            return -1;
        }
        return real(fd);
    }
"#;

#[test]
fn a_failing_disk_leaves_a_commit_whole_or_absent_as_the_answer_says() {
    const TEST: &str = "a_failing_disk_leaves_a_commit_whole_or_absent_as_the_answer_says";
    if let Some((role, directory)) = role() {
        let failure = std::env::var("STORE_TEST_FAILURE").unwrap();
        let role = role.as_str();
        let fail = |mode: &str| {
            let _ = fs::remove_file(&failure);
            if !mode.is_empty() {
                std::os::unix::fs::symlink(mode, &failure).unwrap();
            }
        };
        let store = open(&directory);
        if role == "bystander" {
            tell("open");
            listen();
            return tell(rows(&store).unwrap().len());
        }
        append(&store, b"before").unwrap();
        let beside = (role == "beside").then(|| {
            let mut command = player(&[], TEST, "bystander", &directory);
            command.env_remove("LD_PRELOAD");
            let mut bystander = Player::run(command);
            bystander.hear();
            bystander
        });
        let mut expected = rows(&store).unwrap().len() as u64;
        for mode in ["flush", "before", "after", "stuck"] {
            for _ in 0..2 {
                fail(mode);
                // The failure goes with the first write that meets it, where the mode says so.
                let result = append(&store, mode.as_bytes());
                let seen = rows(&store).unwrap().len() as u64;
                fail("");
                match result {
                    Ok(number) => assert_eq!(number, expected + 1, "{mode}"),
                    Err(Error::DiskFailed { .. } | Error::DiskFull { .. }) => {}
                    Err(other) => panic!("{mode}: {other:?}"),
                }
                let landed = result.is_ok();
                tell(format!("{role}, {mode}: landed {landed}"));
                expected += u64::from(landed);
                assert_eq!(seen, expected, "{mode}");
                assert_eq!(append(&store, b"after").unwrap(), expected + 1, "{mode}");
                expected += 1;
                assert_eq!(rows(&store).unwrap().len() as u64, expected, "{mode}");
            }
        }
        if let Some(mut bystander) = beside {
            bystander.say("look");
            assert_eq!(bystander.end(), [expected.to_string()]);
        }
        drop(store);
        assert_eq!(rows(&open(&directory)).unwrap().len() as u64, expected);
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let library = shim(parent.path(), SHIM);
    for role in ["alone", "beside"] {
        let mut command = player(&[], TEST, role, &parent.path().join(role));
        command.env("LD_PRELOAD", &library);
        command.env("STORE_TEST_FAILURE", parent.path().join("failure"));
        for line in Player::run(command).end() {
            println!("{line}");
        }
    }
}

#[test]
fn a_map_beyond_the_address_space_says_how_to_go_on() {
    const TEST: &str = "a_map_beyond_the_address_space_says_how_to_go_on";
    if let Some((_, directory)) = role() {
        let limit = libc::rlimit {
            rlim_cur: 1 << 34,
            rlim_max: 1 << 34,
        };
        // SAFETY: `limit` is valid for the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let error = store_support::refusal(&directory, &creating());
        assert!(matches!(error, Error::NoAddressSpace { map_size, .. } if map_size == 1 << 40));
        assert!(error.to_string().contains("ulimit -v"));
        let store = Store::open(
            &directory,
            &store_support::SCHEMA,
            &OpenOptions {
                map_size: Some(1 << 30),
                ..creating()
            },
        );
        let store = store.unwrap();
        put(&store, b"key", b"value").unwrap();
        let error = store.resize(1 << 40).unwrap_err();
        assert!(matches!(error, Error::NoAddressSpace { map_size, .. } if map_size == 1 << 40));
        assert!(get(&store, b"key").unwrap().is_some());
        return put(&store, b"key", b"next").unwrap();
    }
    let parent = tempfile::tempdir().unwrap();
    Player::start(TEST, "limited", &parent.path().join("store")).end();
}

#[test]
fn rows_too_large_for_a_commit_are_refused_whole() {
    let (_directory, store) = new_store();
    let error = store.write(&never, |transaction| {
        transaction.put(transaction.trees().log, b"fine", b"value")?;
        transaction.put(transaction.trees().log, &[1; 600], b"key too long")?;
        Ok(Outcome::Commit(()))
    });
    assert!(matches!(error, Err(Error::Lmdb { .. })), "{error:?}");
    assert_eq!(rows(&store).unwrap(), []);
}
