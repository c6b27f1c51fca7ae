//! What becomes of the journal when it is not left alone: commits that return are in it all the same.

mod store_support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use eventlog::error::Error;
use eventlog::store::{Durability, OpenOptions, Outcome, Store};
use store_support::{
    Player, SCHEMA, append, creating, never, new_store, new_store_with, player, refusal, role,
    rows, shim,
};
use tempfile::TempDir;

const BLOCK: u64 = 4096;

fn open(directory: &Path) -> Store {
    Store::open(directory, &SCHEMA, &creating()).unwrap()
}

/// The files that a power cut leaves, in another directory: opening them undoes and redoes.
fn image(directory: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    for name in ["data.mdb", "journal"] {
        fs::copy(directory.join(name), image.path().join(name)).unwrap();
    }
    image
}

/// Asserts that a power cut now leaves every row that is read.
fn assert_recovered(store: &Store) {
    let image = image(store.directory());
    let recovered = rows(&open(image.path())).unwrap();
    assert_eq!(recovered, rows(store).unwrap());
}

/// Writes LMDB's meta page, says that this failed, and keeps LMDB from putting the old one back.
const SHIM: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdlib.h>
    #include <unistd.h>
    static ssize_t write_at(const char *name, int fd, const void *bytes, size_t length, off_t at) {
        static int failures;
        ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, name);
        if (length != 120 || access(getenv("STORE_TEST_FAILURE"), F_OK))
            return real(fd, bytes, length, at);
        if (failures++ % 2 == 1)
            return length;
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
"#;

#[test]
fn a_commit_that_landed_though_it_was_said_to_fail_outlasts_a_power_cut() {
    const TEST: &str = "a_commit_that_landed_though_it_was_said_to_fail_outlasts_a_power_cut";
    if let Some((_, directory)) = role() {
        let failure = std::env::var("STORE_TEST_FAILURE").unwrap();
        let store = open(&directory);
        append(&store, b"before").unwrap();
        fs::write(&failure, "").unwrap();
        append(&store, b"landed").unwrap();
        fs::remove_file(&failure).unwrap();
        assert_recovered(&store);
        append(&store, b"after").unwrap();
        return assert_recovered(&store);
    }
    let parent = tempfile::tempdir().unwrap();
    let mut command = player(&[], TEST, "writer", &parent.path().join("store"));
    command
        .env("LD_PRELOAD", shim(parent.path(), SHIM))
        .env("STORE_TEST_FAILURE", parent.path().join("failure"));
    Player::run(command).end();
}

/// Fails to flush the data file.
const FLUSH_SHIM: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdlib.h>
    #include <stdio.h>
    #include <string.h>
    #include <unistd.h>
    int fdatasync(int fd) {
        int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
        char link[64], path[512] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, path, sizeof path - 1) > 0 && strstr(path, "data.mdb")
            && !access(getenv("STORE_TEST_FAILURE"), F_OK)) {
            errno = EIO;
            return -1;
        }
        return real(fd);
    }
"#;

#[test]
fn a_failed_flush_of_the_data_file_ends_writing_whichever_commit_met_it() {
    const TEST: &str = "a_failed_flush_of_the_data_file_ends_writing_whichever_commit_met_it";
    if let Some((role, directory)) = role() {
        let failure = std::env::var("STORE_TEST_FAILURE").unwrap();
        let store = open(&directory);
        append(&store, b"before").unwrap();
        fs::write(&failure, "").unwrap();
        let failed = match role.as_str() {
            "settings" => store.set_durability(Durability::Relaxed),
            _ => append(&store, &vec![1; 3 << 20]).map(|_| ()),
        };
        assert!(
            matches!(failed, Err(Error::DiskFailed { .. })),
            "{failed:?}"
        );
        fs::remove_file(&failure).unwrap();
        // A flush that succeeds now says nothing of the pages that the failed one dropped.
        let refused = append(&store, b"after");
        assert!(
            matches!(refused, Err(Error::DiskLost { .. })),
            "{refused:?}"
        );
        drop(store);
        let store = open(&directory);
        assert_eq!(rows(&store).unwrap().len(), 1);
        assert_eq!(store.info().unwrap().meta.durability, Durability::Durable);
        append(&store, b"after").unwrap();
        return assert_recovered(&store);
    }
    let parent = tempfile::tempdir().unwrap();
    let library = shim(parent.path(), FLUSH_SHIM);
    for role in ["settings", "large"] {
        let mut command = player(&[], TEST, role, &parent.path().join(role));
        command
            .env("LD_PRELOAD", &library)
            .env("STORE_TEST_FAILURE", parent.path().join("failure"));
        Player::run(command).end();
    }
}

