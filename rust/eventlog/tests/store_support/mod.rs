//! What the store's tests share: a schema, rows, and this very test binary in other processes.
//!
//! A test that needs another process runs its own binary again with the name of a role in the
//! environment; the test of that name then plays the role instead of testing.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use eventlog::error::{Error, Result};
use eventlog::store::{OpenOptions, Outcome, Schema, Served, Store, Submission, Transaction};
use tempfile::TempDir;

pub static SCHEMA: Schema = Schema {
    fold_version: 3,
    tables: &["runs", "tags"],
    redo,
    serve,
    dialect: 1,
};

/// Begins the value of a command that is refused, one that fails after a put, and one that kills who
/// runs it for another.
pub const REFUSED: &[u8] = b"refused";
pub const FAILING: &[u8] = b"failing";
pub const KILLING: &[u8] = b"killing";
/// Begins a value over which panics who runs it for another.
pub const PANICKING: &[u8] = b"panicking";

/// Appends a value under the next number, together with those before it in the transaction.
fn append_in(transaction: &mut Transaction<'_>, value: &[u8]) -> Result<u64> {
    if value.starts_with(REFUSED) {
        return Err(Error::Refused(String::from_utf8_lossy(value).into()));
    }
    let log = transaction.trees().log;
    let last = transaction.view().last(log)?.map_or(0, |(key, _)| {
        u64::from_be_bytes(key.try_into().expect("a number"))
    });
    let key = (last + 1).to_be_bytes();
    transaction.append(log, &key, value)?;
    if value.starts_with(FAILING) {
        return Err(Error::Refused("a put failed".into()));
    }
    let mut words = transaction.take_redo().unwrap_or_default();
    words.extend(row(&key, value));
    transaction.set_redo(words);
    Ok(last + 1)
}

fn serve(transaction: &mut Transaction<'_>, value: &[u8], room: usize) -> Result<Served> {
    assert!(room >= 8);
    if value.starts_with(REFUSED) {
        return Ok(Served::Alone);
    }
    if value.starts_with(KILLING) {
        // SAFETY: ends this process.
        unsafe { libc::raise(libc::SIGKILL) };
    }
    assert!(
        !value.starts_with(PANICKING),
        "a panic over another's command"
    );
    if let Some(row) = value.strip_prefix(ROW) {
        put_in(transaction, row)?;
        return Ok(Served::Done(Vec::new()));
    }
    let number = append_in(transaction, value)?;
    Ok(Served::Done(number.to_be_bytes().to_vec()))
}

/// Begins a command that puts the row behind it, as the journal holds rows.
const ROW: &[u8] = b"row:";

fn put_in(transaction: &mut Transaction<'_>, row: &[u8]) -> Result<()> {
    redo(transaction, row)?;
    let mut words = transaction.take_redo().unwrap_or_default();
    words.extend(row);
    transaction.set_redo(words);
    Ok(())
}

/// A row to put that other writers may put for this one.
struct Row(Vec<u8>);

impl Submission for Row {
    type Reply = ();

    fn command(&self) -> Vec<u8> {
        [ROW, &self.0].concat()
    }

    fn run(&self, transaction: &mut Transaction<'_>) -> Result<Outcome<()>> {
        put_in(transaction, &self.0).map(Outcome::Commit)
    }

    fn reply(&self, words: &[u8]) {
        assert!(words.is_empty());
    }
}

/// Where the slots of the queue file begin, how long each is, and the states in which a command waits.
const SLOTS: usize = 4096;
const SLOT: usize = 8192;
const WAITING: [u32; 2] = [2, 3];

/// The states of the slots, as the file has them.
pub fn states(directory: &Path) -> Vec<u32> {
    let bytes = std::fs::read(directory.join("queue")).unwrap();
    let slots = bytes[SLOTS..].chunks_exact(SLOT);
    slots
        .map(|slot| u32::from_ne_bytes(slot[..4].try_into().unwrap()))
        .collect()
}

/// How many commands wait for a leader.
pub fn waiting(directory: &Path) -> usize {
    let states = states(directory);
    let waits = |state: &&u32| WAITING.contains(state);
    states.iter().filter(waits).count()
}

pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Holds the writer lock until so many commands wait, then lets it go.
pub fn hold_until_wait(store: &Store, count: usize, begin: impl FnOnce()) {
    store
        .write(&never, |_| {
            begin();
            wait_until("they wait", || waiting(store.directory()) == count);
            Ok(Outcome::Nothing(()))
        })
        .unwrap();
}

/// Puts rows at once, each from a thread of its own, in one commit.
pub fn put_together(store: &Store, rows: &[(Vec<u8>, Vec<u8>)]) {
    std::thread::scope(|scope| {
        hold_until_wait(store, rows.len(), || {
            for (key, value) in rows {
                scope.spawn(|| store.submit(&never, &Row(row(key, value))).unwrap());
            }
        });
    });
}

/// A value to append that other writers may append for this one.
pub struct Value<'v>(pub &'v [u8]);

impl Submission for Value<'_> {
    type Reply = u64;

    fn command(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn run(&self, transaction: &mut Transaction<'_>) -> Result<Outcome<u64>> {
        append_in(transaction, self.0).map(Outcome::Commit)
    }

    fn reply(&self, words: &[u8]) -> u64 {
        u64::from_be_bytes(words.try_into().expect("a number"))
    }
}

