//! What is left after a power cut: every commit that returned, whatever the disk had taken of the rest.
//!
//! A power cut leaves of each page that was written since the last flush any of its versions, since the
//! system writes pages when it likes. The tests keep all versions, draw an image from them, and open it.

mod store_support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use eventlog::store::{Durability, OpenOptions, Outcome, Store};
use store_support::{
    Player, SCHEMA, append, creating, never, new_store, player, put, put_together, role, rows, shim,
};
use tempfile::TempDir;

const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// Where the first page names the headers that the journal may begin with.
const STAMP: std::ops::Range<usize> = 256..272;

/// Numbers that look random, the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Every version of every page since the journal's base.
struct Disk {
    generation: u64,
    /// The journal as it was last seen.
    journal: Vec<u8>,
    pages: Vec<Vec<Vec<u8>>>,
    /// Pages of the file when it was last flushed whole.
    flushed: usize,
}

/// Generation, transaction and nonce of the header that counts.
fn header(journal: &[u8]) -> (u64, u64, u64) {
    let number = |slot: usize, index: usize| {
        let at = slot * PAGE + 8 * index;
        u64::from_le_bytes(journal[at..at + 8].try_into().unwrap())
    };
    let slot = usize::from(number(1, 2) > number(0, 2));
    (number(slot, 2), number(slot, 4), number(slot, 3))
}

fn base(journal: &[u8]) -> (u64, u64) {
    let (generation, transaction, _) = header(journal);
    (generation, transaction)
}

/// The data file in the middle of a checkpoint from one journal to the next, as it is flushed.
fn stamped(data: &[u8], before: &[u8], after: &[u8]) -> Vec<u8> {
    let nonces = [before, after].map(|journal| header(journal).2.to_le_bytes());
    let mut data = data.to_vec();
    data[STAMP].copy_from_slice(nonces.as_flattened());
    data
}

impl Disk {
    fn new() -> Self {
        Self {
            generation: 0,
            journal: vec![0; 2 * PAGE],
            pages: Vec::new(),
            flushed: 0,
        }
    }

    /// Takes note of what the last commit wrote. `before` is how the file was before it.
    fn note(&mut self, before: &[u8], after: &[u8], journal: &[u8], last: u64) {
        let (generation, transaction) = base(journal);
        if generation != self.generation {
            // The checkpoint flushed the state of its base: this commit's, or the one before it.
            let flushed = if transaction == last { after } else { before };
            self.generation = generation;
            self.pages = stamped(flushed, &self.journal, journal)
                .chunks(PAGE)
                .map(|page| vec![page.to_vec()])
                .collect();
            self.flushed = self.pages.len();
        }
        self.journal = journal.to_vec();
        for (number, page) in after.chunks(PAGE).enumerate() {
            if number == self.pages.len() {
                self.pages.push(Vec::new());
            }
            let versions = &mut self.pages[number];
            if versions.last().is_none_or(|last| last != page) {
                versions.push(page.to_vec());
            }
        }
    }

    /// A file of any mixture of versions, down to sectors, any of it cut off that was never flushed.
    fn image(&self, draw: &mut Draw) -> Vec<u8> {
        let length = self.flushed + draw.below(self.pages.len() - self.flushed + 1);
        let torn = draw.below(2) == 0;
        let mut image = Vec::new();
        for (number, versions) in self.pages[..length].iter().enumerate() {
            let mut page = Vec::new();
            let mut pick = draw.below(versions.len());
            for sector in 0..PAGE / SECTOR {
                if torn && number > 1 {
                    pick = draw.below(versions.len());
                }
                page.extend_from_slice(&versions[pick][sector * SECTOR..(sector + 1) * SECTOR]);
            }
            image.extend(page);
        }
        image
    }
}

