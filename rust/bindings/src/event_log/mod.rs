//! `EventLog`: the engine for Python, one file a subject, as the stub has them.
//!
//! Every method takes what it needs from Python, lets the GIL go for the engine's part, and builds
//! Python objects after the snapshot has ended.

mod asset_key;
mod assets;
mod checks;
mod commands;
mod concurrency;
mod documents;
mod events;
mod facets;
mod fork;
mod handle;
mod history;
mod indexed_tags;
mod partitions;
mod shapes;
mod store;
mod stored;

pub use assets::AssetRow;
pub use concurrency::{Claim, PoolRow};
pub use documents::Document;
pub use fork::Fork;
pub use handle::EventLog;
pub use history::{Batch, Batches, History, Hold};
pub use store::{Compacted, Verification};
