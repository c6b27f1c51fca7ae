//! Which directories open as a store, and which error refuses the others.

mod store_support;

use std::fs::{self, OpenOptions as FileOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use eventlog::error::Error;
use eventlog::store::lmdb::{Environment, EnvironmentOptions};
use eventlog::store::{Durability, FORMAT, Meta, OpenOptions, Outcome, Schema, Store};
use store_support::{
    Player, creating, finish, get, listen, listing, never, new_store, new_store_with, player, put,
    refusal, role, rows, shim, tell,
};

#[test]
fn a_queue_file_of_an_older_release_is_made_anew_where_nobody_has_it_open() {
    let (directory, store) = new_store();
    put(&store, b"key", b"value").unwrap();
    store.close();
    let path = directory.path().join("queue");
    let length = fs::metadata(&path).unwrap().len();
    let queue = FileOptions::new().write(true).open(&path).unwrap();
    queue.set_len(64 << 10).unwrap();
    queue.write_all_at(&[1], 8).unwrap();
    assert_eq!(get(&store, b"key").unwrap().as_deref(), Some(&b"value"[..]));
    let found = fs::read(&path).unwrap();
    assert_eq!(found.len() as u64, length);
    assert_eq!(found[8], 2);
    put(&store, b"key", b"next").unwrap();
}

/// Opens the directory of the role, and tells how that went.
fn tell_opening(directory: &Path, options: &OpenOptions) {
    match Store::open(directory, &store_support::SCHEMA, options) {
        Ok(_) => tell("opened"),
        Err(error) => tell(format!("{error:?}")),
    }
}

fn set_meta(store: &Store, change: impl FnOnce(&mut Meta)) {
    store
        .write(&never, |transaction| {
            let mut meta = transaction.meta().clone();
            change(&mut meta);
            transaction.set_meta(meta)?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
}

#[test]
fn what_is_committed_is_read_back_after_closing() {
    let (directory, store) = new_store();
    put(&store, b"key", b"value").unwrap();
    store.close();
    store.close();
    assert_eq!(get(&store, b"key").unwrap().as_deref(), Some(&b"value"[..]));
    let again = Store::open(
        directory.path(),
        &store_support::SCHEMA,
        &OpenOptions::default(),
    );
    assert_eq!(again.unwrap().id(), store.id());
}

#[test]
fn a_store_says_what_it_is() {
    let (directory, store) = new_store_with(&OpenOptions {
        map_size: Some(8 << 20),
        max_readers: 100,
        durability: Some(Durability::Relaxed),
        ..creating()
    });
    let info = store.info().unwrap();
    assert_eq!(info.meta.format, FORMAT);
    assert_eq!(info.meta.store, store.id());
    assert_eq!(info.meta.fold_version, store_support::SCHEMA.fold_version);
    assert_eq!(info.meta.durability, Durability::Relaxed);
    assert_eq!((info.meta.map_size, info.map_size), (8 << 20, 8 << 20));
    assert_eq!(info.max_readers, 100);
    assert_eq!(info.directory, directory.path().canonicalize().unwrap());
    assert!(info.used_bytes <= info.file_bytes && info.page_size >= 4096);
}

#[test]
fn a_store_is_private_to_its_owner() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("in/side");
    let store = Store::open(&directory, &store_support::SCHEMA, &creating()).unwrap();
    put(&store, b"key", b"value").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(
        listing(&directory),
        ["data.mdb", "journal", "lock.mdb", "pidns", "queue"]
    );
    for name in ["data.mdb", "lock.mdb", "queue"] {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&directory.join("pidns")), 0o700);
}

#[test]
fn durability_is_the_stores_and_changes_for_every_handle() {
    let (directory, store) = new_store();
    let other = Store::open(directory.path(), &store_support::SCHEMA, &creating()).unwrap();
    store.set_durability(Durability::Relaxed).unwrap();
    put(&other, b"key", b"value").unwrap();
    let durability = other.read(|snapshot| Ok(snapshot.meta().durability));
    assert_eq!(durability.unwrap(), Durability::Relaxed);
}

#[test]
fn a_directory_that_is_no_store_is_refused_and_left_as_it_was() {
    let parent = tempfile::tempdir().unwrap();
    let no_store = |path: &Path, options: &OpenOptions| match refusal(path, options) {
        Error::NotAStore { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let plain = OpenOptions::default();

    let absent = parent.path().join("absent");
    assert!(no_store(&absent, &plain).contains("no such directory"));
    assert!(!absent.exists());

    let file = parent.path().join("file");
    fs::write(&file, "text").unwrap();
    assert!(no_store(&file, &creating()).contains("a file, not a directory"));

    let empty = parent.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(no_store(&empty, &plain).contains("empty"));
    assert!(listing(&empty).is_empty());

    let full = parent.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("history.db"), "rows").unwrap();
    assert!(no_store(&full, &creating()).contains("history.db"));
    assert_eq!(listing(&full), ["history.db"]);

    let queue = parent.path().join("queue");
    fs::create_dir(&queue).unwrap();
    fs::write(
        queue.join("queue"),
        "another program's queue of some length",
    )
    .unwrap();
    assert!(no_store(&queue, &creating()).contains("queue belongs to another program"));
    assert_eq!(listing(&queue), ["queue"]);
}

#[test]
fn a_data_file_of_another_program_is_refused_and_left_as_it_was() {
    let parent = tempfile::tempdir().unwrap();
    for (name, trees) in [("empty", 0), ("one", 1)] {
        let directory = parent.path().join(name);
        fs::create_dir(&directory).unwrap();
        let environment = Environment::open(
            &directory,
            &EnvironmentOptions {
                map_size: 1 << 20,
                max_readers: 8,
                max_trees: 4,
                scratch: false,
                read_only: false,
                no_lock: false,
            },
        )
        .unwrap();
        for _ in 0..trees {
            let mut writing = environment.write().unwrap();
            let tree = writing.create_tree("meta").unwrap();
            writing.put(tree, b"other", b"row").unwrap();
            writing.commit().unwrap();
        }
        drop(environment);
        for options in [creating(), OpenOptions::default()] {
            let error = refusal(&directory, &options);
            let Error::NotAStore { reason, .. } = error else {
                panic!("{error:?}");
            };
            assert!(reason.contains("data.mdb belongs to another program"));
            assert_eq!(listing(&directory), ["data.mdb", "lock.mdb"]);
        }
    }
    let directory = parent.path().join("text");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("data.mdb"), "no pages at all").unwrap();
    assert!(matches!(
        refusal(&directory, &creating()),
        Error::NotAStore { .. }
    ));
}

#[test]
fn a_data_file_alone_is_a_whole_backup() {
    let (directory, store) = new_store();
    put(&store, b"key", b"value").unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::copy(
        directory.path().join("data.mdb"),
        other.path().join("data.mdb"),
    )
    .unwrap();
    let restored = Store::open(
        other.path(),
        &store_support::SCHEMA,
        &OpenOptions::default(),
    );
    let restored = restored.unwrap();
    assert_eq!(restored.id(), store.id());
    assert_eq!(
        get(&restored, b"key").unwrap().as_deref(),
        Some(&b"value"[..])
    );
}

#[test]
fn damage_to_the_data_file_is_told_before_it_is_mapped() {
    let (directory, store) = new_store();
    for number in 0..50_u32 {
        put(&store, &number.to_be_bytes(), &[7; 3000]).unwrap();
    }
    let pages = store.info().unwrap().used_bytes;
    drop(store);
    // It would bring back some of what is damaged here.
    fs::remove_file(directory.path().join("journal")).unwrap();
    let whole = fs::read(directory.path().join("data.mdb")).unwrap();
    let reason = |bytes: Option<&[u8]>| {
        let path = directory.path().join("data.mdb");
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        match refusal(directory.path(), &creating()) {
            Error::Damaged { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(reason(Some(&whole[..pages as usize / 2])).contains("data.mdb ends after"));
    assert!(reason(Some(&whole[..pages as usize - 1])).contains("data.mdb ends after"));
    assert!(reason(Some(&whole[..4096])).contains("second meta page"));
    assert!(reason(Some(&[])).contains("empty"));
    for (at, said) in [(0, "first meta page"), (4096, "second meta page")] {
        let mut garbage = whole.clone();
        garbage[at..at + 200].fill(0xA5);
        assert!(reason(Some(&garbage)).contains(said));
    }
    let mut elsewhere = whole.clone();
    for meta in [16, 4096 + 16] {
        elsewhere[meta + 120..meta + 128].copy_from_slice(&(u64::MAX / 3).to_ne_bytes());
    }
    assert!(reason(Some(&elsewhere)).contains("contradict"));
    assert!(reason(None).contains("gone"));
    fs::write(directory.path().join("data.mdb"), &whole).unwrap();
    let store = Store::open(directory.path(), &store_support::SCHEMA, &creating()).unwrap();
    assert_eq!(rows(&store).unwrap().len(), 50);
}

#[test]
fn a_file_may_end_before_its_last_page_where_those_pages_are_free() {
    let (directory, store) = new_store();
    for _ in 0..5 {
        // Leaves free pages for the bookkeeping of the next commits.
        put(&store, b"small", b"stays").unwrap();
    }
    store
        .write(&never, |transaction| {
            let log = transaction.trees().log;
            transaction.put(log, b"small", b"stays still")?;
            transaction.put(log, b"large", &[1; 300_000])?;
            transaction.delete(log, b"large")?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
    let used = store.info().unwrap().used_bytes;
    drop(store);
    let data = FileOptions::new()
        .write(true)
        .open(directory.path().join("data.mdb"))
        .unwrap();
    let length = data.metadata().unwrap().len().min(used - 290_000);
    assert!(length < used);
    data.set_len(length).unwrap();
    let store = Store::open(directory.path(), &store_support::SCHEMA, &creating()).unwrap();
    put(&store, b"next", &[2; 300_000]).unwrap();
    assert_eq!(get(&store, b"next").unwrap().unwrap().len(), 300_000);
    let small = get(&store, b"small").unwrap();
    assert_eq!(small.as_deref(), Some(&b"stays still"[..]));
}

#[test]
fn a_store_of_another_version_is_refused_at_opening_and_in_mid_life() {
    static NEWER: Schema = Schema {
        fold_version: 4,
        tables: &["runs", "tags", "assets"],
        redo: |_, _| Ok(()),
        serve: |_, _, _| Ok(eventlog::store::Served::Alone),
        dialect: 2,
    };
    let (directory, store) = new_store();
    let open = |schema| Store::open(directory.path(), schema, &OpenOptions::default());
    store.close();
    let error = open(&NEWER).map(|_| ()).unwrap_err();
    assert!(matches!(
        error,
        Error::FoldTooOld {
            found: 3,
            supported: 4,
            ..
        }
    ));

    let for_rebuild = OpenOptions {
        for_rebuild: true,
        ..OpenOptions::default()
    };
    let newer = Store::open(directory.path(), &NEWER, &for_rebuild).unwrap();
    let tables = newer.read(|snapshot| Ok(snapshot.live_set().len()));
    assert_eq!(tables.unwrap(), 3);
    newer.close();

    set_meta(&store, |meta| meta.fold_version = 4);
    let error = get(&store, b"key").unwrap_err();
    assert!(matches!(
        error,
        Error::FoldTooNew {
            found: 4,
            supported: 3,
            ..
        }
    ));
    let error = put(&store, b"key", b"value").unwrap_err();
    assert!(matches!(error, Error::FoldTooNew { .. }));
    store.close();
    let error = open(&store_support::SCHEMA).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::FoldTooNew { .. }));

    let newer = open(&NEWER).unwrap();
    set_meta(&newer, |meta| meta.format = FORMAT + 1);
    let error = newer.read(|_| Ok(())).unwrap_err();
    assert!(matches!(error, Error::FormatTooNew { found, .. } if found == FORMAT + 1));
    newer.close();
    let error = open(&NEWER).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::FormatTooNew { .. }));
}

#[test]
fn the_live_set_is_the_one_that_the_meta_row_names() {
    let (_directory, store) = new_store();
    let sets = |store: &Store| {
        store
            .read(|snapshot| {
                assert_eq!(snapshot.trees().sets[0].len(), 2);
                let live = snapshot.live_set().to_vec();
                Ok(snapshot.trees().sets.iter().position(|set| *set == live))
            })
            .unwrap()
    };
    assert_eq!(sets(&store), Some(0));
    set_meta(&store, |meta| meta.live_set = 1);
    assert_eq!(sets(&store), Some(1));
}

#[test]
fn a_user_without_permission_is_refused() {
    const TEST: &str = "a_user_without_permission_is_refused";
    if let Some((role, directory)) = role() {
        if role == "nobody" {
            // SAFETY: changes this process's user; it holds nothing of another's.
            assert_eq!(unsafe { libc::setuid(65534) }, 0);
        }
        return tell_opening(&directory, &creating());
    }
    // SAFETY: reads this process's user.
    if unsafe { libc::geteuid() } != 0 {
        println!("SKIPPED: only root can become another user");
        return;
    }
    let parent = tempfile::tempdir_in("/var/tmp").unwrap();
    let open_to = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open_to(parent.path(), 0o755).unwrap();
    // The other user has to reach the test's own binary, too.
    let binary = parent.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let store = parent.path().join("store");
    Store::open(&store, &store_support::SCHEMA, &creating())
        .unwrap()
        .close();
    let told = |directory: &Path| {
        let mut command = std::process::Command::new(&binary);
        let template = player(&[], TEST, "nobody", directory);
        command.args(template.get_args());
        for (name, value) in template.get_envs() {
            command.env(name, value.unwrap());
        }
        command.stdout(std::process::Stdio::piped());
        Player::run(command).end().pop().unwrap()
    };
    assert!(
        told(&store).starts_with("Permission"),
        "a private directory"
    );
    open_to(&store, 0o755).unwrap();
    assert!(told(&store).starts_with("Permission"), "private files");
    assert!(
        told(&parent.path().join("new")).starts_with("Permission"),
        "a new one"
    );
}

#[test]
fn a_network_file_system_is_refused_unless_allowed() {
    const TEST: &str = "a_network_file_system_is_refused_unless_allowed";
    const SHIM: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdlib.h>
        #include <sys/vfs.h>
        int statfs(const char *path, struct statfs *result) {
            int (*real)(const char *, struct statfs *) = dlsym(RTLD_NEXT, "statfs");
            int code = real(path, result);
            result->f_type = strtol(getenv("STORE_TEST_STATFS"), 0, 16);
            return code;
        }
        int statfs64(const char *path, struct statfs64 *result) {
            return statfs(path, (struct statfs *)result);
        }
    "#;
    if let Some((role, directory)) = role() {
        let allow_network_file_system = role == "allowed";
        return tell_opening(
            &directory,
            &OpenOptions {
                allow_network_file_system,
                ..creating()
            },
        );
    }
    let parent = tempfile::tempdir().unwrap();
    let library = shim(parent.path(), SHIM);
    let told = |role, kind| {
        let directory = parent.path().join(format!("store-{kind}"));
        let mut command = player(&[], TEST, role, &directory);
        command.env("LD_PRELOAD", &library);
        command.env("STORE_TEST_STATFS", kind);
        Player::run(command).end().pop().unwrap()
    };
    for (kind, name) in [
        ("6969", "NFS"),
        ("ff534d42", "CIFS"),
        ("fe534d42", "SMB2"),
        ("01021997", "9P"),
        ("00c36400", "Ceph"),
        ("0bd00bd0", "Lustre"),
        ("47504653", "GPFS"),
        ("5346414f", "AFS"),
    ] {
        let told = told("refused", kind);
        assert!(
            told.starts_with("NetworkFileSystem") && told.contains(name),
            "{told}"
        );
    }
    assert_eq!(told("allowed", "6969"), "opened");
    assert_eq!(told("refused", "ef53"), "opened");
}

#[test]
fn a_store_open_in_another_pid_namespace_is_refused_unless_allowed() {
    const TEST: &str = "a_store_open_in_another_pid_namespace_is_refused_unless_allowed";
    if let Some((role, directory)) = role() {
        let options = OpenOptions {
            allow_other_pid_namespaces: role == "allowed",
            ..OpenOptions::default()
        };
        let kept = Store::open(&directory, &store_support::SCHEMA, &options);
        tell(match &kept {
            Ok(_) => "opened".into(),
            Err(error) => format!("{error:?}"),
        });
        while listen() {}
        return;
    }
    let wrapper = ["unshare", "--fork", "--pid"];
    if !finish_ok(&wrapper) {
        println!("SKIPPED: this machine lets nobody make a PID namespace");
        return;
    }
    let (directory, store) = new_store();
    let other = |role| Player::run(player(&wrapper, TEST, role, directory.path()));
    let mut refused = other("refused");
    assert!(refused.hear().starts_with("OtherPidNamespace"));
    refused.end();
    let mut allowed = other("allowed");
    assert_eq!(allowed.hear(), "opened");
    // The other way round too: this namespace is now the second.
    store.close();
    let error = refusal(directory.path(), &OpenOptions::default());
    assert!(matches!(error, Error::OtherPidNamespace { .. }));
    assert!(error.to_string().contains("shareProcessNamespace"));
    allowed.end();
    put(&store, b"key", b"value").unwrap();
    assert_eq!(
        listing(&directory.path().join("pidns")).len(),
        1,
        "stale files go"
    );
    store.close();
    // A process that another test starts holds this one's files until it runs its program.
    let alone = (0..100).any(|_| {
        let mut alone = other("refused");
        let told = alone.hear();
        alone.end();
        told == "opened"
    });
    assert!(alone);
}

fn finish_ok(wrapper: &[&str]) -> bool {
    let mut command = std::process::Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg("true");
    finish(command).status.success()
}

#[test]
fn a_directory_made_anew_is_another_store() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    let first = Store::open(&directory, &store_support::SCHEMA, &creating()).unwrap();
    put(&first, b"key", b"value").unwrap();
    let inode = fs::metadata(&directory).unwrap().ino();
    fs::remove_dir_all(&directory).unwrap();
    let second = Store::open(&directory, &store_support::SCHEMA, &creating()).unwrap();
    assert_ne!(fs::metadata(&directory).unwrap().ino(), inode);
    assert_ne!(first.id(), second.id());
    assert_eq!(get(&second, b"key").unwrap(), None);
    first.close();
    let error = get(&first, b"key").unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error:?}");
}