/// A store's directory with these files, and no others.
fn directory_of(data: &[u8], journal: &[u8], queue: Option<&[u8]>) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("data.mdb"), data).unwrap();
    fs::write(directory.path().join("journal"), journal).unwrap();
    if let Some(queue) = queue {
        fs::write(directory.path().join("queue"), queue).unwrap();
    }
    directory
}

fn open(directory: &Path) -> Store {
    Store::open(directory, &SCHEMA, &OpenOptions::default()).unwrap()
}

fn recovered(data: &[u8], journal: &[u8], queue: Option<&[u8]>) -> (Rows, Vec<u8>) {
    let directory = directory_of(data, journal, queue);
    let store = open(directory.path());
    let found = rows(&store).unwrap();
    drop(store);
    let data = fs::read(directory.path().join("data.mdb")).unwrap();
    // It goes on from there.
    let store = open(directory.path());
    put(&store, b"next", b"commit").unwrap();
    assert_eq!(rows(&store).unwrap().len(), found.len() + 1);
    (found, data)
}

struct Writer {
    directory: TempDir,
    store: Store,
    disk: Disk,
    draw: Draw,
    model: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let (directory, store) = new_store();
        let mut writer = Self {
            directory,
            store,
            disk: Disk::new(),
            draw: Draw(seed),
            model: BTreeMap::new(),
        };
        writer.commit();
        writer
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(name)).unwrap()
    }

    fn expected(&self) -> Rows {
        self.model.clone().into_iter().collect()
    }

    fn commit(&mut self) {
        let before = self.read("data.mdb");
        let key = format!("{:04}", self.draw.below(300)).into_bytes();
        let length = match self.draw.below(40) {
            0 => 40_000,
            1..8 => 3_000,
            _ => 20 + self.draw.below(300),
        };
        let value: Vec<u8> = (0..length).map(|_| self.draw.below(256) as u8).collect();
        match self.draw.below(60) {
            // Several writers at once, one of which commits for all.
            58.. => {
                let mut rows = BTreeMap::from([(key, value)]);
                for _ in 0..self.draw.below(5) {
                    let key = format!("{:04}", self.draw.below(300)).into_bytes();
                    rows.insert(key, vec![self.draw.below(256) as u8; 400]);
                }
                let rows: Vec<_> = rows
                    .into_iter()
                    .map(|(key, value)| (key, value[..value.len().min(4_000)].to_vec()))
                    .collect();
                put_together(&self.store, &rows);
                self.model.extend(rows);
            }
            // What the journal cannot say flushes the data file.
            0 => {
                let log = |key: &[u8], value: &[u8]| {
                    self.store.write(&never, |transaction| {
                        transaction.put(transaction.trees().log, key, value)?;
                        Ok(Outcome::Commit(()))
                    })
                };
                log(&key, &value).unwrap();
                self.model.insert(key, value);
            }
            // No part of history: nobody misses it, and it harms nothing.
            1..10 => self
                .store
                .write_relaxed(&never, |transaction| {
                    let tree = transaction.trees().cached_status;
                    transaction.put(tree, &key, &value)?;
                    Ok(Outcome::Commit(()))
                })
                .unwrap(),
            _ => {
                put(&self.store, &key, &value).unwrap();
                self.model.insert(key, value);
            }
        }
        let last = self.store.info().unwrap().last_transaction as u64;
        let (data, journal) = (self.read("data.mdb"), self.read("journal"));
        self.disk.note(&before, &data, &journal, last);
    }
}

