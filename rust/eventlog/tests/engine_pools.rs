//! Pools: who gets a slot, who waits, and what a changed limit does.

mod engine_support;

use engine_support::{assert_changes_nothing, assert_sound, claim, done, new_log, set_limit};
use eventlog::EventLog;
use eventlog::command::Command;
use eventlog::query::pools;

#[test]
fn slots_go_by_priority_then_age_and_a_lower_limit_keeps_those_that_are_held() {
    let log = new_log();
    assert!(
        !claim(&log, "pool", "r1", "s", 0).claimed,
        "no limit, no slot"
    );
    claim(&log, "pool", "r2", "s", 0);
    claim(&log, "pool", "r3", "s", 5);
    set_limit(&log, "pool", 2);
    assert!(claim(&log, "pool", "r3", "s", 0).claimed);
    assert!(claim(&log, "pool", "r1", "s", 0).claimed);
    assert!(!claim(&log, "pool", "r2", "s", 0).claimed);
    let blocked = Command::ClaimSlot {
        pool: "pool".into(),
        run_id: "r2".into(),
        step_key: "s".into(),
        priority: 0,
        now: 7.0,
    };
    assert_changes_nothing(&log, &blocked);
    assert_changes_nothing(
        &log,
        &Command::SetPoolLimit {
            pool: "pool".into(),
            limit: 2,
            from_default: true,
            now: 7.0,
        },
    );
    set_limit(&log, "pool", 1);
    let held = |log: &EventLog| {
        let (pool, steps) = log.query(|reader| pools::pool(reader, "pool")).unwrap();
        let held = steps
            .iter()
            .filter(|s| s.claim != eventlog::record::SlotClaim::No);
        (pool.slot_count, pool.held, held.count())
    };
    assert_eq!(held(&log), (1, 1, 2));
    let free = |run_id: &str| Command::FreeSlots {
        run_id: run_id.into(),
        step_key: None,
        now: 8.0,
    };
    done(&log, &free("r1"));
    done(&log, &free("r3"));
    assert!(claim(&log, "pool", "r2", "s", 0).claimed);
    assert_changes_nothing(&log, &free("r1"));
    let delete = Command::DeletePoolLimit {
        pool: "pool".into(),
        now: 9.0,
    };
    done(&log, &delete);
    assert_eq!(held(&log), (0, 0, 1));
    assert_changes_nothing(&log, &delete);
    assert!(log.query(pools::limited).unwrap().is_empty());
    assert_eq!(log.query(pools::queued_runs).unwrap().len(), 1);
    done(&log, &free("r2"));
    assert_eq!(engine_support::rows(&log), []);
    assert_sound(&log);
}

fn queue(log: &EventLog) -> Vec<(String, String)> {
    let (_, steps) = log.query(|reader| pools::pool(reader, "pool")).unwrap();
    steps.into_iter().map(|s| (s.run_id, s.step_key)).collect()
}

fn free(log: &EventLog, run_id: &str) {
    done(
        log,
        &Command::FreeSlots {
            run_id: run_id.into(),
            step_key: None,
            now: 8.0,
        },
    );
}

#[test]
fn a_queue_is_told_in_the_order_of_arrival() {
    let log = new_log();
    for (run_id, priority) in [("r1", 0), ("r2", 0), ("r3", 5)] {
        claim(&log, "pool", run_id, "s", priority);
    }
    let arrived = queue(&log);
    set_limit(&log, "pool", 2);
    claim(&log, "pool", "r3", "s", 5);
    claim(&log, "pool", "r1", "s", 0);
    assert_eq!(queue(&log), arrived);
    assert_eq!(arrived[2].0, "r3");
    assert_sound(&log);
}

#[test]
fn a_run_that_leaves_makes_way_for_others_and_not_for_itself() {
    let log = new_log();
    set_limit(&log, "pool", 1);
    assert!(claim(&log, "pool", "r1", "s", 0).claimed);
    assert!(!claim(&log, "pool", "r1", "t", 9).claimed);
    assert!(!claim(&log, "pool", "r2", "s", 0).claimed);
    free(&log, "r1");
    assert_eq!(queue(&log), [("r2".into(), "s".into())]);
    assert!(claim(&log, "pool", "r2", "s", 0).claimed);
    assert_sound(&log);
}

#[test]
fn a_step_that_was_assigned_before_the_limit_fell_waits_for_a_slot() {
    let log = new_log();
    claim(&log, "pool", "r1", "s", 0);
    claim(&log, "pool", "r2", "s", 0);
    set_limit(&log, "pool", 2);
    set_limit(&log, "pool", 1);
    assert!(claim(&log, "pool", "r2", "s", 0).claimed);
    let waiting = claim(&log, "pool", "r1", "s", 0);
    assert!(waiting.assigned.is_some() && !waiting.claimed);
    free(&log, "r2");
    assert!(claim(&log, "pool", "r1", "s", 0).claimed);
    assert_sound(&log);
}

#[test]
fn a_lower_limit_takes_the_slots_that_were_claimed_last() {
    let log = new_log();
    set_limit(&log, "pool", 2);
    assert!(claim(&log, "pool", "r1", "s", 0).claimed);
    assert!(claim(&log, "pool", "r2", "s", 0).claimed);
    set_limit(&log, "pool", 1);
    assert!(!claim(&log, "pool", "r3", "s", 0).claimed);
    // The slot of r1 is the pool's; that of r2 goes with it.
    free(&log, "r1");
    assert!(claim(&log, "pool", "r3", "s", 0).claimed);
    free(&log, "r2");
    assert!(!claim(&log, "pool", "r4", "s", 0).claimed);
    assert_sound(&log);
}
