//! What the store's calls cost, printed: `cargo test --release --test store_costs -- --ignored --nocapture`.

mod store_support;

use std::fs::OpenOptions as FileOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use eventlog::store::{Durability, OpenOptions, Outcome, Store};
use store_support::{append, never, put};

fn each(count: u32, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        work();
    }
    start.elapsed() / count
}

#[test]
#[ignore = "it measures"]
fn costs() {
    let parent = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let options = OpenOptions {
        create: true,
        ..OpenOptions::default()
    };
    let directory = parent.path().join("store");
    let start = Instant::now();
    let store = Store::open(&directory, &store_support::SCHEMA, &options).unwrap();
    println!("create            {:?}", start.elapsed());
    put(&store, b"key", b"value").unwrap();
    println!(
        "close and reopen  {:?}",
        each(200, || {
            store.close();
            store.commit_word();
        })
    );
    println!(
        "read, empty       {:?}",
        each(200_000, || {
            store.read(|_| Ok(())).unwrap();
        })
    );
    println!(
        "read, one row     {:?}",
        each(200_000, || {
            store_support::get(&store, b"key").unwrap();
        })
    );
    println!(
        "write, nothing    {:?}",
        each(200_000, || {
            store.write(&never, |_| Ok(Outcome::Nothing(()))).unwrap();
        })
    );
    println!(
        "commit word       {:?}",
        each(200_000, || {
            store.commit_word();
        })
    );
    store
        .write(&never, |transaction| {
            transaction.clear(transaction.trees().log)?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
    let append_one = || {
        append(&store, &[7; 500]).unwrap();
    };
    println!("durable append    {:?}", each(1000, append_one));
    store.set_durability(Durability::Relaxed).unwrap();
    println!("relaxed append    {:?}", each(1000, append_one));
    store.set_durability(Durability::Durable).unwrap();
    println!(
        "side table        {:?}",
        each(1000, || {
            store
                .write_relaxed(&never, |transaction| {
                    transaction.put(
                        transaction.trees().cached_status,
                        b"key",
                        &Instant::now().elapsed().as_nanos().to_ne_bytes(),
                    )?;
                    Ok(Outcome::Commit(()))
                })
                .unwrap();
        })
    );
    let info = store.info().unwrap();
    println!("file {} used {}", info.file_bytes, info.used_bytes);

    let file = FileOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(parent.path().join("raw"))
        .unwrap();
    file.write_all_at(&vec![1; 4 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut at = 0;
    println!(
        "fdatasync 4 KiB over written   {:?}",
        each(500, || {
            file.write_all_at(&[2; 4096], at % (4 << 20)).unwrap();
            at += 4096;
            file.sync_data().unwrap();
        })
    );
    let mut at = 4 << 20;
    println!(
        "fdatasync 4 KiB extending      {:?}",
        each(500, || {
            file.write_all_at(&[2; 4096], at).unwrap();
            at += 4096;
            file.sync_data().unwrap();
        })
    );
}
