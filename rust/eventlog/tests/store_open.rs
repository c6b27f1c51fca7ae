use eventlog::store::{OpenOptions, Outcome, Schema, Store};

static SCHEMA: Schema = Schema {
    fold_version: 1,
    tables: &["runs", "tags"],
};

#[test]
fn what_is_committed_is_read_back_after_closing() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        create: true,
        ..OpenOptions::default()
    };
    let store = Store::open(directory.path(), &SCHEMA, &options).unwrap();
    store
        .write(&|| false, |transaction| {
            let log = transaction.trees().log;
            transaction.append(log, b"1", b"one")?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
    store.close();
    let read = store.read(|snapshot| {
        Ok(snapshot
            .view()
            .get(snapshot.trees().log, b"1")?
            .map(<[u8]>::to_vec))
    });
    assert_eq!(read.unwrap().as_deref(), Some(&b"one"[..]));
}
