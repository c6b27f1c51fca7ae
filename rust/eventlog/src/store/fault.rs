//! Named moments at which a test ends this process, to see what others make of what it leaves.
//!
//! `STORE_FAULT=name` or `name:count` in the environment kills the process when it comes by that moment
//! for the first or the given time. Debug builds alone have it.

#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ASKED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let asked = ASKED.get_or_init(|| {
        let asked = std::env::var("STORE_FAULT").ok()?;
        let (name, count) = asked.split_once(':').unwrap_or((&asked, "1"));
        Some((name.into(), AtomicU64::new(count.parse().ok()?)))
    });
    if let Some((asked, left)) = asked
        && asked == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        super::os::kill_self();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &str) {}
