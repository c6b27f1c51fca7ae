//! LMDB, bound as thinly as the engine needs it.
//!
//! Owns every call into `lmdb-master-sys`; nothing else in the crate names a `mdb_` function. The
//! types carry LMDB's rules in their lifetimes: a [`View`] and what it returns cannot outlive its
//! transaction, and nothing read in a write transaction can be held across a `put`. Environments are
//! opened with `MDB_NOTLS`, so read transactions are not bound to threads.
//!
//! Only `store` opens environments; the layers above receive transactions.

use std::ffi::{CStr, CString, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use lmdb_master_sys as ffi;

pub use super::lmdb_error::LmdbError;
pub use super::range::{Range, after_prefix};

type Result<T> = std::result::Result<T, LmdbError>;

/// LMDB's or the system's words for a code.
pub(super) fn message(code: c_int) -> String {
    // SAFETY: mdb_strerror returns a static or thread-local NUL-terminated string for any code.
    let text = unsafe { CStr::from_ptr(ffi::mdb_strerror(code)) };
    text.to_string_lossy().into_owned()
}

fn check(operation: &'static str, code: c_int) -> Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(LmdbError { operation, code })
    }
}

fn value_of(bytes: &[u8]) -> ffi::MDB_val {
    ffi::MDB_val {
        mv_size: bytes.len(),
        mv_data: bytes.as_ptr().cast::<c_void>().cast_mut(),
    }
}

/// A named B-tree of the environment. Valid for the environment it was opened in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree(ffi::MDB_dbi);

/// What an environment is opened with.
#[derive(Debug, Clone)]
pub struct EnvironmentOptions {
    /// Bytes of address space for the map; the file grows into it.
    pub map_size: usize,
    /// Reader slots; the first opener of a lock file fixes them.
    pub max_readers: u32,
    /// Named trees.
    pub max_trees: u32,
    /// `MDB_NOSYNC`: for environments that nobody keeps, or that are flushed once they are whole.
    pub scratch: bool,
    /// `MDB_RDONLY`.
    pub read_only: bool,
    /// `MDB_NOLOCK`: touches no lock file; for an environment that nobody else has open.
    pub no_lock: bool,
}

/// Sizes of the environment, in pages and bytes.
#[derive(Debug, Clone, Copy)]
pub struct EnvironmentInfo {
    pub map_size: usize,
    pub page_size: usize,
    /// Number of the last page in use.
    pub last_page: usize,
    /// Id of the last committed transaction.
    pub last_transaction: usize,
    pub max_readers: u32,
    /// Reader slots ever taken at once.
    pub readers: u32,
}

/// Sizes of one tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct TreeStat {
    pub depth: u32,
    pub branch_pages: usize,
    pub leaf_pages: usize,
    pub overflow_pages: usize,
    pub entries: usize,
}

/// An open LMDB environment.
///
/// Dropping it closes the files, and with them every POSIX lock that this process holds on the lock
/// file; after a fork the child must [`Environment::leak`] the one it inherited.
#[derive(Debug)]
pub struct Environment {
    raw: *mut ffi::MDB_env,
}

// SAFETY: an MDB_env may be used from any thread; LMDB locks internally.
unsafe impl Send for Environment {}
// SAFETY: as above; MDB_NOTLS is always set, so read transactions are not tied to threads.
unsafe impl Sync for Environment {}

impl Environment {
    /// Opens `directory/data.mdb` and `directory/lock.mdb`, creating them (mode 0600) if absent.
    pub fn open(directory: &Path, options: &EnvironmentOptions) -> Result<Self> {
        let path = CString::new(directory.as_os_str().as_bytes()).map_err(|_| LmdbError {
            operation: "mdb_env_open",
            code: libc::EINVAL,
        })?;
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is a valid out-pointer.
        check("mdb_env_create", unsafe { ffi::mdb_env_create(&mut raw) })?;
        let environment = Self { raw };
        let mut flags = ffi::MDB_NOTLS | ffi::MDB_NORDAHEAD;
        if options.scratch {
            flags |= ffi::MDB_NOSYNC;
        }
        if options.read_only {
            flags |= ffi::MDB_RDONLY;
        }
        if options.no_lock {
            flags |= ffi::MDB_NOLOCK;
        }
        // SAFETY: `raw` is a created, not yet opened environment; `path` outlives the call. On
        // failure the environment is closed by drop, as LMDB asks.
        unsafe {
            check(
                "mdb_env_set_mapsize",
                ffi::mdb_env_set_mapsize(raw, options.map_size),
            )?;
            check(
                "mdb_env_set_maxreaders",
                ffi::mdb_env_set_maxreaders(raw, options.max_readers),
            )?;
            check(
                "mdb_env_set_maxdbs",
                ffi::mdb_env_set_maxdbs(raw, options.max_trees),
            )?;
            check(
                "mdb_env_open",
                ffi::mdb_env_open(raw, path.as_ptr(), flags, 0o600),
            )?;
        }
        Ok(environment)
    }