#[test]
fn every_commit_that_returned_is_there_whatever_the_disk_took() {
    for seed in 1..3 {
        let mut writer = Writer::new(seed);
        for round in 0..700 {
            writer.commit();
            if round % 11 != 0 {
                continue;
            }
            let (journal, queue) = (writer.read("journal"), writer.read("queue"));
            let queue = [Some(&queue[..]), None][writer.draw.below(2)];
            let image = writer.disk.image(&mut writer.draw);
            let (found, mut data) = recovered(&image, &journal, queue);
            assert_eq!(found, writer.expected(), "seed {seed}, round {round}");
            // A second power cut, in the middle of the recovery from the first: before the header that
            // ends it, until when the mark names the header before too.
            data[256..264].copy_from_slice(&header(&journal).2.to_le_bytes());
            let mut mixed = Vec::new();
            for at in (0..data.len().max(image.len())).step_by(SECTOR) {
                let of = [&data, &image][writer.draw.below(2)];
                let of = if at < of.len() { of } else { &data };
                let of = if at < of.len() { of } else { &image };
                mixed.extend_from_slice(&of[at..at + SECTOR]);
            }
            let (again, _) = recovered(&mixed, &journal, queue);
            assert_eq!(
                again,
                writer.expected(),
                "seed {seed}, round {round}, twice"
            );
        }
        let generations = base(&writer.read("journal")).0;
        assert!(generations > 3, "checkpoints are among what is tested");
    }
}

#[test]
fn a_commit_that_had_not_returned_is_whole_or_absent() {
    let mut writer = Writer::new(7);
    let (mut whole, mut absent) = (0, 0);
    for _ in 0..300 {
        let (before, data) = (writer.read("journal"), writer.disk.image(&mut writer.draw));
        let old = writer.expected();
        writer.commit();
        let after = writer.read("journal");
        if base(&before) != base(&after) {
            continue;
        }
        // The entry is flushed before its commit's pages are written; here it was being flushed.
        let mut torn = before.clone();
        for at in (0..torn.len()).step_by(SECTOR) {
            if writer.draw.below(3) > 0 {
                torn[at..at + SECTOR].copy_from_slice(&after[at..at + SECTOR]);
            }
        }
        let (found, _) = recovered(&data, &torn, None);
        whole += u32::from(found != old);
        absent += u32::from(found != writer.expected());
        assert!(found == old || found == writer.expected());
    }
    assert!(whole > 0 && absent > 0, "{whole} {absent}");
}

#[test]
fn a_power_cut_during_a_checkpoint_finds_the_old_base_or_the_new_one() {
    let mut writer = Writer::new(11);
    let mut checkpoints = 0;
    while checkpoints < 6 {
        let (before, data, old) = (
            writer.read("journal"),
            writer.read("data.mdb"),
            writer.expected(),
        );
        writer.commit();
        let after = writer.read("journal");
        let last = writer.store.info().unwrap().last_transaction as u64;
        if base(&before) == base(&after) || base(&after).1 == last {
            continue;
        }
        checkpoints += 1;
        // The data file is being flushed: its mark is on disk or not.
        let marked = stamped(&data, &before, &after);
        assert_ne!(marked, data);
        for data in [&data, &marked] {
            assert_eq!(recovered(data, &before, None).0, old);
        }
        // It is flushed; the header is half-written.
        for header_sectors in 0..=PAGE / SECTOR {
            let mut torn = before.clone();
            for slot in 0..2 {
                let at = slot * PAGE;
                let length = header_sectors * SECTOR;
                torn[at..at + length].copy_from_slice(&after[at..at + length]);
            }
            let (found, _) = recovered(&marked, &torn, None);
            assert_eq!(found, old, "{header_sectors} sectors");
        }
    }
}

