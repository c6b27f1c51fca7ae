//! What recovery refuses: a journal of other times, another store or another release, and company.

mod store_support;

use std::fs;
use std::path::Path;

use eventlog::error::Error;
use eventlog::store::{OpenOptions, Schema, Store, Transaction};
use store_support::{
    Player, SCHEMA, append, creating, finish, get, listen, new_store, player, put, refusal, role,
    rows, shim, tell,
};
use tempfile::TempDir;

fn open(directory: &Path) -> Store {
    Store::open(directory, &SCHEMA, &creating()).unwrap()
}

fn read(directory: &Path, name: &str) -> Vec<u8> {
    fs::read(directory.join(name)).unwrap()
}

/// A directory with these two files alone.
fn directory_of(data: &[u8], journal: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("data.mdb"), data).unwrap();
    fs::write(directory.path().join("journal"), journal).unwrap();
    directory
}

/// The generation of the journal's newest header.
fn generation(journal: &[u8]) -> u64 {
    let of = |at: usize| u64::from_le_bytes(journal[at..at + 8].try_into().unwrap());
    of(16).max(of(4096 + 16))
}

/// Asserts that the journal is refused beside the data file, with nothing changed.
fn assert_refused(data: &[u8], journal: &[u8]) -> TempDir {
    let mixed = directory_of(data, journal);
    let error = refusal(mixed.path(), &creating());
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(mixed.path().to_str().unwrap()), "{text}");
    assert!(text.contains("from one copy"), "{text}");
    assert!(text.contains("remove the file named journal"), "{text}");
    assert_eq!(read(mixed.path(), "data.mdb"), data);
    assert_eq!(read(mixed.path(), "journal"), journal);
    mixed
}

