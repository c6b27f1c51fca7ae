"""What is drawn for commands and questions of the instance: few names and times, which meet."""

from typing import Any

from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from hypothesis import strategies as st

from model.drafts import STATUS_TYPES, STEPS, Act, Draft, T
from model.instance.objects import (
    BACKFILLS,
    CURSORS,
    DAEMONS,
    JOBS,
    KEYS,
    ORIGINS,
    REPOSITORIES,
    RUN_TAGS,
    RUNS,
    SELECTORS,
    SENSORS,
    SNAPSHOTS,
    BackfillDraft,
    RunDraft,
    StateDraft,
    TickDraft,
)
from model.instance.questions import BackfillProbe, Probe, RunProbe, ScheduleProbe
from model.instance.questions.schedules import NUMBERS

RUN_STATUSES = [
    "QUEUED",
    "NOT_STARTED",
    "STARTING",
    "STARTED",
    "SUCCESS",
    "FAILURE",
    "CANCELING",
    "CANCELED",
]
BACKFILL_STATUSES = ["REQUESTED", "COMPLETED", "CANCELED"]
TICK_STATUSES = ["STARTED", "SKIPPED", "SUCCESS", "FAILURE"]
STATE_STATUSES = ["RUNNING", "STOPPED", "DECLARED_IN_CODE"]

times = st.integers(0, 12)
# Much of what is drawn meets at one run.
runs = st.sampled_from([RUNS[0], RUNS[0], *RUNS])


def _some(found: list[Any], most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(found), max_size=most, unique=True).map(tuple)


def _maybe(found: list[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(found)


tags = st.lists(st.sampled_from(RUN_TAGS), max_size=3, unique_by=lambda tag: tag[0]).map(tuple)
wanted_tags = st.lists(
    st.one_of(
        st.sampled_from(RUN_TAGS),
        st.tuples(st.sampled_from(["team", "size"]), _some(["a", "b", "1"])),
    ),
    max_size=2,
    unique_by=lambda tag: tag[0],
).map(tuple)
bounds = st.tuples(st.none() | times, st.none() | times)
no_bounds = st.just((None, None))
limits = st.sampled_from([None, None, 0, 1, 2, 5])

run_drafts = st.builds(
    RunDraft,
    id=runs,
    job=st.sampled_from(JOBS),
    status=st.sampled_from(["NOT_STARTED", "NOT_STARTED", *RUN_STATUSES]),
    tags=tags,
    snapshot=st.sampled_from([None, None, *SNAPSHOTS]),
    root=st.sampled_from([None, None, *RUNS]),
    repository=_maybe(REPOSITORIES),
)
status_events = st.builds(
    Draft,
    number=st.just(0),
    type=st.sampled_from(STATUS_TYPES),
    run=runs,
    time=times,
    job=st.sampled_from(JOBS),
    reason=st.sampled_from([None, "UNKNOWN", "STEP_FAILURE", "RUN_EXCEPTION"]),
)
other_events = st.builds(
    Draft,
    number=st.just(0),
    type=st.sampled_from([None, T.ASSET_MATERIALIZATION, T.STEP_SUCCESS]),
    run=runs,
    time=times,
    step=st.sampled_from(STEPS),
)
events = st.lists(st.one_of(status_events, status_events, other_events), min_size=1, max_size=4)
backfill_drafts = st.builds(
    BackfillDraft,
    id=st.sampled_from(BACKFILLS),
    status=st.sampled_from(BACKFILL_STATUSES),
    tags=st.lists(st.sampled_from(RUN_TAGS[:3]), max_size=2, unique_by=lambda t: t[0]).map(tuple),
    time=times,
    job=_maybe(JOBS),
    failures=st.integers(0, 2),
)
tick_drafts = st.builds(
    TickDraft,
    time=times,
    status=st.sampled_from(TICK_STATUSES),
    origin=st.sampled_from(ORIGINS),
    selector=st.sampled_from([None, *SELECTORS]),
    cursor=_maybe(["1", "2"]),
)
state_drafts = st.builds(
    StateDraft, sensor=st.sampled_from(SENSORS), status=st.sampled_from(STATE_STATUSES)
)
evaluated = st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), min_size=1, max_size=3).map(
    tuple
)


def acts(name: str, /, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Act]:
    return st.builds(Act, st.just(name), st.fixed_dictionaries(arguments), times)


