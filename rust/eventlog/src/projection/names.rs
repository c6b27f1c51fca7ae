//! The numbers of runs and assets that the records of a command, or of a step of a refold, have named.
//!
//! Records of a batch name few runs and assets again and again; each is looked up once. Only the fold of
//! events keeps them, and the fold of any other record forgets them all.

use std::collections::HashMap;

use super::rows::Asset;

/// Assets that are kept; beyond it they are looked up again.
const ASSETS: usize = 4_096;

/// Names that the fold has looked up or made in a write transaction, and not changed since.
#[derive(Debug, Default)]
pub struct Names {
    run: Option<(String, u64)>,
    assets: HashMap<String, NamedAsset>,
}

/// The row of an asset without its key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NamedAsset {
    pub number: u64,
    pub known: bool,
    pub wiped_at: Option<f64>,
}

impl From<&Asset> for NamedAsset {
    fn from(asset: &Asset) -> Self {
        Self {
            number: asset.number,
            known: asset.known,
            wiped_at: asset.wiped_at,
        }
    }
}

impl NamedAsset {
    /// The row under this key.
    pub fn row(self, asset_key: &str) -> Asset {
        Asset {
            number: self.number,
            key: asset_key.to_owned(),
            known: self.known,
            wiped_at: self.wiped_at,
        }
    }
}

impl Names {
    /// The number of a run, if the last event was of it.
    pub fn run(&self, run_id: &str) -> Option<u64> {
        let (last, number) = self.run.as_ref()?;
        (last == run_id).then_some(*number)
    }

    /// Keeps the number of a run.
    pub fn keep_run(&mut self, run_id: &str, number: u64) {
        self.run = Some((run_id.to_owned(), number));
    }

    /// An asset's row.
    pub fn asset(&self, asset_key: &str) -> Option<NamedAsset> {
        self.assets.get(asset_key).copied()
    }

    /// Keeps an asset's row, as it stands in the table.
    pub fn keep_asset(&mut self, asset_key: &str, asset: NamedAsset) {
        if let Some(kept) = self.assets.get_mut(asset_key) {
            *kept = asset;
            return;
        }
        if self.assets.len() >= ASSETS {
            self.assets.clear();
        }
        self.assets.insert(asset_key.to_owned(), asset);
    }

    /// Forgets all.
    pub fn forget(&mut self) {
        self.run = None;
        self.assets.clear();
    }
}
