"""The machine: random commands from several processes, held against the model after each."""

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import (
    ASSETS,
    CHECKS,
    DIMENSION,
    JOBS,
    PARTITIONS,
    RUNS,
    STATUS_TYPES,
    STEP_TYPES,
    STEPS,
    TYPES,
    Act,
    Draft,
    T,
)
from model.history import DATA_VERSION, History
from model.processes import ActError, Elsewhere, Here, spawned
from model.questions import DEFINITIONS, KEYS, POOLS, Probe, ask, expected

times = st.integers(0, 12)
runs = st.sampled_from(RUNS)
any_run = st.sampled_from([*RUNS, ""])
# Much of what is drawn meets at one asset, one check, one pool and few partitions.
assets = st.sampled_from([ASSETS[0], *ASSETS])
checks = st.sampled_from([CHECKS[0], CHECKS[0], *CHECKS])
pools = st.sampled_from([POOLS[0], *POOLS])
subsets = st.lists(st.sampled_from(["p", "q", "x"]), max_size=3, unique=True).map(tuple)
some_partition = st.sampled_from([None, "p", "p", "q", *PARTITIONS])
tags = st.lists(
    st.sampled_from(
        [(DATA_VERSION, "1"), (DATA_VERSION, "2"), (DIMENSION, "x"), (DIMENSION, "y"), ("t", "1")]
    ),
    max_size=3,
    unique_by=lambda tag: tag[0],
).map(tuple)


def _drafts_of(types: Sequence[Any], **fields: Any) -> st.SearchStrategy[Draft]:
    fields = {"run": runs, "time": times, **fields}
    return st.builds(Draft, number=st.just(0), type=st.sampled_from(list(types)), **fields)


plain_drafts = st.one_of(
    _drafts_of([None], step=st.sampled_from([None, *STEPS])),
    _drafts_of([T.ENGINE_EVENT], run=any_run),
    _drafts_of(STEP_TYPES, step=st.sampled_from(STEPS)),
    _drafts_of(STATUS_TYPES, job=st.sampled_from(JOBS)),
)
asset_drafts = st.one_of(
    _drafts_of(
        [T.ASSET_MATERIALIZATION, T.ASSET_OBSERVATION],
        run=any_run,
        asset=assets,
        partition=some_partition,
        tags=tags,
    ),
    _drafts_of([T.ASSET_MATERIALIZATION_PLANNED], asset=assets, partition=some_partition),
    _drafts_of([T.ASSET_MATERIALIZATION_PLANNED], asset=assets, subset=subsets),
    _drafts_of(
        [T.ASSET_FAILED_TO_MATERIALIZE],
        run=any_run,
        asset=assets,
        partition=some_partition,
        skipped=st.booleans(),
    ),
    _drafts_of([T.ASSET_WIPED], run=any_run, asset=assets),
    _drafts_of(
        [T.FRESHNESS_STATE_CHANGE],
        run=st.just(""),
        asset=assets,
        state=st.sampled_from(["PASS", "WARN", "FAIL"]),
    ),
)


@st.composite
def check_drafts(draw: st.DrawFn) -> Draft:
    asset, name = draw(checks)
    fields: dict[str, Any] = {"asset": asset, "check": name, "time": draw(times), "number": 0}
    if draw(st.booleans()):
        planned = T.ASSET_CHECK_EVALUATION_PLANNED
        return Draft(type=planned, run=draw(runs), subset=draw(subsets), **fields)
    return Draft(
        type=T.ASSET_CHECK_EVALUATION,
        run=draw(any_run),
        partition=draw(some_partition),
        passed=draw(st.booleans()),
        target=draw(st.sampled_from([None, 1, 7])),
        **fields,
    )


drafts = st.one_of(plain_drafts, asset_drafts, asset_drafts, check_drafts(), check_drafts())

