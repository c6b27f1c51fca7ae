//! Which record brought each name, as of a place in the log: what husks of records before it have to
//! say.
//!
//! The projections know it of now. A log that is folded up to an earlier place needs it as of there:
//! a wipe or a deletion since may have taken the names away.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use crate::record::{Definition, Husk, Record, Space};
use crate::sequence::Sequence;

/// 16 bytes for each run, asset and check, and 8 for each run's document. A hash stands for what it
/// is of: should two names meet, a husk lacks a definition.
#[derive(Debug, Default)]
pub struct Names {
    brought_by: HashMap<u64, Sequence>,
    runs: HashSet<u64>,
}

#[derive(Hash)]
enum Name<'a> {
    Run(&'a str),
    Asset(&'a str),
    Check(&'a str, &'a str),
}

fn hash_of(name: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

impl Names {
    /// Takes in the next record of the log.
    pub fn see(&mut self, sequence: Sequence, record: &Record<'_>) {
        match record {
            Record::Event(event) => {
                self.bring(sequence, &Name::Run(event.run_id));
                if let Some(asset) = &event.asset {
                    self.bring(sequence, &Name::Asset(asset.key));
                }
                if let Some(check) = &event.check {
                    self.bring_check(sequence, check.asset_key, check.name);
                }
            }
            Record::CheckExecutionPlanned(planned) => {
                self.bring(sequence, &Name::Run(&planned.run_id));
                self.bring_check(sequence, &planned.asset_key, &planned.name);
            }
            Record::Husk(husk) => self.see_husk(sequence, husk),
            Record::RunEventsDeleted(deleted) => {
                self.brought_by.remove(&hash_of(Name::Run(&deleted.run_id)));
            }
            Record::EventLogWiped(_) => self.brought_by.clear(),
            Record::Document(document) if document.space == Space::Run => {
                if document.state.is_some() {
                    self.runs.insert(hash_of(document.key));
                } else {
                    self.runs.remove(&hash_of(document.key));
                }
            }
            Record::SpacesWiped(wiped) if wiped.spaces.contains(&Space::Run) => self.runs.clear(),
            _ => {}
        }
    }

    fn see_husk(&mut self, sequence: Sequence, husk: &Husk) {
        for definition in &husk.definitions {
            match definition {
                Definition::Run(run_id) => self.bring(sequence, &Name::Run(run_id)),
                Definition::Asset(asset_key) => self.bring(sequence, &Name::Asset(asset_key)),
                Definition::Check(asset_key, name) => self.bring_check(sequence, asset_key, name),
            }
        }
        for (asset_key, _) in &husk.known_assets {
            self.bring(sequence, &Name::Asset(asset_key));
        }
    }

    fn bring(&mut self, sequence: Sequence, name: &Name<'_>) {
        self.brought_by.entry(hash_of(name)).or_insert(sequence);
    }

    fn bring_check(&mut self, sequence: Sequence, asset_key: &str, name: &str) {
        self.bring(sequence, &Name::Asset(asset_key));
        self.bring(sequence, &Name::Check(asset_key, name));
    }

    /// Whether a record brought the name, and it has been there since.
    pub fn defines(&self, sequence: Sequence, definition: &Definition) -> bool {
        let name = match definition {
            Definition::Run(run_id) => Name::Run(run_id),
            Definition::Asset(asset_key) => Name::Asset(asset_key),
            Definition::Check(asset_key, name) => Name::Check(asset_key, name),
        };
        self.brought_by.get(&hash_of(name)) == Some(&sequence)
    }

    /// Whether there is a run's document.
    pub fn has_run(&self, run_id: &str) -> bool {
        self.runs.contains(&hash_of(run_id))
    }
}