    /// Forgets the environment without closing a descriptor or releasing a lock.
    ///
    /// For a forked child: closing the inherited lock file would drop the locks that the child
    /// itself takes on it later.
    pub fn leak(self) {
        std::mem::forget(self);
    }

    /// Begins a read transaction at the last commit.
    pub fn read(&self) -> Result<ReadTransaction<'_>> {
        let mut raw = ptr::null_mut();
        // SAFETY: `self.raw` is open; a null parent is allowed.
        let code =
            unsafe { ffi::mdb_txn_begin(self.raw, ptr::null_mut(), ffi::MDB_RDONLY, &mut raw) };
        check("mdb_txn_begin", code)?;
        Ok(ReadTransaction {
            raw,
            environment: PhantomData,
        })
    }

    /// Begins the write transaction, waiting for LMDB's writer lock.
    pub fn write(&self) -> Result<WriteTransaction<'_>> {
        let mut raw = ptr::null_mut();
        // SAFETY: `self.raw` is open; a null parent is allowed.
        let code = unsafe { ffi::mdb_txn_begin(self.raw, ptr::null_mut(), 0, &mut raw) };
        check("mdb_txn_begin", code)?;
        Ok(WriteTransaction {
            raw,
            environment: PhantomData,
        })
    }

    /// Changes the size of the map; 0 takes the size that another process gave it. After a failure
    /// the environment has no map, and can only be dropped.
    ///
    /// LMDB asks that no transaction of this process is live; transactions borrow the environment,
    /// so the exclusive borrow says that none is.
    pub fn set_map_size(&mut self, bytes: usize) -> Result<()> {
        // SAFETY: `self.raw` is open and no transaction borrows it.
        check("mdb_env_set_mapsize", unsafe {
            ffi::mdb_env_set_mapsize(self.raw, bytes)
        })
    }

    /// Frees the reader slots of dead processes, and says how many there were.
    pub fn clear_dead_readers(&self) -> Result<u32> {
        let mut dead: c_int = 0;
        // SAFETY: `self.raw` is open and `dead` a valid out-pointer.
        check("mdb_reader_check", unsafe {
            ffi::mdb_reader_check(self.raw, &mut dead)
        })?;
        Ok(dead.unsigned_abs())
    }

    /// Sizes of the environment.
    pub fn info(&self) -> Result<EnvironmentInfo> {
        // SAFETY: both structs are plain data that LMDB fills; `self.raw` is open.
        let (info, stat) = unsafe {
            let mut info: ffi::MDB_envinfo = std::mem::zeroed();
            check("mdb_env_info", ffi::mdb_env_info(self.raw, &mut info))?;
            let mut stat: ffi::MDB_stat = std::mem::zeroed();
            check("mdb_env_stat", ffi::mdb_env_stat(self.raw, &mut stat))?;
            (info, stat)
        };
        Ok(EnvironmentInfo {
            map_size: info.me_mapsize,
            page_size: stat.ms_psize as usize,
            last_page: info.me_last_pgno,
            last_transaction: info.me_last_txnid,
            max_readers: info.me_maxreaders,
            readers: info.me_numreaders,
        })
    }

    /// Descriptor of the data file, which LMDB opens without `O_CLOEXEC`.
    pub fn data_descriptor(&self) -> Result<c_int> {
        let mut descriptor = -1;
        // SAFETY: `self.raw` is open and `descriptor` a valid out-pointer.
        check("mdb_env_get_fd", unsafe {
            ffi::mdb_env_get_fd(self.raw, &mut descriptor)
        })?;
        Ok(descriptor)
    }

    /// Flushes what unflushed commits left.
    pub fn sync(&self) -> Result<()> {
        // SAFETY: `self.raw` is open.
        check("mdb_env_sync", unsafe { ffi::mdb_env_sync(self.raw, 1) })
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // SAFETY: transactions borrow the environment, so none is live; the handle is not used again.
        unsafe { ffi::mdb_env_close(self.raw) }
    }
}

