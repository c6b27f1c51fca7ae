//! Finding and counting documents: what a scan of all of them finds, at every query.

mod engine_support;

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

use engine_support::random::Dice;
use engine_support::{assert_sound, execute, line, new_log, rebuild, rows, store};
use eventlog::command::{Command, NewDocument, Put, RunStatusEvent};
use eventlog::projection::Table;
use eventlog::projection::key::document as keys;
use eventlog::projection::rows::{self as projection_rows, DocumentRow};
use eventlog::projection::times::TimeColumn;
use eventlog::query::Reader;
use eventlog::query::documents::{self, Find};
use eventlog::record::{Space, Term};
use eventlog::{EventLog, Sequence};

const COLUMNS: [TimeColumn; 4] = [
    TimeColumn::Created,
    TimeColumn::Updated,
    TimeColumn::Started,
    TimeColumn::Ended,
];
const STATUSES: [&str; 4] = ["NOT_STARTED", "STARTED", "SUCCESS", "nobody's"];
const JOBS: [&str; 3] = ["a", "b", "rare"];

/// How a history's clocks went.
#[derive(Debug, Clone, Copy)]
enum Clock {
    Steady,
    Jumping,
    Backwards,
    Random,
}

impl Clock {
    fn read(self, turn: usize, dice: &mut Dice) -> f64 {
        let (turn, jitter) = (turn as f64, dice.below(8) as f64 / 4.0);
        match self {
            Self::Steady => 1e9 + turn + jitter,
            Self::Jumping => 1e9 + turn + jitter + [0.0, 1e6, -1e6][(turn as usize / 20) % 3],
            Self::Backwards => 1e9 - turn + jitter,
            Self::Random => dice.below(40) as f64 - 5.0,
        }
    }
}

fn term(name: &str, value: &str, order: f64) -> Term {
    Term {
        name: name.into(),
        value: value.into(),
        order,
    }
}

fn random_document(
    space: Space,
    key: String,
    now: f64,
    clock: Clock,
    dice: &mut Dice,
) -> NewDocument {
    let job = if dice.below(20) == 0 {
        "rare"
    } else {
        dice.pick(&JOBS[..2])
    };
    let mut terms = vec![
        term("status", dice.pick(&STATUSES[..3]), 0.0),
        term("job", job, 0.0),
        term(Term::CREATED, "", now),
    ];
    if space == Space::Run {
        terms.push(term("@updated", "", now + dice.below(3) as f64));
        if dice.below(3) == 0 {
            terms.push(term("@started", "", clock.read(dice.below(100), dice)));
        }
    }
    if dice.below(2) == 0 {
        terms.push(term("tag:team", dice.pick(&["x", "y", "z"]), 0.0));
    }
    if dice.below(4) == 0 {
        terms.push(term("tag:dagster/backfill", "one", 0.0));
    }
    NewDocument {
        space,
        put: Put::Upsert,
        id: None,
        key,
        created: Some(now),
        terms,
        body: vec![dice.below(200) as u8],
    }
}

/// A history of runs and backfills, with gaps between their ids.
fn random_history(log: &EventLog, clock: Clock, dice: &mut Dice) {
    for turn in 0..150 {
        let now = clock.read(turn, dice);
        let run_id = format!("r{}", dice.below(turn + 1));
        let command = match dice.below(12) {
            0 | 1 => Command::HandleRunEvent {
                run_id,
                event: RunStatusEvent {
                    event_type: "PIPELINE_START".into(),
                    timestamp: now,
                    status: "STARTED".into(),
                    failure_reason: None,
                    starts: true,
                    ends: false,
                },
                now,
            },
            2 | 3 => Command::HandleRunEvent {
                run_id,
                event: RunStatusEvent {
                    event_type: "PIPELINE_SUCCESS".into(),
                    timestamp: now,
                    status: "SUCCESS".into(),
                    failure_reason: None,
                    starts: false,
                    ends: true,
                },
                now,
            },
            4 => Command::AddRunTags {
                run_id,
                tags: vec![("team".into(), dice.pick(&["x", "y"]).to_string())],
                now,
            },
            5 => Command::DeleteRun {
                run_id,
                step: 10,
                now,
            },
            6 => {
                let lines = vec![line("of another"); [1, 40, 300][dice.below(3)]];
                store(log, &lines);
                continue;
            }
            kind => {
                let space = [Space::Run, Space::Backfill][usize::from(kind == 7)];
                let key = if dice.below(8) == 0 {
                    run_id
                } else {
                    format!("r{turn}")
                };
                let documents = vec![random_document(space, key, now, clock, dice)];
                Command::PutDocuments { documents, now }
            }
        };
        // Tags of a run that is not there are refused.
        let _ = execute(log, &command);
    }
}