#[test]
fn a_relaxed_store_loses_its_last_commits_at_most() {
    let (directory, store) = new_store();
    store.set_durability(Durability::Relaxed).unwrap();
    let mut draw = Draw(5);
    let mut disk = Disk::new();
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    let mut lost = 0;
    append(&store, b"first").unwrap();
    let mut flushed = read("journal");
    for round in 0..400_u32 {
        let (before, journal) = (read("data.mdb"), read("journal"));
        let saved = store.info().unwrap().last_transaction as u64;
        append(&store, &[round as u8; 900]).unwrap();
        let after = read("journal");
        let last = saved + 1;
        disk.note(&before, &read("data.mdb"), &after, last);
        // An entry that saves pages is flushed, and with it all before it; others wait.
        let entry = |journal: &[u8]| {
            (2..journal.len() / PAGE)
                .map(|block| &journal[block * PAGE..(block + 1) * PAGE])
                .zip((2..).map(|block| &after[block * PAGE..(block + 1) * PAGE]))
                .find(|(old, new)| old != new)
                .map(|(_, new)| u64::from_le_bytes(new[16..24].try_into().unwrap()))
        };
        if base(&journal) != base(&after) || entry(&journal).is_some_and(|pages| pages > 0) {
            flushed = after.clone();
        }
        if round % 7 == 0 {
            // Each block that was not flushed has reached the disk or not.
            let mut image = flushed.clone();
            for at in (0..image.len()).step_by(PAGE) {
                if draw.below(2) == 0 {
                    image[at..at + PAGE].copy_from_slice(&after[at..at + PAGE]);
                }
            }
            let (found, _) = recovered(&disk.image(&mut draw), &image, None);
            let all = rows(&store).unwrap();
            assert_eq!(found, all[..found.len()], "a prefix");
            lost += all.len() - found.len();
        }
    }
    assert!(lost > 0, "the test takes something away");
}

#[test]
fn what_the_page_cache_lost_since_the_last_process_is_made_whole_in_the_same_boot() {
    let mut writer = Writer::new(3);
    let data = writer.directory.path().join("data.mdb");
    let mut lossy = 0;
    for round in 0..60 {
        (0..=round % 7).for_each(|_| writer.commit());
        writer.store.close();
        // As a file system leaves it that was shut down after an error and mounted again: the same
        // file, and in it what had reached the disk.
        let image = writer.disk.image(&mut writer.draw);
        lossy += u32::from(image != fs::read(&data).unwrap());
        let file = fs::OpenOptions::new().write(true).open(&data).unwrap();
        file.set_len(image.len() as u64).unwrap();
        file.write_all_at(&image, 0).unwrap();
        assert_eq!(rows(&writer.store).unwrap(), writer.expected(), "{round}");
        // Recovery flushed all of it.
        let last = writer.store.info().unwrap().last_transaction as u64;
        let (data, journal) = (writer.read("data.mdb"), writer.read("journal"));
        writer.disk.note(&image, &data, &journal, last);
    }
    assert!(lossy > 30, "the test takes something away");
}

#[test]
fn opening_undoes_and_redoes_what_was_written_since_the_last_checkpoint_and_nothing_else() {
    let (directory, store) = new_store();
    for _ in 0..50 {
        append(&store, &[1; 500]).unwrap();
    }
    let expected = rows(&store).unwrap();
    let files =
        || ["data.mdb", "journal"].map(|name| fs::read(directory.path().join(name)).unwrap());
    let before = base(&files()[1]).0;
    store.close();
    assert_eq!(rows(&store).unwrap(), expected);
    assert_eq!(base(&files()[1]).0, before + 1);
    let whole = files();
    store.close();
    assert_eq!(rows(&store).unwrap(), expected);
    assert_eq!(files(), whole, "there was nothing to do");
    store
        .write_relaxed(&never, |transaction| {
            let tree = transaction.trees().cached_status;
            transaction.put(tree, b"lost", b"or not")?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
    store.close();
    append(&store, b"next").unwrap();
    store.close();
    assert_eq!(rows(&store).unwrap().len(), expected.len() + 1);
}

/// Tells, in a file, of each write and flush of the store's files, in their order.
const SHIM: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/uio.h>
    #include <unistd.h>
    static void log_call(const char *what, int fd, long at, long bytes) {
        static int out = -1;
        char link[64], path[512], line[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length < 0) return;
        path[length] = 0;
        const char *name = strrchr(path, '/');
        if (!name || (strcmp(name, "/data.mdb") && strcmp(name, "/journal") && strcmp(name, "/mark")))
            return;
        if (out < 0) out = open(getenv("STORE_TEST_LOG"), O_CREAT | O_WRONLY | O_APPEND, 0600);
        int size = snprintf(line, sizeof line, "%s %s %ld %ld\n", what, name + 1, at, bytes);
        if (write(out, line, size) != size) abort();
    }
    ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
        ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
        log_call(fcntl(fd, F_GETFL) & O_DSYNC ? "write-through" : "write", fd, at, length);
        return real(fd, bytes, length, at);
    }
    ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
        return pwrite64(fd, bytes, length, at);
    }
    ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
        ssize_t (*real)(int, const struct iovec *, int, off_t) = dlsym(RTLD_NEXT, "pwritev");
        log_call("write", fd, at, 0);
        return real(fd, parts, count, at);
    }
    ssize_t writev(int fd, const struct iovec *parts, int count) {
        ssize_t (*real)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
        log_call("write", fd, lseek(fd, 0, SEEK_CUR), 0);
        return real(fd, parts, count);
    }
    int fdatasync(int fd) {
        int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
        int result = real(fd);
        log_call("flush", fd, 0, 0);
        return result;
    }
