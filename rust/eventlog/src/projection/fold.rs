//! The fold: one record into the rows of a projection set.

use super::{
    Table, Target, assets, checks, deletion, documents, dynamic_partitions, events, key::Key, pools,
};
use crate::error::Result;
use crate::projection::rows;
use crate::record::{Definition, Husk, Record, StatusFacet};
use crate::sequence::Sequence;

/// Folds a record into the projections.
pub fn fold(target: &mut Target<'_, '_>, sequence: Sequence, record: &Record<'_>) -> Result<()> {
    // Whatever else may give other numbers or take them away, and read the rows of events.
    if !matches!(record, Record::Event(_)) {
        target.names().forget();
        target.put_deferred()?;
    }
    match record {
        Record::Husk(husk) => fold_husk(target, sequence, husk),
        Record::ShapeDefined(defined) => {
            let key = Key::new().number(u64::from(defined.ordinal));
            target.put(Table::Shapes, &key, &rows::write(&defined.shape))
        }
        Record::Event(event) => events::fold_event(target, sequence, event),
        Record::CheckExecutionPlanned(planned) => checks::fold_planned(target, sequence, planned),
        Record::RunEventsDeleted(deleted) => deletion::delete_run_events(target, sequence, deleted),
        Record::RunEventsSwept(swept) => deletion::sweep(target, swept),
        Record::AssetWiped(wiped) => deletion::wipe_asset(target, wiped),
        Record::AssetPartitionsWiped(wiped) => deletion::wipe_partitions(target, wiped),
        Record::EventLogWiped(_) => deletion::wipe(target),
        Record::DynamicPartition(partition) => {
            dynamic_partitions::fold(target, sequence, partition)
        }
        Record::PoolLimit(limit) => pools::fold_limit(target, sequence, limit),
        Record::Document(document) => documents::fold(target, sequence, document),
        Record::RunStateSet(set) => documents::fold_run_state(target, sequence, set),
        Record::SpacesWiped(wiped) => documents::wipe(target, wiped),
        Record::PoolStep(step) => pools::fold_step(target, sequence, step),
    }
}

/// Names keep the numbers that the removed record gave them, assets stay known, and runs keep the
/// status that they were brought to.
fn fold_husk(target: &mut Target<'_, '_>, sequence: Sequence, husk: &Husk) -> Result<()> {
    for definition in &husk.definitions {
        match definition {
            Definition::Run(run_id) => {
                events::number_run(target, sequence, run_id)?;
            }
            Definition::Asset(asset_key) => {
                assets::number_asset(target, sequence, asset_key)?;
            }
            Definition::Check(asset_key, name) => {
                checks::number_check(target, sequence, asset_key, name)?;
            }
        }
    }
    for (asset_key, timestamp) in &husk.known_assets {
        assets::make_known(target, sequence, asset_key, *timestamp)?;
    }
    if let Some(advanced) = &husk.status {
        let facet = StatusFacet {
            status: &advanced.status,
            failure_reason: advanced.failure_reason.as_deref(),
            starts: advanced.starts,
            ends: advanced.ends,
        };
        documents::fold_status(target, &advanced.run_id, &facet, advanced.timestamp)?;
    }
    Ok(())
}