/// Everything that is there, by id.
fn scan(reader: &Reader<'_>, space: Space) -> Vec<(Sequence, DocumentRow)> {
    let all = reader
        .prefix(Table::Documents, &keys::space(space))
        .unwrap();
    all.map(|row| {
        let (key, row) = row.unwrap();
        (
            Sequence::from_key_end(key).unwrap(),
            projection_rows::read(row).unwrap(),
        )
    })
    .collect()
}

fn time(space: Space, row: &DocumentRow, column: TimeColumn) -> Option<f64> {
    let mut terms = row.all_terms(space).into_iter();
    terms
        .find(|term| term.name == column.name())
        .map(|term| term.order)
}

fn has_one(space: Space, row: &DocumentRow, name: &str, values: &[String]) -> bool {
    let mut terms = row.all_terms(space).into_iter();
    terms.any(|term| term.name == name && values.contains(&term.value))
}

fn matches(space: Space, find: &Find, id: Sequence, row: &DocumentRow) -> bool {
    find.after.is_none_or(|after| id > after)
        && find.before.is_none_or(|before| id < before)
        && find
            .keys
            .as_ref()
            .is_none_or(|keys| keys.contains(&row.key))
        && find
            .any_of
            .iter()
            .all(|(name, values)| has_one(space, row, name, values))
        && find.ranges.iter().all(|(column, lower, upper)| {
            time(space, row, *column).is_some_and(|time| {
                lower.is_none_or(|lower| time > lower) && upper.is_none_or(|upper| time < upper)
            })
        })
}

/// What a query asks for, by looking at every document.
fn matching(all: &[(Sequence, DocumentRow)], space: Space, find: &Find) -> Vec<Sequence> {
    let mut found: Vec<_> = all
        .iter()
        .filter(|(id, row)| matches(space, find, *id, row))
        .map(|(id, row)| {
            let order = find.order_by.and_then(|column| time(space, row, column));
            (order.unwrap_or(f64::NEG_INFINITY), *id)
        })
        .collect();
    found.sort_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    if !find.ascending {
        found.reverse();
    }
    found.truncate(find.limit.unwrap_or(usize::MAX));
    found.into_iter().map(|(_, id)| id).collect()
}

fn in_buckets(
    all: &[(Sequence, DocumentRow)],
    space: Space,
    name: &str,
    values: &[String],
    find: &Find,
    limit: Option<usize>,
) -> Vec<Sequence> {
    let mut newest = HashSet::new();
    for value in values {
        let mut query = find.clone();
        query.any_of.push((name.into(), vec![value.clone()]));
        (query.order_by, query.ascending, query.limit) = (None, false, limit);
        newest.extend(matching(all, space, &query));
    }
    let found = matching(
        all,
        space,
        &Find {
            limit: None,
            ..find.clone()
        },
    );
    let found = found.into_iter().filter(|id| newest.contains(id));
    found.take(find.limit.unwrap_or(usize::MAX)).collect()
}

fn some_time(all: &[(Sequence, DocumentRow)], space: Space, dice: &mut Dice) -> Option<f64> {
    if all.is_empty() || dice.below(4) == 0 {
        return None;
    }
    let (_, row) = &all[dice.below(all.len())];
    let column = COLUMNS[dice.below(4)];
    let time = time(space, row, column).unwrap_or(1e9);
    Some(time + [0.0, 0.0, 0.1, -3.0][dice.below(4)])
}

fn random_find(all: &[(Sequence, DocumentRow)], space: Space, dice: &mut Dice) -> Find {
    let mut find = Find::default();
    for _ in 0..dice.below(4) {
        let (name, values): (&str, &[&str]) = [
            ("status", &STATUSES[..]),
            ("job", &JOBS[..]),
            ("tag:team", &["x", "y", "z", "none"][..]),
            ("root_status", &STATUSES[..]),
        ][dice.below(4)];
        let values = (0..dice.below(8).min(3)).map(|_| dice.pick(values).to_string());
        find.any_of.push((name.into(), values.collect()));
    }
    for _ in 0..dice.below(3) {
        let bounds = (some_time(all, space, dice), some_time(all, space, dice));
        find.ranges
            .push((COLUMNS[dice.below(4)], bounds.0, bounds.1));
    }
    if dice.below(6) == 0 {
        let some = (0..dice.below(12)).map(|_| format!("r{}", dice.below(160)));
        find.keys = Some(some.collect());
    }
    let place = |dice: &mut Dice| {
        let id = all
            .get(dice.below(all.len() + 1))
            .map_or(0, |(id, _)| id.get());
        (dice.below(4) == 0).then(|| Sequence::new(id + dice.below(2) as u64))
    };
    find.after = place(dice);
    find.before = place(dice);
    find.order_by = [None, Some(COLUMNS[dice.below(4)])][dice.below(2)];
    find.ascending = dice.below(2) == 0;
    find.limit = [None, Some(dice.below(4)), Some(dice.below(30))][dice.below(3)];
    find
}