/// A snapshot of the environment. Dropping it ends it.
#[derive(Debug)]
pub struct ReadTransaction<'e> {
    raw: *mut ffi::MDB_txn,
    environment: PhantomData<&'e Environment>,
}

// SAFETY: with MDB_NOTLS a read transaction may move between threads.
unsafe impl Send for ReadTransaction<'_> {}

impl ReadTransaction<'_> {
    /// What the transaction sees.
    pub fn view(&self) -> View<'_> {
        View {
            raw: self.raw,
            transaction: PhantomData,
        }
    }

    /// Opens an existing tree, or says that there is none of that name.
    pub fn open_tree(&self, name: &str) -> Result<Option<Tree>> {
        open_tree(self.raw, name, 0)
    }

    /// Id of the transaction whose state it sees.
    pub fn id(&self) -> usize {
        // SAFETY: the transaction is live.
        unsafe { ffi::mdb_txn_id(self.raw) }
    }

    /// Numbers of free pages, as LMDB's tree of them lists what the commits after `transaction` freed: at
    /// most so many, in the order in which LMDB takes them. O(their number).
    pub fn freed_after(&self, transaction: usize, most: usize) -> Result<Vec<u64>> {
        /// The tree of free pages: transaction to a count and that many page numbers, descending.
        const FREE_PAGES: Tree = Tree(0);
        let mut freed = Vec::new();
        let mut cursor = self.view().cursor(FREE_PAGES)?;
        let mut row = cursor.seek(&(transaction + 1).to_ne_bytes())?;
        while let Some((_, list)) = row
            && freed.len() < most
        {
            let (numbers, _) = list.as_chunks::<{ size_of::<usize>() }>();
            let count = numbers
                .first()
                .map_or(0, |count| usize::from_ne_bytes(*count));
            let pages = numbers.iter().skip(1).take(count).rev();
            let pages = pages.map(|number| usize::from_ne_bytes(*number) as u64);
            freed.extend(pages.take(most - freed.len()));
            row = cursor.next()?;
        }
        Ok(freed)
    }

    /// Commits a read transaction, which publishes the trees it opened to the environment.
    pub fn publish_trees(self) -> Result<()> {
        let raw = self.raw;
        std::mem::forget(self);
        // SAFETY: `raw` is live and, `self` being forgotten, ended exactly once.
        check("mdb_txn_commit", unsafe { ffi::mdb_txn_commit(raw) })
    }
}

impl Drop for ReadTransaction<'_> {
    fn drop(&mut self) {
        // SAFETY: `raw` is live; cursors borrow the view and are gone.
        unsafe { ffi::mdb_txn_abort(self.raw) }
    }
}

/// The environment's one write transaction. Dropping it aborts.
#[derive(Debug)]
pub struct WriteTransaction<'e> {
    raw: *mut ffi::MDB_txn,
    environment: PhantomData<&'e Environment>,
}