probes = st.builds(
    Probe,
    run=any_run,
    asset=assets,
    check=checks,
    partitions=subsets,
    types=st.lists(st.sampled_from(TYPES), max_size=3, unique=True).map(tuple),
    jobs=st.lists(st.sampled_from(JOBS), max_size=2, unique=True).map(tuple),
    steps=st.lists(st.sampled_from(STEPS), max_size=2, unique=True).map(tuple),
    after_time=st.none() | times,
    before_time=st.none() | times,
    limit=st.sampled_from([None, 1, 2, 5]),
    ascending=st.booleans(),
    sharded=st.booleans(),
    cursor=st.sampled_from(["none", "integer", "offset", "id"]),
    partition=some_partition,
    statuses=st.lists(
        st.sampled_from(["PLANNED", "SUCCEEDED", "FAILED"]), max_size=2, unique=True
    ).map(tuple),
)
#: Of ``after``, ``before`` and ``ids`` among the history's ids.
place = st.integers(0, 99)
places = st.tuples(st.none() | place, st.none() | place, st.lists(place, max_size=6))


class EventLogMachine(RuleBasedStateMachine):
    """One store, its processes, and its history as it should be."""

    @initialize()
    def begin(self) -> None:
        self.start()
        self.processes.append(spawned(LmdbEventLogStorage, self.directory))

    def start(self) -> None:
        """Begins with this process alone."""
        self.directory = tempfile.mkdtemp(prefix="dagster-lmdb-model-")
        self.storage = LmdbEventLogStorage(self.directory)
        self.processes: list[Here | Elsewhere] = [Here(self.storage)]
        self.forked: list[Elsewhere] = []
        self.history = History()
        self.probe = Probe()
        self.numbers = 0
        self.seen = 0
        #: Whether the last rule came to its end.
        self.sound = True

    def start_on_copy(self, other: "EventLogMachine", directory: str) -> None:
        """Begins, in this process alone, where another machine is."""
        shutil.copytree(other.directory, directory, dirs_exist_ok=True)
        self.directory = directory
        self.storage = LmdbEventLogStorage(directory)
        self.processes = [Here(self.storage)]
        self.forked = []
        self.history = other.history
        self.probe = Probe()
        self.numbers, self.seen, self.sound = other.numbers, other.seen, True

    def teardown(self) -> None:
        if not hasattr(self, "storage"):
            return
        try:
            if self.sound:
                self.compare(Probe())
                self.verify()
        finally:
            for process in self.forked:
                process.stop()
            self.storage.dispose()
            shutil.rmtree(self.directory)

    # Processes

    def process(self, choice: int) -> Here | Elsewhere:
        self.sound = False
        return self.processes[choice % len(self.processes)]

    def do(self, choice: int, act_name: str, now: int, **arguments: Any) -> Any:
        return self.process(choice).do(Act(act_name, arguments, now))

    @precondition(lambda self: len(self.forked) < 2)
    @rule()
    def fork(self) -> None:
        self.storage.get_maximum_record_id()
        child = Elsewhere(self.storage)
        self.forked.append(child)
        self.processes.append(child)

    # Events

    def numbered(self, found: Sequence[Draft]) -> list[Draft]:
        numbered = []
        for draft in found:
            self.numbers += 1
            numbered.append(dataclasses.replace(draft, number=self.numbers))
        return numbered

    def new_ids(self) -> dict[str, int]:
        """Ids by message of the events since the last call, which all processes see alike."""
        new = self.storage.get_logs_for_all_runs_by_log_id(self.seen)
        assert list(new) == sorted(new)
        self.seen = max([self.seen, *new])
        return {entry.user_message: number for number, entry in new.items()}

    def stored(self, batch: Sequence[Draft], ids: dict[str, int], now: int) -> None:
        """Takes a batch into the history; its ids follow each other."""
        own = [ids.pop(f"message {draft.number}") for draft in batch]
        for draft, one, other in zip(batch, own, own[1:], strict=False):
            planned = draft.type is T.ASSET_CHECK_EVALUATION_PLANNED
            more = len(draft.subset[1:]) if planned else 0
            assert other - one == 1 + more, "the ids of a batch follow each other"
        self.history.store(batch, own, now)

    @rule(by=st.integers(0, 3), found=st.lists(drafts, min_size=1, max_size=6), now=times)
    def store(self, by: int, found: list[Draft], now: int) -> None:
        batch = self.numbered(found)
        more = len(batch) > 1
        if self.history.refuses(batch):
            with pytest.raises(ActError, match="DagsterInvariantViolationError"):
                self.do(by, "store", now, drafts=batch, batch=more)
            assert not self.new_ids(), "a batch that is refused stores nothing"
            return
        self.do(by, "store", now, drafts=batch, batch=more)
        ids = self.new_ids()
        self.stored(batch, ids, now)
        assert not ids

    @rule(
        found=st.lists(
            st.lists(st.one_of(plain_drafts, asset_drafts), min_size=1, max_size=3),
            min_size=2,
            max_size=4,
        ),
        now=times,
    )
    def store_at_once(self, found: list[list[Draft]], now: int) -> None:
        """The processes store at the same time; the ids say in which order it happened."""
        batches = [self.numbered(batch) for batch in found[: len(self.processes)]]
        # This process comes last, since it does not wait in between.
        writers = self.processes[::-1][: len(batches)]
        self.sound = False
        for process, batch in zip(writers, batches, strict=True):
            process.begin(Act("store", {"drafts": batch, "batch": True}, now))
        for process in writers:
            process.end()
        ids = self.new_ids()
        batches.sort(key=lambda batch: ids[f"message {batch[0].number}"])
        for batch in batches:
            self.stored(batch, ids, now)

    @rule(by=st.integers(0, 3), run=any_run, now=times)
    def delete_events(self, by: int, run: str, now: int) -> None:
        self.do(by, "delete_events", now, run=run)
        self.history.delete_events(run, now)

    # Wipes

    @rule(by=st.integers(0, 3), asset=assets, now=times)
    def wipe_asset(self, by: int, asset: str, now: int) -> None:
        self.do(by, "wipe_asset", now, asset=asset)
        self.history.wipe_asset(asset, now)

    @rule(by=st.integers(0, 3), asset=assets, partitions=subsets, now=times)
    def wipe_partitions(self, by: int, asset: str, partitions: tuple[str, ...], now: int) -> None:
        self.do(by, "wipe_partitions", now, asset=asset, partitions=list(partitions))
        self.history.wipe_partitions(asset, partitions)

    @precondition(lambda self: len(self.history.events) > 20)
    @rule(by=st.integers(0, 3), now=times)
    def wipe(self, by: int, now: int) -> None:
        self.do(by, "wipe", now)
        self.history.wipe()

    @rule(by=st.integers(0, 3), asset=assets, number=st.sampled_from([None, 1, 2]))
    def cache(self, by: int, asset: str, number: int | None) -> None:
        self.do(by, "cache", 0, asset=asset, number=number)
        self.history.cache(asset, number)

    # Dynamic partitions

    @rule(
        by=st.integers(0, 3),
        definition=st.sampled_from(DEFINITIONS),
        keys=st.lists(st.sampled_from(KEYS), max_size=4),
        delete=st.booleans(),
    )
    def change_partitions(self, by: int, definition: str, keys: list[str], delete: bool) -> None:
        if delete:
            for key in keys:
                self.delete_partition(by, definition, key)
        else:
            self.add_partitions(by, definition, keys)

    def add_partitions(self, by: int, definition: str, keys: list[str]) -> None:
        self.do(by, "add_partitions", 0, definition=definition, keys=keys)
        self.history.add_partitions(definition, keys)

    def delete_partition(self, by: int, definition: str, key: str) -> None:
        self.do(by, "delete_partition", 0, definition=definition, key=key)
        self.history.delete_partition(definition, key)

    # Concurrency

    @rule(
        by=st.integers(0, 3),
        pool=pools,
        limit=st.sampled_from([None, 0, 1, 2, 3]),
        now=times,
    )
    def limit(self, by: int, pool: str, limit: int | None, now: int) -> None:
        if limit is None:
            self.do(by, "delete_limit", now, pool=pool)
            self.history.delete_limit(pool)
        else:
            self.do(by, "set_limit", now, pool=pool, limit=limit)
            self.history.set_limit(pool, limit, now)

    @rule(
        by=st.integers(0, 3),
        pool=pools,
        default=st.sampled_from([None, 1, 2]),
        now=times,
    )
    def initialize_limit(self, by: int, pool: str, default: int | None, now: int) -> None:
        found = self.do(by, "initialize_limit", now, pool=pool, default=default)
        assert found == (default is not None)
        if default is None:
            self.history.delete_limit(pool)
        else:
            self.history.set_limit(pool, default, now, default=True)

    @rule(
        by=st.integers(0, 3),
        pool=pools,
        steps=st.lists(
            st.tuples(runs, st.sampled_from(STEPS), st.sampled_from([0, 0, 1, -1])),
            min_size=1,
            max_size=5,
        ),
        now=times,
    )
    def claim_slots(self, by: int, pool: str, steps: list[tuple[str, str, int]], now: int) -> None:
        for run, step, priority in steps:
            self.claim(by, pool, run, step, priority, now)

    def claim(self, by: int, pool: str, run: str, step: str, priority: int, now: int) -> None:
        claimed = self.do(by, "claim", now, pool=pool, run=run, step=step, priority=priority)
        assert claimed == self.history.claim(pool, run, step, priority, now)

    @rule(by=st.integers(0, 3), run=runs, step=st.sampled_from([None, *STEPS]), now=times)
    def free(self, by: int, run: str, step: str | None, now: int) -> None:
        self.do(by, "free", now, run=run, step=step)
        self.history.free(run, step, now)

    # The log under the history

    @rule(
        by=st.integers(0, 3),
        run=st.none() | any_run,
        share=st.sampled_from([2, 3, 1]),
        place=st.integers(0, 2),
    )
    def husk(self, by: int, share: int, place: int, run: str | None = None) -> None:
        """Removes what may go among every second or third record, or all; a run's first, if any."""
        if run is not None:
            self.delete_events(by, run, 0)
        kinds = {line[0]: line[1] for line in self.storage._log.tail(limit=1_000_000)[0]}
        asked = [number for number, kind in kinds.items() if kind != "shape_defined"]
        self.husk_of(by, asked[place % share :: share])
        self.verify(by)

    def husk_of(self, by: int, asked: list[int]) -> list[int]:
        kinds = {line[0]: line[1] for line in self.storage._log.tail(limit=1_000_000)[0]}
        gone = self.do(by, "husk", 0, sequences=asked)
        assert set(gone) <= set(asked)
        stand = {stored.id for stored in self.history.events}
        assert not stand & set(gone), "an event that stands has to stay"
        fallen = {number for number in asked if kinds[number] == "event"} - stand
        assert fallen <= set(gone), "an event that does not stand may go"
        return gone

    @rule(by=st.integers(0, 3), what=st.sampled_from(["reopen", "verify", "rebuild"]))
    def keep_house(self, by: int, what: str) -> None:
        getattr(self, what)(by)

    def reopen(self, by: int) -> None:
        self.do(by, "reopen", 0)

    def verify(self, by: int = 0) -> None:
        assert self.do(by, "differences", 0) == []

    def rebuild(self, by: int) -> None:
        self.do(by, "rebuild", 0)

    # Questions

    @rule(by=st.integers(0, 3), probe=probes, places=places)
    def ask_something(
        self, by: int, probe: Probe, places: tuple[int | None, int | None, list[int]]
    ) -> None:
        """Other arguments from here on, and another process that answers."""
        after, before, ids = places
        self.probe = dataclasses.replace(
            probe,
            after=None if after is None else self.id_near(after),
            before=None if before is None else self.id_near(before),
            ids=tuple(self.id_near(place) for place in ids),
        )
        answers = self.process(by).do(Act("ask", {"probe": self.probe}))
        assert_alike(answers, expected(self.history, self.probe), self.probe)

    def id_near(self, place: int) -> int:
        """The id of an event, or one beside it. What is drawn does not depend on the ids."""
        ids = [-1, 0, *(stored.id + more for stored in self.history.events for more in (0, 1))]
        return ids[place % len(ids)]

    def compare(self, probe: Probe) -> None:
        assert_alike(ask(self.storage, probe), expected(self.history, probe), probe)

    @invariant()
    def every_answer_is_the_models(self) -> None:
        if hasattr(self, "storage"):
            self.compare(self.probe)
            self.sound = True


def assert_alike(answers: dict[str, Any], truths: dict[str, Any], probe: Probe) -> None:
    for name, truth in truths.items():
        assert answers[name] == truth, f"{name} of {probe}:\n{answers[name]}\n!=\n{truth}"