#[test]
fn a_store_that_an_incompatible_process_holds_open_is_refused() {
    const TEST: &str = "a_store_that_an_incompatible_process_holds_open_is_refused";
    if let Some((role, directory)) = role() {
        let file = |name| {
            FileOptions::new()
                .read(true)
                .write(true)
                .open(directory.join(name))
                .unwrap()
        };
        if role == "another LMDB" {
            // As LMDB does: a shared lock on the first byte says that the lock file is in use.
            let lock = file("lock.mdb");
            // SAFETY: flock is plain data; zero is a valid value of each field.
            let mut request: libc::flock = unsafe { std::mem::zeroed() };
            request.l_type = libc::F_RDLCK as libc::c_short;
            request.l_len = 1;
            let descriptor = std::os::fd::AsRawFd::as_raw_fd(&lock);
            // SAFETY: the descriptor is open, and `request` valid for the call.
            let code = unsafe { libc::fcntl(descriptor, libc::F_SETLK, &mut request) };
            assert_eq!(code, 0);
            let format = lock.write_all_at(&[1, 0, 0, 0], 4);
            format.unwrap();
            tell("open");
            listen();
            return;
        }
        let _store =
            Store::open(&directory, &store_support::SCHEMA, &OpenOptions::default()).unwrap();
        let at = if role == "version" { 8 } else { 12 };
        file("queue").write_all_at(&[99], at).unwrap();
        tell("open");
        listen();
        return;
    }
    let (directory, store) = new_store();
    put(&store, b"key", b"value").unwrap();
    store.close();
    for (role, said) in [
        ("another LMDB", "another program"),
        ("version", "version 99"),
        ("library", "C library"),
    ] {
        let mut holder = Player::start(TEST, role, directory.path());
        holder.hear();
        let error = refusal(directory.path(), &OpenOptions::default());
        match role {
            "another LMDB" => assert!(matches!(error, Error::LockNotShared { .. }), "{error:?}"),
            _ => assert!(matches!(error, Error::Incompatible { .. }), "{error:?}"),
        }
        assert!(error.to_string().contains(said), "{error}");
        holder.end();
        // What nobody holds any more is made anew.
        assert!(get(&store, b"key").unwrap().is_some());
        store.close();
    }
}