#[test]
fn commits_go_on_while_every_reader_slot_is_taken() {
    let (_directory, store) = new_store_with(&OpenOptions {
        max_readers: 2,
        ..creating()
    });
    append(&store, b"first").unwrap();
    thread::scope(|scope| {
        let ends: Vec<_> = (0..2)
            .map(|_| {
                let (end, ended) = mpsc::channel::<()>();
                let (reads, reading) = mpsc::channel();
                let store = &store;
                scope.spawn(move || {
                    store.read(|_| {
                        reads.send(()).unwrap();
                        let _ = ended.recv();
                        Ok(())
                    })
                });
                reading.recv().unwrap();
                end
            })
            .collect();
        let refused = store.read(|_| Ok(()));
        assert!(matches!(refused, Err(Error::ReadersFull { .. })));
        for _ in 0..5 {
            append(&store, b"while").unwrap();
        }
        drop(ends);
    });
    append(&store, b"after").unwrap();
    assert_eq!(rows(&store).unwrap().len(), 7);
    assert_recovered(&store);
}

#[test]
fn a_journal_that_was_removed_is_made_anew_by_every_process() {
    const TEST: &str = "a_journal_that_was_removed_is_made_anew_by_every_process";
    if let Some((_, directory)) = role() {
        let store = open(&directory);
        append(&store, b"other").unwrap();
        return assert_recovered(&store);
    }
    let (directory, store) = new_store();
    for by_another in [false, true] {
        append(&store, b"before").unwrap();
        fs::remove_file(directory.path().join("journal")).unwrap();
        if by_another {
            Player::start(TEST, "other", directory.path()).end();
        }
        append(&store, b"after").unwrap();
        assert_recovered(&store);
    }
    assert_eq!(rows(&store).unwrap().len(), 5);
}

#[test]
fn a_journal_whose_headers_say_nothing_is_refused_unless_none_was_ever_whole() {
    let (directory, store) = new_store();
    append(&store, b"first").unwrap();
    let slots = |image: &TempDir, change: &dyn Fn(&fs::File, u64)| {
        let journal = image.path().join("journal");
        let file = fs::OpenOptions::new().write(true).open(journal).unwrap();
        (0..2).for_each(|slot| change(&file, slot * BLOCK));
    };
    let tear = |file: &fs::File, at| file.write_all_at(&[7; 9], at + 500).unwrap();

    // A power cut while the first header of all was written: all commits so far were LMDB's own.
    let torn = image(directory.path());
    slots(&torn, &tear);
    assert_eq!(rows(&open(torn.path())).unwrap().len(), 1);

    store.close();
    append(&store, b"second").unwrap();
    let torn = image(directory.path());
    slots(&torn, &tear);
    let error = refusal(torn.path(), &creating());
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");

    let newer = image(directory.path());
    slots(&newer, &|file, at| file.write_all_at(&[2], at + 8).unwrap());
    let error = refusal(newer.path(), &creating());
    assert!(matches!(error, Error::Incompatible { .. }), "{error:?}");
}

/// Entries since the last checkpoint, and pages that they keep.
fn entries(directory: &Path) -> (usize, u64) {
    let journal = fs::read(directory.join("journal")).unwrap();
    let number =
        |at: u64| u64::from_le_bytes(journal[at as usize..at as usize + 8].try_into().unwrap());
    let slot = u64::from(number(BLOCK + 16) > number(16));
    let nonce = number(slot * BLOCK + 24);
    let (mut at, mut count, mut pages) = (2 * BLOCK, 0, 0);
    while number(at) == nonce {
        count += 1;
        pages += number(at + 16);
        at += (48 + number(at + 16) * (8 + BLOCK) + number(at + 24)).next_multiple_of(BLOCK);
    }
    (count, pages)
}

#[test]
fn pages_that_were_free_at_the_checkpoint_are_kept_by_no_process() {
    const TEST: &str = "pages_that_were_free_at_the_checkpoint_are_kept_by_no_process";
    let append_some = |store: &Store| {
        for number in 0..12 {
            append(store, &[number; 100]).unwrap();
        }
    };
    if let Some((_, directory)) = role() {
        return append_some(&open(&directory));
    }
    let (directory, store) = new_store();
    // Hundreds of pages are taken and freed; having no redo, both commits end with a checkpoint.
    for length in [3_000, 10] {
        store
            .write(&never, |transaction| {
                for number in 1..400_u64 {
                    let log = transaction.trees().log;
                    transaction.put(log, &number.to_be_bytes(), &vec![1; length])?;
                }
                Ok(Outcome::Commit(()))
            })
            .unwrap();
    }
    append_some(&store);
    Player::start(TEST, "other", directory.path()).end();
    append_some(&store);
    let (count, pages) = entries(directory.path());
    assert_eq!(count, 36);
    // Those alone that the first commits freed: the base's roots and the leaves at their ends.
    assert!((1..12).contains(&pages), "{pages} pages");
    assert_recovered(&store);
}