#[test]
fn a_journal_of_other_times_is_refused_and_nothing_is_overwritten() {
    let (directory, store) = new_store();
    let path = directory.path();
    put(&store, b"one", b"1").unwrap();
    let first = ["data.mdb", "journal"].map(|name| read(path, name));
    let write_until_the_next = || {
        let before = generation(&read(path, "journal"));
        for round in 0_u32.. {
            put(&store, b"two", &round.to_be_bytes()).unwrap();
            if generation(&read(path, "journal")) > before {
                break;
            }
        }
        ["data.mdb", "journal"].map(|name| read(path, name))
    };
    // One checkpoint later, and more.
    for _ in 0..3 {
        let later = write_until_the_next();
        assert_refused(&later[0], &first[1]);
        let mixed = assert_refused(&first[0], &later[1]);
        fs::remove_file(mixed.path().join("journal")).unwrap();
        let store = open(mixed.path());
        assert_eq!(get(&store, b"one").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(get(&store, b"two").unwrap(), None);
        put(&store, b"goes", b"on").unwrap();
    }
}

#[test]
fn a_journal_of_another_store_is_refused() {
    let stores = [new_store(), new_store()];
    for (_, store) in &stores {
        append(store, b"row").unwrap();
    }
    let [own, other] = stores
        .map(|(directory, _)| ["data.mdb", "journal"].map(|name| read(directory.path(), name)));
    assert_refused(&own[0], &other[1]);
    assert_eq!(
        rows(&open(directory_of(&own[0], &own[1]).path()))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_journal_that_was_taken_away_and_put_back_is_refused() {
    let (directory, store) = new_store();
    append(&store, b"before").unwrap();
    let journal = read(directory.path(), "journal");
    fs::remove_file(directory.path().join("journal")).unwrap();
    append(&store, b"after").unwrap();
    assert_refused(&read(directory.path(), "data.mdb"), &journal);
}

/// Where each entry begins, and where the last one ends.
fn entries(journal: &[u8]) -> Vec<usize> {
    let number = |at: usize| u64::from_le_bytes(journal[at..at + 8].try_into().unwrap());
    let newest = if number(16) > number(4096 + 16) {
        0
    } else {
        4096
    };
    let nonce = number(newest + 24);
    let mut places = vec![8192];
    while let Some(&at) = places.last()
        && at + 48 <= journal.len()
        && number(at) == nonce
    {
        let length = 48 + number(at + 16) * (8 + 4096) + number(at + 24);
        places.push(at + (length as usize).next_multiple_of(4096));
    }
    places
}

#[test]
fn a_journal_that_lost_a_flushed_commit_is_refused_and_nothing_is_overwritten() {
    let (directory, store) = new_store();
    let mut older = Vec::new();
    for round in 0_u8..12 {
        append(&store, &[round; 3000]).unwrap();
        older.push(read(directory.path(), "journal"));
    }
    let [data, journal] = ["data.mdb", "journal"].map(|name| read(directory.path(), name));
    let places = entries(&journal);
    assert!(places.len() > 8, "{places:?}");
    for (index, place) in places[..places.len() - 1].iter().enumerate() {
        // In the nonce, in the checksummed head, in the checksum, and in what it covers.
        for byte in [0, 10, 41, 60] {
            let mut damaged = journal.clone();
            damaged[place + byte] ^= 1;
            assert_refused(&data, &damaged);
        }
        assert_refused(&data, &journal[..*place]);
        if index > 0 {
            let mut cut = journal.clone();
            cut[*place..].fill(0);
            assert_refused(&data, &cut);
        }
    }
    // Of the same checkpoint, and of an earlier moment.
    let same = older
        .iter()
        .filter(|older| generation(older) == generation(&journal));
    let same: Vec<_> = same.collect();
    assert!(same.len() > 2);
    for older in &same[..same.len() - 1] {
        assert_refused(&data, older);
    }
    let mixed = assert_refused(&data, &journal[..places[1]]);
    fs::remove_file(mixed.path().join("journal")).unwrap();
    assert_eq!(rows(&open(mixed.path())).unwrap().len(), 12);
    let whole = directory_of(&data, &journal);
    assert_eq!(rows(&open(whole.path())).unwrap().len(), 12);
    // Recovery commits anew, under numbers below those that it redid.
    assert_eq!(rows(&open(whole.path())).unwrap().len(), 12);
}

#[test]
fn a_data_file_without_a_journal_is_taken_as_it_is() {
    let (directory, store) = new_store();
    append(&store, b"row").unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::copy(
        directory.path().join("data.mdb"),
        copy.path().join("data.mdb"),
    )
    .unwrap();
    let store = open(copy.path());
    append(&store, b"next").unwrap();
    assert_eq!(rows(&store).unwrap().len(), 2);
}

static NEXT_RELEASE: Schema = Schema {
    fold_version: SCHEMA.fold_version + 1,
    ..SCHEMA_OF_BOTH
};
const SCHEMA_OF_BOTH: Schema = Schema {
    fold_version: 0,
    tables: &["runs", "tags"],
    redo: refuse,
    serve: |_, _, _| Ok(eventlog::store::Served::Alone),
    dialect: 2,
};

/// As a release redoes whose log ends elsewhere.
fn refuse(_: &mut Transaction<'_>, _: &[u8]) -> eventlog::error::Result<()> {
    Err(Error::Refused("the log ends with 33".into()))
}

#[test]
fn commits_of_another_fold_version_are_redone_by_the_release_that_wrote_them_alone() {
    let (directory, store) = new_store();
    append(&store, b"row").unwrap();
    let files = ["data.mdb", "journal"].map(|name| read(directory.path(), name));
    let left = directory_of(&files[0], &files[1]);
    for for_rebuild in [false, true] {
        let options = OpenOptions {
            for_rebuild,
            ..creating()
        };
        let Err(error) = Store::open(left.path(), &NEXT_RELEASE, &options) else {
            panic!("it is folded by other rules");
        };
        assert!(matches!(error, Error::FoldInJournal { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("the release that wrote it"), "{text}");
        assert_eq!(
            files,
            ["data.mdb", "journal"].map(|name| read(left.path(), name))
        );
    }
    assert_eq!(rows(&open(left.path())).unwrap().len(), 1);
    // Its opening redid them, so nothing keeps a newer release from rebuilding.
    let options = OpenOptions {
        for_rebuild: true,
        ..creating()
    };
    let store = Store::open(left.path(), &NEXT_RELEASE, &options).unwrap();
    assert_eq!(rows(&store).unwrap().len(), 1);
}

#[test]
fn a_redo_that_fails_names_the_store_and_what_to_do_and_loses_nothing() {
    static OTHER_LOG: Schema = Schema {
        fold_version: SCHEMA.fold_version,
        ..SCHEMA_OF_BOTH
    };
    let (directory, store) = new_store();
    append(&store, b"row").unwrap();
    let left = directory_of(
        &read(directory.path(), "data.mdb"),
        &read(directory.path(), "journal"),
    );
    let Err(error) = Store::open(left.path(), &OTHER_LOG, &creating()) else {
        panic!("it opened");
    };
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    for part in [
        left.path().to_str().unwrap(),
        "the log ends with 33",
        "from one copy",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(rows(&open(left.path())).unwrap().len(), 1);
}

#[test]
fn nobody_writes_or_comes_in_once_the_queue_file_was_removed() {
    const TEST: &str = "nobody_writes_or_comes_in_once_the_queue_file_was_removed";
    if let Some((_, directory)) = role() {
        match Store::open(&directory, &SCHEMA, &creating()) {
            Ok(_) => tell("opened"),
            Err(Error::LockNotShared { .. }) => tell("refused"),
            Err(error) => panic!("{error:?}"),
        }
        return;
    }
    let (directory, store) = new_store();
    append(&store, b"first").unwrap();
    fs::remove_file(directory.path().join("queue")).unwrap();
    let error = append(&store, b"second").unwrap_err();
    assert!(matches!(error, Error::LockNotShared { .. }), "{error:?}");
    assert!(error.to_string().contains("end every process"), "{error}");
    assert_eq!(rows(&store).unwrap().len(), 1, "it reads on");
    let another = || Player::start(TEST, "another", directory.path()).end();
    assert_eq!(another(), ["refused"]);
    store.close();
    assert_eq!(another(), ["opened"]);
    append(&store, b"second").unwrap();
    assert_eq!(rows(&store).unwrap().len(), 2);
}

/// Fails to write LMDB's pages, or kills the process before it writes any.
const SHIM: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/uio.h>
    #include <unistd.h>
    static int fails(int fd) {
        char link[64], path[512] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, path, sizeof path - 1) < 0 || !strstr(path, "data.mdb")) return 0;
        if (!access(getenv("STORE_TEST_KILL"), F_OK)) kill(getpid(), SIGKILL);
        errno = ENOSPC;
        return !access(getenv("STORE_TEST_FAILURE"), F_OK);
    }
    ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
        ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
        return fails(fd) ? -1 : real(fd, bytes, length, at);
    }
    ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
        return pwrite64(fd, bytes, length, at);
    }
    ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
        ssize_t (*real)(int, const struct iovec *, int, off_t) = dlsym(RTLD_NEXT, "pwritev");
        return fails(fd) ? -1 : real(fd, parts, count, at);
    }
    ssize_t writev(int fd, const struct iovec *parts, int count) {
        ssize_t (*real)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
        return fails(fd) ? -1 : real(fd, parts, count);
    }
"#;

#[test]
fn a_commit_that_died_under_way_may_come_and_one_that_was_taken_back_does_not() {
    const TEST: &str = "a_commit_that_died_under_way_may_come_and_one_that_was_taken_back_does_not";
    if let Some((role, directory)) = role() {
        let store = open(&directory);
        append(&store, b"returned").unwrap();
        let signal = |name| std::env::var(name).unwrap();
        if role == "killed" {
            fs::write(signal("STORE_TEST_KILL"), "").unwrap();
            let _ = append(&store, b"under way");
            panic!("it lives");
        }
        fs::write(signal("STORE_TEST_FAILURE"), "").unwrap();
        let error = append(&store, b"taken back").unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
        fs::remove_file(signal("STORE_TEST_FAILURE")).unwrap();
        // Nothing is stored after it, which would take its place in the journal.
        tell("failed");
        listen();
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let library = shim(parent.path(), SHIM);
    let play = |role: &str| {
        let directory = parent.path().join(role);
        let mut command = player(&[], TEST, role, &directory);
        command
            .env("LD_PRELOAD", &library)
            .env(
                "STORE_TEST_KILL",
                parent.path().join(format!("{role}.kill")),
            )
            .env(
                "STORE_TEST_FAILURE",
                parent.path().join(format!("{role}.failure")),
            );
        (command, directory)
    };
    let (command, directory) = play("failing");
    let mut failing = Player::run(command);
    assert_eq!(failing.hear(), "failed");
    failing.kill();
    let stored = |directory: &Path| {
        let rows = rows(&open(directory)).unwrap();
        rows.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(stored(&directory), [b"returned"]);

    let (command, directory) = play("killed");
    assert!(!finish(command).status.success());
    // Its entry was on disk, and no page of it was written.
    assert_eq!(stored(&directory), [&b"returned"[..], b"under way"]);
    append(&open(&directory), b"next").unwrap();
    assert_eq!(stored(&directory).len(), 3);
}