store = acts("store", drafts=events)
store_status = acts("store", drafts=st.lists(status_events, min_size=1, max_size=2))
add_run = acts("add_run", draft=run_drafts)
add_old_run = acts("add_run", draft=run_drafts, created=times)
handle = acts("handle_run_event", event=status_events)
# Labels that are hidden from users are news to a run also where it was added with them.
add_tags = acts(
    "add_run_tags",
    run=runs,
    tags=tags.map(lambda found: tuple(tag for tag in found if tag[0] != REPOSITORY_LABEL_TAG)),
)
delete_run = acts("delete_run", run=runs)
purge_ticks = acts(
    "purge_ticks",
    origin=st.sampled_from(ORIGINS),
    selector=st.sampled_from(SELECTORS),
    before=times,
    statuses=_some(TICK_STATUSES),
)
evaluate = acts("evaluate", number=st.sampled_from(NUMBERS), found=evaluated)
create_tick = acts("create_tick", draft=tick_drafts)
set_cursors = acts(
    "set_cursors",
    values=st.dictionaries(st.sampled_from(CURSORS), st.sampled_from(["1", "2"]), max_size=2),
)
compact = acts("compact", keep_since=st.none() | times)
rebuild = acts("rebuild")

of_runs = st.one_of(
    add_run,
    add_run,
    add_old_run,
    handle,
    handle,
    add_tags,
    acts("replace_job_origin", run=runs, repository=st.sampled_from(REPOSITORIES)),
    delete_run,
    acts("delete_events", run=runs),
    acts("claim", run=runs, step=st.sampled_from(STEPS)),
    acts("add_telemetry", run=runs, value=st.sampled_from([0.5, 1.0])),
)
kept_with_runs = st.one_of(
    acts("add_snapshot", name=st.sampled_from(SNAPSHOTS), plan=st.booleans()),
    acts("add_backfill", draft=backfill_drafts),
    acts("add_backfill", draft=backfill_drafts),
    acts("update_backfill", draft=backfill_drafts),
    acts("beat", daemon=st.sampled_from(DAEMONS)),
    acts("wipe_heartbeats"),
    set_cursors,
)
of_schedules = st.one_of(
    acts("add_state", draft=state_drafts),
    acts("update_state", draft=state_drafts),
    acts("delete_state", draft=state_drafts),
    create_tick,
    create_tick,
    purge_ticks,
    evaluate,
    acts("purge_evaluations", before=times),
)
of_log = st.one_of(
    compact, compact, rebuild, acts("reopen"), acts("husk", share=st.integers(1, 3), place=times)
)
wipes = st.sampled_from(["wipe_runs", "wipe_schedules", "wipe_events"])
#: What processes do at once: it meets, and the order shows.
racing = st.one_of(
    store_status, handle, add_run, add_tags, delete_run, create_tick, set_cursors, evaluate, compact
)
#: What a process may be killed at: all of it shows, or none.
victims = st.one_of(
    store, add_run, delete_run, set_cursors, evaluate, purge_ticks, compact, compact, rebuild
)

run_probes = st.builds(
    RunProbe,
    ids=_some(RUNS),
    job=_maybe(JOBS),
    statuses=_some(RUN_STATUSES, 4),
    tags=wanted_tags,
    snapshot=st.sampled_from([None, None, *SNAPSHOTS]),
    created=no_bounds | bounds,
    updated=no_bounds | bounds,
    exclude_subruns=st.booleans(),
    cursor=st.sampled_from([None, None, *RUNS, "unknown"]),
    limit=limits,
    ascending=st.booleans(),
    order_by=st.sampled_from(
        [None, "id", "create_timestamp", "update_timestamp", "start_time", "end_time"]
    ),
    bucket=st.none()
    | st.tuples(st.none(), _some([*JOBS, "nothing"]), limits)
    | st.tuples(st.just("team"), _some(["a", "b"]), limits),
    prefix=st.sampled_from([None, "", "a", "o"]),
)
backfill_probes = st.builds(
    BackfillProbe,
    ids=_some(BACKFILLS),
    job=_maybe(JOBS),
    statuses=_some(BACKFILL_STATUSES),
    tags=wanted_tags,
    created=no_bounds | bounds,
    by_selector=st.booleans(),
    cursor=st.sampled_from([None, None, *BACKFILLS, "unknown"]),
    limit=limits,
)
schedule_probes = st.builds(
    ScheduleProbe,
    repository=_maybe(REPOSITORIES),
    is_schedule=st.booleans(),
    state_statuses=_some(STATE_STATUSES),
    origin=st.sampled_from(ORIGINS),
    selector=st.sampled_from(SELECTORS),
    times=no_bounds | bounds,
    statuses=_some(TICK_STATUSES),
    limit=limits,
    key_limit=st.integers(0, 3),
    before=st.sampled_from([None, *NUMBERS]),
)
# One of the three at a time is narrow, or all are.
probes = st.one_of(
    st.builds(Probe, runs=run_probes),
    st.builds(Probe, runs=run_probes),
    st.builds(Probe, runs=run_probes, backfills=backfill_probes, schedules=schedule_probes),
)