impl WriteTransaction<'_> {
    /// What the transaction sees, its own changes included.
    pub fn view(&self) -> View<'_> {
        View {
            raw: self.raw,
            transaction: PhantomData,
        }
    }

    /// Opens a tree, creating it if absent.
    pub fn create_tree(&mut self, name: &str) -> Result<Tree> {
        Ok(open_tree(self.raw, name, ffi::MDB_CREATE)?.expect("MDB_CREATE makes the tree"))
    }

    /// Opens an existing tree, or says that there is none of that name.
    pub fn open_tree(&mut self, name: &str) -> Result<Option<Tree>> {
        open_tree(self.raw, name, 0)
    }

    /// Removes a tree and every row of it. Nobody else of this process may use it.
    pub fn remove_tree(&mut self, tree: Tree) -> Result<()> {
        // SAFETY: the transaction is live; 1 removes the tree and closes its handle.
        check("mdb_drop", unsafe { ffi::mdb_drop(self.raw, tree.0, 1) })
    }

    /// Inserts or replaces a row.
    pub fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_with(tree, key, value, 0)
    }

    /// Inserts or replaces rows. One cursor goes along: where keys ascend, those that belong on one page
    /// are not looked up from the root.
    pub fn put_all<'r>(&mut self, tree: Tree, rows: impl Iterator<Item = Row<'r>>) -> Result<()> {
        let cursor = self.view().cursor(tree)?;
        for (key, value) in rows {
            let (mut key, mut value) = (value_of(key), value_of(value));
            // SAFETY: the transaction is live and the cursor its own; LMDB copies key and value during
            // the call.
            check("mdb_cursor_put", unsafe {
                ffi::mdb_cursor_put(cursor.raw, &mut key, &mut value, 0)
            })?;
        }
        Ok(())
    }

    /// Inserts a row whose key is above every key of the tree.
    pub fn append(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_with(tree, key, value, ffi::MDB_APPEND)
    }

    /// As [`Self::append`], of a value that is in two places: copied once, into its page.
    pub fn append_in_two(
        &mut self,
        tree: Tree,
        key: &[u8],
        head: &[u8],
        rest: &[u8],
    ) -> Result<()> {
        let mut key = value_of(key);
        let mut value = ffi::MDB_val {
            mv_size: head.len() + rest.len(),
            mv_data: ptr::null_mut(),
        };
        let flags = ffi::MDB_APPEND | ffi::MDB_RESERVE;
        // SAFETY: the transaction is live; LMDB copies the key during the call and reads no value.
        check("mdb_put", unsafe {
            ffi::mdb_put(self.raw, tree.0, &mut key, &mut value, flags)
        })?;
        // SAFETY: LMDB has reserved the bytes of both, one after the other, in a page of this
        // transaction, where they stay until the next call.
        unsafe {
            let place = value.mv_data.cast::<u8>();
            ptr::copy_nonoverlapping(head.as_ptr(), place, head.len());
            ptr::copy_nonoverlapping(rest.as_ptr(), place.add(head.len()), rest.len());
        }
        Ok(())
    }

    fn put_with(&mut self, tree: Tree, key: &[u8], value: &[u8], flags: c_uint) -> Result<()> {
        let (mut key, mut value) = (value_of(key), value_of(value));
        // SAFETY: the transaction is live; LMDB copies key and value during the call.
        check("mdb_put", unsafe {
            ffi::mdb_put(self.raw, tree.0, &mut key, &mut value, flags)
        })
    }

    /// Removes a row; false if there was none.
    pub fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<bool> {
        let mut key = value_of(key);
        // SAFETY: the transaction is live; a null value deletes by key alone.
        match unsafe { ffi::mdb_del(self.raw, tree.0, &mut key, ptr::null_mut()) } {
            ffi::MDB_NOTFOUND => Ok(false),
            code => check("mdb_del", code).map(|()| true),
        }
    }

    /// Removes the first rows of a tree, up to so many, and says how many there were. One cursor goes
    /// along; no row is looked up from the root.
    pub fn delete_first(&mut self, tree: Tree, rows: usize) -> Result<usize> {
        let mut cursor = self.view().cursor(tree)?;
        let mut deleted = 0;
        let mut operation = ffi::MDB_FIRST;
        while deleted < rows && cursor.step(operation, &[])?.is_some() {
            // SAFETY: the transaction is live, the cursor its own and on a row, of which nothing is kept.
            check("mdb_cursor_del", unsafe {
                ffi::mdb_cursor_del(cursor.raw, 0)
            })?;
            deleted += 1;
            // After a deletion that is the row that came to stand there.
            operation = ffi::MDB_NEXT;
        }
        Ok(deleted)
    }

    /// Removes every row of a tree.
    pub fn clear(&mut self, tree: Tree) -> Result<()> {
        // SAFETY: the transaction is live; 0 empties the tree and keeps it.
        check("mdb_drop", unsafe { ffi::mdb_drop(self.raw, tree.0, 0) })
    }

    /// Id of the transaction, which the commit makes the last one.
    pub fn id(&self) -> usize {
        // SAFETY: the transaction is live.
        unsafe { ffi::mdb_txn_id(self.raw) }
    }

    /// Makes the changes durable and visible, all or none.
    pub fn commit(self) -> Result<()> {
        let raw = self.raw;
        std::mem::forget(self);
        // SAFETY: `raw` is live and, `self` being forgotten, ended exactly once.
        check("mdb_txn_commit", unsafe { ffi::mdb_txn_commit(raw) })
    }

    /// Makes the changes visible, all or none, and flushes nothing (`MDB_NOSYNC`): after a power cut
    /// the file may hold any part of them, so the caller can undo and redo them.
    pub fn commit_unflushed(self) -> Result<()> {
        // SAFETY: the transaction is live, and its environment open. Only the thread with the write
        // transaction changes the flags, and only readers, which ask for others, see them meanwhile.
        let environment = unsafe { ffi::mdb_txn_env(self.raw) };
        // SAFETY: as above.
        let unflushed = |on| unsafe { ffi::mdb_env_set_flags(environment, ffi::MDB_NOSYNC, on) };
        check("mdb_env_set_flags", unflushed(1))?;
        let committed = self.commit();
        check("mdb_env_set_flags", unflushed(0))?;
        committed
    }
}

