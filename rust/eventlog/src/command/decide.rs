//! Deciding on events, wipes and dynamic partitions.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{
    Command, Decided, Decision, NewEvent, Reply, decide_deletion, decide_documents, decide_pools,
};
use crate::error::{Error, Result};
use crate::projection::key::{Key, check, partition};
use crate::projection::{Table, dynamic_partitions, rows};
use crate::query::{Bounds, Reader};
use crate::record::event_type::{TypeCode, names};
use crate::record::{
    AssetPartitionsWiped, AssetWiped, CheckExecutionPlanned, CheckFacet, DynamicPartition, Event,
    EventLogWiped, FrameError, Record, ShapeDefined,
};
use crate::sequence::Sequence;
use crate::value::Shape;

/// The records that `command` becomes in this state.
///
/// # Errors
///
/// [`Error::DuplicatePlannedCheck`] where an evaluation matches several planned executions;
/// [`Error::Refused`] for a payload that is no event. Nothing is stored then.
pub fn decide<'c>(state: &Reader<'_>, command: &'c Command) -> Result<Decision<'c>> {
    match command {
        Command::DefineShapes { shapes } => define_shapes(state, shapes),
        Command::StoreEvents { events } => store_events(state, events),
        Command::DeleteRunEvents { run_id, step, now } => {
            decide_deletion::delete_run_events(state, run_id, *step, *now)
        }
        Command::SweepDeletedRuns { step, now } => decide_deletion::sweep(state, *step, *now),
        Command::Wipe { now } => wipe(state, *now),
        Command::WipeAsset { asset_key, now } => wipe_asset(state, asset_key, *now),
        Command::WipeAssetPartitions {
            asset_key,
            partitions,
            now,
        } => wipe_asset_partitions(state, asset_key, partitions, *now),
        Command::AddDynamicPartitions {
            definition,
            keys,
            now,
        } => add_dynamic_partitions(state, definition, keys, *now),
        Command::DeleteDynamicPartition {
            definition,
            key,
            now,
        } => delete_dynamic_partition(state, definition, key, *now),
        Command::SetPoolLimit {
            pool,
            limit,
            from_default,
            now,
        } => decide_pools::set_limit(state, pool, *limit, *from_default, *now),
        Command::DeletePoolLimit { pool, now } => decide_pools::delete_limit(state, pool, *now),
        Command::ClaimSlot {
            pool,
            run_id,
            step_key,
            priority,
            now,
        } => decide_pools::claim(state, pool, run_id, step_key, *priority, *now),
        Command::PutDocuments { documents, now } => decide_documents::put(state, documents, *now),
        Command::RemoveDocuments { removals, now } => {
            decide_documents::remove(state, removals, *now)
        }
        Command::AddRun {
            run,
            snapshot_id,
            now,
        } => decide_documents::add_run(state, run, snapshot_id.as_deref(), *now),
        Command::DeleteRun { run_id, step, now } => {
            decide_deletion::delete_run(state, run_id, *step, *now)
        }
        Command::HandleRunEvent { run_id, event, now } => {
            decide_documents::handle_run_event(state, run_id, event, *now)
        }
        Command::AddRunTags { run_id, tags, now } => {
            decide_documents::add_run_tags(state, run_id, tags, *now)
        }
        Command::WipeSpaces { spaces, now } => decide_documents::wipe(state, spaces, *now),
        Command::PurgeDocuments { purge, step, now } => {
            decide_documents::purge(state, purge, *step, *now)
        }
        Command::FreeSlots {
            run_id,
            step_key,
            now,
        } => {
            let records = decide_pools::free(state, run_id, step_key.as_deref(), *now)?;
            Ok(Decision::of(records))
        }
    }
}