fn assert_queries(log: &EventLog, dice: &mut Dice) {
    for space in [Space::Run, Space::Backfill] {
        log.query(|reader| {
            let all = scan(reader, space);
            for _ in 0..100 {
                let find = random_find(&all, space, dice);
                let expected = matching(&all, space, &find);
                assert_eq!(documents::find(reader, space, &find)?, expected, "{find:?}");
                let unlimited = Find {
                    limit: None,
                    ..find.clone()
                };
                let expected = matching(&all, space, &unlimited).len();
                assert_eq!(
                    documents::count(reader, space, &find)?,
                    expected,
                    "{find:?}"
                );
                let name = dice.pick(&["job", "tag:team"]);
                let values: Vec<_> = (0..dice.below(5))
                    .map(|_| dice.pick(&["a", "b", "rare", "x", "y"]).to_string())
                    .collect();
                let limit = [None, Some(1 + dice.below(3))][dice.below(2)];
                assert_eq!(
                    documents::buckets(reader, space, name, &values, &find, limit)?,
                    in_buckets(&all, space, name, &values, &find, limit),
                    "{name} {values:?} {limit:?} {find:?}"
                );
                let values: BTreeSet<_> = all
                    .iter()
                    .flat_map(|(_, row)| row.all_terms(space))
                    .filter(|term| term.name == name)
                    .map(|term| term.value)
                    .collect();
                let values: Vec<_> = values.into_iter().collect();
                let newest_first = Find {
                    order_by: None,
                    ascending: false,
                    limit: None,
                    ..find.clone()
                };
                assert_eq!(
                    documents::newest_of_each(reader, space, name, &find)?,
                    in_buckets(&all, space, name, &values, &newest_first, Some(1)),
                    "{name} {find:?}"
                );
            }
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn every_query_finds_what_a_scan_of_all_documents_finds() {
    for clock in [
        Clock::Steady,
        Clock::Jumping,
        Clock::Backwards,
        Clock::Random,
    ] {
        for seed in 1..=2 {
            let mut dice = Dice(seed * 104_729);
            let log = new_log();
            random_history(&log, clock, &mut dice);
            assert_queries(&log, &mut dice);
            assert_sound(&log);
            let before = rows(&log);
            rebuild(&log);
            assert_eq!(rows(&log), before);
            assert_queries(&log, &mut dice);
        }
    }
}

#[test]
fn documents_are_found_by_the_order_of_a_term_within_bounds_that_are_excluded() {
    let log = new_log();
    let mut dice = Dice(11);
    for turn in 0..200_i32 {
        let order = f64::from(turn % 37) - 9.5;
        let terms = vec![term("owner", dice.pick(&["x", "y", "z"]), order)];
        let tick = NewDocument {
            space: Space::Tick,
            put: Put::Insert,
            id: None,
            key: String::new(),
            created: None,
            terms,
            body: vec![0],
        };
        let documents = vec![tick];
        execute(
            &log,
            &Command::PutDocuments {
                documents,
                now: 1.0,
            },
        )
        .unwrap();
    }
    log.query(|reader| {
        let all = scan(reader, Space::Tick);
        for _ in 0..300 {
            let values: Vec<_> = (0..dice.below(3))
                .map(|_| dice.pick(&["x", "y"]).to_string())
                .collect();
            let mut bound = || (dice.below(3) > 0).then(|| dice.below(80) as f64 / 2.0 - 10.0);
            let bounds = (bound(), bound());
            let (ascending, limit) = (
                dice.below(2) == 0,
                [None, Some(dice.below(9))][dice.below(2)],
            );
            let mut expected: Vec<_> = all
                .iter()
                .filter(|(_, row)| {
                    let order = row.terms[0].order;
                    values.contains(&row.terms[0].value)
                        && bounds.0.is_none_or(|lower| order > lower)
                        && bounds.1.is_none_or(|upper| order < upper)
                })
                .map(|(id, row)| (row.terms[0].order, *id))
                .collect();
            expected.sort_by(|one, other| one.partial_cmp(other).unwrap());
            if !ascending {
                expected.reverse();
            }
            expected.truncate(limit.unwrap_or(usize::MAX));
            let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
            let found = documents::ordered(
                reader,
                Space::Tick,
                "owner",
                &values,
                bounds,
                ascending,
                limit,
            )?;
            assert_eq!(found, expected);
        }
        Ok(())
    })
    .unwrap();
}