impl Drop for WriteTransaction<'_> {
    fn drop(&mut self) {
        // SAFETY: `raw` is live; cursors borrow the view and are gone.
        unsafe { ffi::mdb_txn_abort(self.raw) }
    }
}

fn open_tree(raw: *mut ffi::MDB_txn, name: &str, flags: c_uint) -> Result<Option<Tree>> {
    let name = CString::new(name).expect("tree names hold no NUL");
    let mut dbi = 0;
    // SAFETY: the transaction is live, `name` outlives the call and `dbi` is a valid out-pointer.
    match unsafe { ffi::mdb_dbi_open(raw, name.as_ptr(), flags, &mut dbi) } {
        ffi::MDB_NOTFOUND => Ok(None),
        code => check("mdb_dbi_open", code).map(|()| Some(Tree(dbi))),
    }
}

/// What a transaction sees: point reads and scans.
#[derive(Debug, Clone, Copy)]
pub struct View<'t> {
    raw: *mut ffi::MDB_txn,
    transaction: PhantomData<&'t ()>,
}

impl<'t> View<'t> {
    /// The value under `key`. O(log rows).
    pub fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<&'t [u8]>> {
        let mut key = value_of(key);
        let mut value = value_of(&[]);
        // SAFETY: the transaction is live for 't.
        match unsafe { ffi::mdb_get(self.raw, tree.0, &mut key, &mut value) } {
            ffi::MDB_NOTFOUND => Ok(None),
            code => {
                check("mdb_get", code)?;
                // SAFETY: LMDB's pointer stays valid while the transaction lives unchanged: for 't.
                Ok(Some(unsafe { bytes_of(&value) }))
            }
        }
    }

    /// Opens a cursor on `tree`.
    pub fn cursor(&self, tree: Tree) -> Result<Cursor<'t>> {
        let mut raw = ptr::null_mut();
        // SAFETY: the transaction is live and `raw` a valid out-pointer.
        check("mdb_cursor_open", unsafe {
            ffi::mdb_cursor_open(self.raw, tree.0, &mut raw)
        })?;
        Ok(Cursor {
            raw,
            transaction: PhantomData,
        })
    }

    /// Rows with `lower <= key < upper`, ascending. O(log rows + rows returned).
    pub fn range(&self, tree: Tree, lower: &[u8], upper: &[u8]) -> Result<Range<'t>> {
        Ok(Range::ascending(self.cursor(tree)?, lower, upper))
    }

    /// Rows with `lower <= key < upper`, descending. O(log rows + rows returned).
    pub fn range_backward(&self, tree: Tree, lower: &[u8], upper: &[u8]) -> Result<Range<'t>> {
        Ok(Range::descending(self.cursor(tree)?, lower, upper))
    }

    /// Rows whose key begins with `prefix`, ascending.
    pub fn prefix(&self, tree: Tree, prefix: &[u8]) -> Result<Range<'t>> {
        self.range(tree, prefix, &after_prefix(prefix))
    }

    /// Rows whose key begins with `prefix`, descending.
    pub fn prefix_backward(&self, tree: Tree, prefix: &[u8]) -> Result<Range<'t>> {
        self.range_backward(tree, prefix, &after_prefix(prefix))
    }

    /// The last row of a tree.
    pub fn last(&self, tree: Tree) -> Result<Option<Row<'t>>> {
        self.cursor(tree)?.last()
    }

    /// Names of the trees, in their order.
    pub fn tree_names(&self) -> Result<Vec<String>> {
        /// The tree whose keys are the names.
        const NAMES: Tree = Tree(1);
        let mut names = Vec::new();
        for row in self.range(NAMES, &[], &[])? {
            names.push(String::from_utf8_lossy(row?.0).into_owned());
        }
        Ok(names)
    }

    /// Sizes of a tree.
    pub fn stat(&self, tree: Tree) -> Result<TreeStat> {
        // SAFETY: the struct is plain data that LMDB fills; the transaction is live.
        let stat = unsafe {
            let mut stat: ffi::MDB_stat = std::mem::zeroed();
            check("mdb_stat", ffi::mdb_stat(self.raw, tree.0, &mut stat))?;
            stat
        };
        Ok(TreeStat {
            depth: stat.ms_depth,
            branch_pages: stat.ms_branch_pages,
            leaf_pages: stat.ms_leaf_pages,
            overflow_pages: stat.ms_overflow_pages,
            entries: stat.ms_entries,
        })
    }
}