"#;

#[test]
fn each_flush_comes_before_what_relies_on_it() {
    const TEST: &str = "each_flush_comes_before_what_relies_on_it";
    if let Some((role, directory)) = role() {
        let store = Store::open(&directory, &SCHEMA, &creating()).unwrap();
        if role == "relaxed" {
            store.set_durability(Durability::Relaxed).unwrap();
        }
        let mark = fs::File::create(directory.with_extension("d").join("mark")).unwrap();
        for number in 0..1_300_u32 {
            append(&store, &number.to_be_bytes()).unwrap();
            mark.write_all_at(b"returned", 0).unwrap();
        }
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let library = shim(parent.path(), SHIM);
    for role in ["durable", "relaxed"] {
        let directory = parent.path().join(role);
        fs::create_dir(directory.with_extension("d")).unwrap();
        let log = parent.path().join(format!("{role}.log"));
        let mut command = player(&[], TEST, role, &directory);
        command
            .env("LD_PRELOAD", &library)
            .env("STORE_TEST_LOG", &log);
        Player::run(command).end();

        let (mut entry_unflushed, mut data_unflushed, mut returned) = (false, false, 0);
        let (mut flushes, mut headers) = (0, 0);
        let log = fs::read_to_string(&log).unwrap();
        // What creates the store comes before its journal.
        let (_, log) = log.split_once("flush journal").unwrap();
        for line in log.lines().skip(1) {
            let words: Vec<_> = line.split(' ').collect();
            let [at, bytes] = [2, 3].map(|word| words[word].parse::<usize>().unwrap());
            match (words[0], words[1]) {
                ("write", "journal") if at < 2 * PAGE => {
                    headers += 1;
                    assert!(!data_unflushed, "a header names a base that is not on disk");
                }
                // A relaxed store waits for those entries alone that save pages, which are the long ones.
                ("write", "journal") => entry_unflushed = role == "durable" || bytes > PAGE,
                ("flush", "journal") => {
                    flushes += 1;
                    entry_unflushed = false;
                }
                ("write", "data.mdb") => {
                    data_unflushed = true;
                    assert!(
                        !entry_unflushed,
                        "pages are written before their entry is on disk"
                    );
                }
                ("flush", "data.mdb") => data_unflushed = false,
                // LMDB's meta page, of a commit that flushes the data file.
                ("write-through", "data.mdb") => assert!(!data_unflushed),
                (_, "mark") => {
                    returned += 1;
                    assert!(!entry_unflushed, "a commit returns before it is on disk");
                }
                _ => panic!("{line}"),
            }
        }
        assert_eq!(returned, 1_300);
        assert!(headers >= 2, "{headers}");
        assert!(
            if role == "relaxed" {
                flushes < 400
            } else {
                flushes >= 1_300
            },
            "{flushes}"
        );
    }
}
