//! Random commands, for properties that hold of any log.

use eventlog::command::{Command, NewDocument, Purge, Put, Removal, RunStatusEvent};
use eventlog::projection::Table;
use eventlog::projection::key::document as document_keys;
use eventlog::record::event_type::names;
use eventlog::record::{AssetFacet, Space, StatusFacet, Term};

use eventlog::{EventLog, Sequence};

use super::{Draft, check_evaluated, check_planned, execute, line, of_asset, of_type, try_store};

const A: &str = r#"["a"]"#;

/// Numbers that look random and are the same each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    pub fn pick<'a, T: ?Sized>(&mut self, among: &[&'a T]) -> &'a T {
        among[self.below(among.len())]
    }
}

const RUNS: [&str; 4] = ["r1", "r2", "r3", ""];
const ASSETS: [&str; 2] = [A, r#"["b"]"#];
const PARTITIONS: [&str; 3] = ["p", "q", "x"];
const SUBSETS: [&[&str]; 4] = [&[], &["p"], &["p", "q"], &["x", "p", "q"]];

fn random_draft(dice: &mut Dice) -> Draft<'static> {
    let (run_id, key) = (dice.pick(&RUNS), dice.pick(&ASSETS));
    let partition = [None, Some(dice.pick(&PARTITIONS))][dice.below(2)];
    let draft = match dice.below(8) {
        0 => line(run_id),
        1 => of_type(
            run_id,
            dice.pick(&[
                "PIPELINE_START",
                "PIPELINE_FAILURE",
                "STEP_START",
                "OF_LATER",
            ]),
        ),
        2 => check_planned(run_id, key, "c", dice.pick(&SUBSETS)),
        3 => check_evaluated(run_id, key, "c", partition),
        4 => of_asset("", names::FRESHNESS, key, None),
        5 => {
            let asset = AssetFacet {
                key,
                subset: dice.pick(&SUBSETS).to_vec(),
                ..AssetFacet::default()
            };
            Draft {
                asset: Some(asset),
                ..of_type(run_id, names::PLANNED)
            }
        }
        _ => {
            let kind = dice.pick(&[names::MATERIALIZATION, names::OBSERVATION, names::FAILED]);
            let mut draft = of_asset(run_id, kind, key, partition);
            let facet = draft.asset.as_mut().unwrap();
            facet.skipped = dice.below(2) == 0;
            facet.tags = vec![("dagster/partition/x", dice.pick(&["1", "2"]))];
            draft
        }
    };
    let status = draft.event_type.and_then(status_of);
    Draft {
        timestamp: dice.below(10) as f64,
        status,
        ..draft
    }
}

/// What an event says of its run's status.
fn status_of(event_type: &str) -> Option<StatusFacet<'static>> {
    let (status, ends) = match event_type {
        "PIPELINE_START" => ("STARTED", false),
        "PIPELINE_FAILURE" => ("FAILURE", true),
        _ => return None,
    };
    Some(StatusFacet {
        status,
        failure_reason: ends.then_some("STEP_FAILURE"),
        starts: !ends,
        ends,
    })
}

pub fn random_command(log: &EventLog, dice: &mut Dice) {
    let now = dice.below(10) as f64;
    let run_id = dice.pick(&RUNS).to_string();
    let asset_key = dice.pick(&ASSETS).to_string();
    let pool = dice.pick(&["x", "y"]).to_string();
    let (definition, key) = ("d".to_string(), dice.pick(&PARTITIONS).to_string());
    let step_key = dice.pick(&["s", "t"]).to_string();
    if dice.below(3) == 0 {
        return random_document_command(log, dice);
    }
    let command = match dice.below(24) {
        22 | 23 => Command::SweepDeletedRuns {
            step: 1 + dice.below(3),
            now,
        },
        0 => Command::DeleteRunEvents {
            run_id,
            step: 1 + dice.below(3),
            now,
        },
        1 => Command::WipeAsset { asset_key, now },
        2 => Command::WipeAssetPartitions {
            asset_key,
            partitions: dice.pick(&SUBSETS).iter().map(|&p| p.into()).collect(),
            now,
        },
        3 if dice.below(4) == 0 => Command::Wipe { now },
        4 | 5 => Command::AddDynamicPartitions {
            definition,
            keys: dice.pick(&SUBSETS).iter().map(|&p| p.into()).collect(),
            now,
        },
        6 => Command::DeleteDynamicPartition {
            definition,
            key,
            now,
        },
        7 | 8 => Command::SetPoolLimit {
            pool,
            limit: dice.below(3) as i64,
            from_default: dice.below(2) == 0,
            now,
        },
        9 => Command::DeletePoolLimit { pool, now },
        10..=12 => Command::ClaimSlot {
            pool,
            run_id,
            step_key,
            priority: dice.below(2) as i64,
            now,
        },
        13 => Command::FreeSlots {
            run_id,
            step_key: [None, Some(step_key)][dice.below(2)].clone(),
            now,
        },
        _ => {
            let drafts: Vec<_> = (0..=dice.below(3)).map(|_| random_draft(dice)).collect();
            // A check that was planned twice is refused, and nothing is stored.
            let _ = try_store(log, &drafts);
            return;
        }
    };
    execute(log, &command).unwrap();
}

