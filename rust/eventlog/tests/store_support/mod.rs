//! What the store's tests share: a schema, rows, and this very test binary in other processes.
//!
//! A test that needs another process runs its own binary again with the name of a role in the
//! environment; the test of that name then plays the role instead of testing.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use eventlog::error::{Error, Result};
use eventlog::store::{OpenOptions, Outcome, Schema, Store, Transaction};
use tempfile::TempDir;

pub static SCHEMA: Schema = Schema {
    fold_version: 3,
    tables: &["runs", "tags"],
    redo,
};

/// A row of the log's tree, as the journal holds it: the key's length, key, value.
fn redo(transaction: &mut Transaction<'_>, row: &[u8]) -> Result<()> {
    let (key, value) = row[1..].split_at(usize::from(row[0]));
    transaction.put(transaction.trees().log, key, value)
}

fn row(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&[key.len() as u8], key, value].concat()
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