/// A key and its value.
pub type Row<'t> = (&'t [u8], &'t [u8]);

/// A position in a tree.
#[derive(Debug)]
pub struct Cursor<'t> {
    raw: *mut ffi::MDB_cursor,
    transaction: PhantomData<&'t ()>,
}

impl<'t> Cursor<'t> {
    /// Moves to the first row whose key is at least `key`.
    pub fn seek(&mut self, key: &[u8]) -> Result<Option<Row<'t>>> {
        if key.is_empty() {
            self.step(ffi::MDB_FIRST, key)
        } else {
            self.step(ffi::MDB_SET_RANGE, key)
        }
    }

    /// Moves to the last row whose key is below `key`; an empty `key` means the last row.
    pub fn seek_below(&mut self, key: &[u8]) -> Result<Option<Row<'t>>> {
        if key.is_empty() || self.step(ffi::MDB_SET_RANGE, key)?.is_none() {
            return self.last();
        }
        self.previous()
    }

    /// Moves to the last row.
    pub fn last(&mut self) -> Result<Option<Row<'t>>> {
        self.step(ffi::MDB_LAST, &[])
    }

    /// Moves to the row after this one.
    #[expect(
        clippy::should_implement_trait,
        reason = "a cursor moves both ways and can fail"
    )]
    pub fn next(&mut self) -> Result<Option<Row<'t>>> {
        self.step(ffi::MDB_NEXT, &[])
    }

    /// Moves to the row before this one.
    pub fn previous(&mut self) -> Result<Option<Row<'t>>> {
        self.step(ffi::MDB_PREV, &[])
    }

    fn step(&mut self, operation: ffi::MDB_cursor_op, key: &[u8]) -> Result<Option<Row<'t>>> {
        let mut key = value_of(key);
        let mut value = value_of(&[]);
        // SAFETY: the cursor's transaction is live for 't.
        match unsafe { ffi::mdb_cursor_get(self.raw, &mut key, &mut value, operation) } {
            ffi::MDB_NOTFOUND => Ok(None),
            code => {
                check("mdb_cursor_get", code)?;
                if key.mv_size == 0 {
                    // LMDB takes no empty key: this page is not what it wrote.
                    check("mdb_cursor_get", ffi::MDB_CORRUPTED)?;
                }
                // SAFETY: LMDB's pointers stay valid while the transaction lives unchanged: for 't.
                Ok(Some(unsafe { (bytes_of(&key), bytes_of(&value)) }))
            }
        }
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        // SAFETY: the cursor is open, and 't keeps its transaction live until here.
        unsafe { ffi::mdb_cursor_close(self.raw) }
    }
}

/// # Safety
///
/// `value` must describe memory that stays unchanged for 't.
unsafe fn bytes_of<'t>(value: &ffi::MDB_val) -> &'t [u8] {
    if value.mv_size == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for the memory; the size is not zero, so the pointer is not null.
    unsafe { std::slice::from_raw_parts(value.mv_data.cast::<u8>(), value.mv_size) }
}