fn define_shapes(state: &Reader<'_>, shapes: &[Shape]) -> Result<Decision<'static>> {
    let mut known = HashMap::new();
    let mut next = 0;
    for row in state.prefix(Table::Shapes, &Key::new())? {
        let (key, shape) = row?;
        let ordinal = Sequence::from_key_end(key)?.get() as u32;
        known.entry(rows::read::<Shape>(shape)?).or_insert(ordinal);
        next = ordinal + 1;
    }
    let mut records = Vec::new();
    let mut ordinals = Vec::new();
    for shape in shapes {
        let ordinal = *known.entry(shape.clone()).or_insert_with(|| {
            let defined = ShapeDefined {
                ordinal: next,
                shape: shape.clone(),
            };
            records.push(Decided::from(&Record::ShapeDefined(defined)));
            next += 1;
            next - 1
        });
        ordinals.push(ordinal);
    }
    Ok(Decision {
        records,
        reply: Reply::Shapes(ordinals),
    })
}

fn store_events<'c>(state: &Reader<'_>, events: &'c [NewEvent]) -> Result<Decision<'c>> {
    let mut sequence = state.head()?;
    let mut records = Vec::with_capacity(events.len());
    let mut sequences = Vec::with_capacity(events.len());
    let mut here = ExecutionsHere::default();
    for event in events {
        sequence = sequence.next();
        sequences.push(sequence);
        let place = records.len();
        let facets = read_event(&event.payload)?;
        let Some(facet) = &facets.check else {
            records.push(decided(event, facets));
            continue;
        };
        if facets.event_type == Some(names::CHECK_PLANNED) {
            here.add(&facets, facet, facet.partition);
            for (index, partition) in event.more_partitions.iter().enumerate() {
                sequence = sequence.next();
                here.add(&facets, facet, Some(partition));
                let more = CheckExecutionPlanned {
                    event_distance: index as u64 + 1,
                    run_id: facets.run_id.to_owned(),
                    asset_key: facet.asset_key.to_owned(),
                    name: facet.name.to_owned(),
                    partition: partition.clone(),
                    created: facet.created,
                };
                records.push(Decided::from(&Record::CheckExecutionPlanned(more)));
            }
        } else if !facets.run_id.is_empty() {
            let matches = here.count(&facets, facet) + count_planned(state, &facets, facet)?;
            if matches > 1 {
                return Err(Error::DuplicatePlannedCheck {
                    planned: matches,
                    check: facet.name.to_owned(),
                    asset_key: facet.asset_key.to_owned(),
                    run_id: facets.run_id.to_owned(),
                });
            }
            if matches == 0 {
                here.add(&facets, facet, facet.partition);
            }
        }
        records.insert(place, decided(event, facets));
    }
    Ok(Decision {
        records,
        reply: Reply::Events(sequences),
    })
}

fn decided<'c>(event: &'c NewEvent, facets: Event<'c>) -> Decided<'c> {
    Decided {
        payload: Cow::Borrowed(&event.payload),
        record: Some(Record::Event(facets)),
    }
}

fn read_event(payload: &[u8]) -> Result<Event<'_>> {
    match Record::decode(payload) {
        Ok(Record::Event(event)) => Ok(event),
        Ok(other) => Err(Error::Refused(format!(
            "a {} is not an event",
            other.kind().name()
        ))),
        Err(error @ (FrameError::Fields(_) | FrameError::Truncated(_) | FrameError::Kind(_))) => {
            Err(Error::Refused(format!(
                "the event does not decode: {error}"
            )))
        }
        Err(error) => Err(Error::Refused(error.to_string())),
    }
}

/// Executions that the same batch makes, which the projections do not have yet.
#[derive(Default)]
struct ExecutionsHere(HashMap<[Option<String>; 4], usize>);

impl ExecutionsHere {
    fn key(
        event: &Event<'_>,
        facet: &CheckFacet<'_>,
        partition: Option<&str>,
    ) -> [Option<String>; 4] {
        let texts = [
            Some(event.run_id),
            Some(facet.asset_key),
            Some(facet.name),
            partition,
        ];
        texts.map(|text| text.map(str::to_owned))
    }

    fn add(&mut self, event: &Event<'_>, facet: &CheckFacet<'_>, partition: Option<&str>) {
        *self
            .0
            .entry(Self::key(event, facet, partition))
            .or_default() += 1;
    }

    fn count(&self, event: &Event<'_>, facet: &CheckFacet<'_>) -> usize {
        self.0
            .get(&Self::key(event, facet, facet.partition))
            .copied()
            .unwrap_or(0)
    }
}

fn count_planned(state: &Reader<'_>, event: &Event<'_>, facet: &CheckFacet<'_>) -> Result<usize> {
    let Some(run) = state.run(event.run_id)? else {
        return Ok(0);
    };
    let Some(asset) = state.asset(facet.asset_key)? else {
        return Ok(0);
    };
    let Some(number) = state.check(asset.number, facet.name)? else {
        return Ok(0);
    };
    let mut matches = 0;
    for row in state.prefix(Table::Checks, &check::by_run(number, run, facet.partition))? {
        row?;
        matches += 1;
    }
    Ok(matches)
}