/// Documents that commands may name: their space, how they are put, and whether they have a key.
const DOCUMENTS: [(Space, Put, &str); 8] = [
    (Space::Run, Put::InsertIfAbsent, "r1"),
    (Space::Run, Put::Upsert, "r2"),
    (Space::Heartbeat, Put::Upsert, "SENSOR"),
    (Space::CursorValue, Put::Upsert, "cursor"),
    (Space::Instigator, Put::Upsert, "sensor"),
    (Space::Instigator, Put::Upsert, "schedule"),
    (Space::Snapshot, Put::InsertIfAbsent, "snapshot"),
    (Space::Tick, Put::Insert, ""),
];

fn random_document_command(log: &EventLog, dice: &mut Dice) {
    let now = dice.below(10) as f64;
    let run_id = dice.pick(&RUNS[..2]).to_string();
    let command = match dice.below(16) {
        0 => Command::DeleteRun {
            run_id,
            step: 1 + dice.below(3),
            now,
        },
        1 | 2 => {
            let ends = dice.below(2) == 0;
            let (event_type, status) = [
                ("PIPELINE_START", "STARTED"),
                ("PIPELINE_CANCELED", "CANCELED"),
            ][usize::from(ends)];
            Command::HandleRunEvent {
                run_id,
                event: RunStatusEvent {
                    event_type: event_type.into(),
                    timestamp: dice.below(10) as f64,
                    status: status.into(),
                    failure_reason: None,
                    starts: !ends,
                    ends,
                },
                now,
            }
        }
        3 => Command::AddRunTags {
            run_id,
            tags: vec![("team".into(), dice.pick(&["1", "2"]).to_string())],
            now,
        },
        4 if dice.below(4) == 0 => Command::WipeSpaces {
            spaces: vec![Space::Run, Space::Snapshot],
            now,
        },
        5 if dice.below(2) == 0 => Command::PurgeDocuments {
            purge: Purge {
                space: Space::Tick,
                name: "status".into(),
                values: vec!["STARTED".into()],
                before: 1.0,
            },
            step: 1 + dice.below(3),
            now,
        },
        5 => Command::RemoveDocuments {
            removals: ["sensor", "schedule"].map(|key| removal(key, dice)).into(),
            now,
        },
        6 => Command::AddRun {
            run: document((Space::Run, Put::Insert, dice.pick(&["r1", "r2"])), dice),
            snapshot_id: (dice.below(2) == 0).then(|| "snapshot".to_owned()),
            now,
        },
        7 | 8 => {
            let tick = NewDocument {
                id: some_tick(log, dice),
                ..document((Space::Tick, Put::UpdateIfPresent, ""), dice)
            };
            Command::PutDocuments {
                documents: vec![tick],
                now,
            }
        }
        _ => {
            let which = DOCUMENTS[dice.below(DOCUMENTS.len())];
            Command::PutDocuments {
                documents: vec![document(which, dice)],
                now,
            }
        }
    };
    // What names a document that is not there, or is, is refused, and nothing is stored.
    let _ = execute(log, &command);
}

fn removal(key: &str, dice: &mut Dice) -> Removal {
    let kept_by = ("status".to_owned(), "STARTED".to_owned());
    Removal {
        space: Space::Instigator,
        key: key.to_owned(),
        required: dice.below(2) == 0,
        kept_by: (dice.below(2) == 0).then_some(kept_by),
    }
}

fn document((space, put, key): (Space, Put, &str), dice: &mut Dice) -> NewDocument {
    let term = |name: &str, value: &str| Term {
        name: name.into(),
        value: value.into(),
        order: 0.0,
    };
    let mut terms = vec![term("status", dice.pick(&["NOT_STARTED", "STARTED"]))];
    if dice.below(2) == 0 {
        terms.push(term("tag:team", dice.pick(&["1", "2", "3"])));
    }
    let body = dice.below(4) as u8;
    let updated = Term {
        order: f64::from(body),
        ..term("@updated", "")
    };
    terms.extend([term(Term::CREATED, ""), updated]);
    NewDocument {
        space,
        put,
        id: None,
        key: key.into(),
        created: None,
        terms,
        body: vec![body],
    }
}

fn some_tick(log: &EventLog, dice: &mut Dice) -> Option<Sequence> {
    let ticks = log.query(|reader| {
        let rows = reader.prefix(Table::Documents, &document_keys::space(Space::Tick))?;
        rows.map(|row| Ok(Sequence::from_key_end(row?.0)?))
            .collect::<eventlog::Result<Vec<_>>>()
    });
    let ticks = ticks.unwrap();
    (!ticks.is_empty()).then(|| ticks[dice.below(ticks.len())])
}