/// Appends a value, in whoever's commit.
pub fn submit(store: &Store, value: &[u8]) -> Result<u64> {
    store.submit(&never, &Value(value))
}

/// Rows of the log's tree, as the journal holds them: the key's length, the value's, key, value.
fn redo(transaction: &mut Transaction<'_>, mut rows: &[u8]) -> Result<()> {
    while let Some((head, rest)) = rows.split_first_chunk::<5>() {
        let (key, rest) = rest.split_at(usize::from(head[0]));
        let length = u32::from_le_bytes(head[1..].try_into().expect("four bytes"));
        let (value, rest) = rest.split_at(length as usize);
        transaction.put(transaction.trees().log, key, value)?;
        rows = rest;
    }
    Ok(())
}

fn row(key: &[u8], value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u32).to_le_bytes();
    [&[key.len() as u8], &length[..], key, value].concat()
}

const ROLE: &str = "STORE_TEST_ROLE";
const DIRECTORY: &str = "STORE_TEST_DIRECTORY";

pub fn creating() -> OpenOptions {
    OpenOptions {
        create: true,
        ..OpenOptions::default()
    }
}

pub fn never() -> bool {
    false
}

/// A new store in a temporary directory.
pub fn new_store() -> (TempDir, Store) {
    new_store_with(&creating())
}

pub fn new_store_with(options: &OpenOptions) -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &SCHEMA, options).unwrap();
    (directory, store)
}

/// Puts one row into the log's tree.
pub fn put(store: &Store, key: &[u8], value: &[u8]) -> Result<()> {
    store.write(&never, |transaction| {
        transaction.put(transaction.trees().log, key, value)?;
        transaction.set_redo(row(key, value));
        Ok(Outcome::Commit(()))
    })
}

/// Appends a row under the next number, and returns the number.
pub fn append(store: &Store, value: &[u8]) -> Result<u64> {
    store.write(&never, |transaction| {
        let log = transaction.trees().log;
        let last = transaction.view().last(log)?.map_or(0, |(key, _)| {
            u64::from_be_bytes(key.try_into().expect("a number"))
        });
        let key = (last + 1).to_be_bytes();
        transaction.append(log, &key, value)?;
        transaction.set_redo(row(&key, value));
        Ok(Outcome::Commit(last + 1))
    })
}

pub fn get(store: &Store, key: &[u8]) -> Result<Option<Vec<u8>>> {
    store.read(|snapshot| {
        Ok(snapshot
            .view()
            .get(snapshot.trees().log, key)?
            .map(<[u8]>::to_vec))
    })
}

/// Every row of the log's tree.
pub fn rows(store: &Store) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    store.read(|snapshot| {
        let rows = snapshot.view().range(snapshot.trees().log, b"", b"")?;
        rows.map(|row| {
            let (key, value) = row?;
            Ok((key.to_vec(), value.to_vec()))
        })
        .collect()
    })
}

/// The error of opening a directory.
pub fn refusal(directory: &Path, options: &OpenOptions) -> Error {
    match Store::open(directory, &SCHEMA, options) {
        Ok(_) => panic!("{} opened", directory.display()),
        Err(error) => error,
    }
}

/// Names in a directory, sorted.
pub fn listing(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The role that this process plays, and the directory it plays it in.
pub fn role() -> Option<(String, PathBuf)> {
    Some((
        std::env::var(ROLE).ok()?,
        std::env::var_os(DIRECTORY)?.into(),
    ))
}

/// A command that plays `role` in the test named `test`, through `wrapper` if one is given.
pub fn player(wrapper: &[&str], test: &str, role: &str, directory: &Path) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(binary),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(binary);
            command
        }
    };
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Another process that plays a role.
pub struct Player {
    pub child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Player {
    pub fn start(test: &str, role: &str, directory: &Path) -> Self {
        Self::run(player(&[], test, role, directory))
    }

    pub fn run(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The next line that it tells, without its mark.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "it ended");
            // The test harness prints on the same stream, before the first word of the line.
            if let Some((_, told)) = line.split_once("tell:") {
                return told.trim_end().into();
            }
        }
    }

    /// Sends it a line.
    pub fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    /// Kills it with no chance to clean up; returns the rest of what it told in whole lines.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
        told(whole)
    }

    /// Waits for its end, which must be a good one; returns the rest of what it told.
    pub fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{rest}");
        told(&rest)
    }
}

fn told(output: &str) -> Vec<String> {
    output
        .lines()
        .filter_map(|line| Some(line.split_once("tell:")?.1.to_string()))
        .collect()
}

/// Tells the process that started this one.
pub fn tell(text: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "tell:{text}").unwrap();
    output.flush().unwrap();
}

/// Waits for a line from the process that started this one; false at the end of its input.
pub fn listen() -> bool {
    std::io::stdin().read_line(&mut String::new()).unwrap() > 0
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Output {
    command.stderr(Stdio::piped()).output().unwrap()
}

/// Compiles a library to preload.
pub fn shim(directory: &Path, source: &str) -> PathBuf {
    let (text, library) = (directory.join("shim.c"), directory.join("shim.so"));
    std::fs::write(&text, source).unwrap();
    let compiled = Command::new("cc")
        .args([
            OsStr::new("-shared"),
            OsStr::new("-fPIC"),
            OsStr::new("-O1"),
        ])
        .arg("-o")
        .args([&library, &text])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(compiled.success());
    library
}