fn wipe(state: &Reader<'_>, now: f64) -> Result<Decision<'static>> {
    for table in Table::OF_EVENTS {
        if !state.is_empty(table)? {
            return Ok(Decision::of(vec![Record::EventLogWiped(EventLogWiped {
                timestamp: now,
            })]));
        }
    }
    Ok(Decision::nothing())
}

fn wipe_asset(state: &Reader<'_>, asset_key: &str, now: f64) -> Result<Decision<'static>> {
    let Some(asset) = state.asset(asset_key)? else {
        return Ok(Decision::nothing());
    };
    let mut still_known = false;
    for event_type in [names::MATERIALIZATION, names::OBSERVATION, names::PLANNED] {
        let prefix = Key::new()
            .number(asset.number)
            .event_type(TypeCode::of(Some(event_type)));
        for row in state.sequences(Table::AssetEvents, &prefix, Bounds::ALL, true)? {
            let row: rows::AssetEvent = rows::read(row?.1)?;
            still_known |= row.timestamp > now;
        }
    }
    let wiped = AssetWiped {
        timestamp: now,
        asset_key: asset_key.to_owned(),
        still_known,
    };
    Ok(Decision::of(vec![Record::AssetWiped(wiped)]))
}

fn wipe_asset_partitions(
    state: &Reader<'_>,
    asset_key: &str,
    partitions: &[String],
    now: f64,
) -> Result<Decision<'static>> {
    let Some(asset) = state.asset(asset_key)? else {
        return Ok(Decision::nothing());
    };
    let standing = standing_partitions(state, asset.number, partitions)?;
    if standing.is_empty() {
        return Ok(Decision::nothing());
    }
    let wiped = AssetPartitionsWiped {
        timestamp: now,
        asset_key: asset_key.to_owned(),
        partitions: standing,
    };
    Ok(Decision::of(vec![Record::AssetPartitionsWiped(wiped)]))
}

/// Those of the partitions that have an event or a check execution.
fn standing_partitions(
    state: &Reader<'_>,
    asset: u64,
    partitions: &[String],
) -> Result<Vec<String>> {
    let mut checks = Vec::new();
    for row in state.prefix(Table::CheckNames, &Key::new().number(asset))? {
        checks.push(Sequence::from_key_end(row?.1)?.get());
    }
    let mut seen = HashSet::new();
    let mut standing = Vec::new();
    for name in partitions {
        let mut stands = state
            .get(Table::AssetEvents, &partition::latest(asset, name))?
            .is_some();
        for number in &checks {
            let prefix = check::by_partition(*number, Some(name));
            stands |= state
                .last_sequence(Table::Checks, &prefix, Bounds::ALL)?
                .is_some();
        }
        if stands && seen.insert(name) {
            standing.push(name.clone());
        }
    }
    Ok(standing)
}

fn add_dynamic_partitions(
    state: &Reader<'_>,
    definition: &str,
    keys: &[String],
    now: f64,
) -> Result<Decision<'static>> {
    let mut seen = HashSet::new();
    let mut records = Vec::new();
    for key in keys {
        let known = state.get(
            Table::DynamicPartitions,
            &dynamic_partitions::name_key(definition, key),
        )?;
        if known.is_none() && seen.insert(key) {
            records.push(dynamic_partition(definition, key, now, true));
        }
    }
    Ok(Decision::of(records))
}

fn delete_dynamic_partition(
    state: &Reader<'_>,
    definition: &str,
    key: &str,
    now: f64,
) -> Result<Decision<'static>> {
    let known = state.get(
        Table::DynamicPartitions,
        &dynamic_partitions::name_key(definition, key),
    )?;
    Ok(match known {
        None => Decision::nothing(),
        Some(_) => Decision::of(vec![dynamic_partition(definition, key, now, false)]),
    })
}

fn dynamic_partition(definition: &str, key: &str, now: f64, present: bool) -> Record<'static> {
    Record::DynamicPartition(DynamicPartition {
        timestamp: now,
        definition: definition.to_owned(),
        key: key.to_owned(),
        present,
    })
}
