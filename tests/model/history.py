"""The model: what Dagster's event log is, in lists and dictionaries.

It keeps the events that were stored and were not deleted, and answers each question by looking at
all of them. Of how the storage keeps anything it knows only that ids ascend.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster._core.execution.stats import STEP_STATS_EVENT_TYPES, build_run_step_stats_from_events

from model.drafts import ASSET_TYPES, EPOCH, KNOWING_TYPES, PARTITIONED_TYPES, Draft, T

DATA_VERSION = "dagster/data_version"


class DuplicatePlanned(Exception):
    """An evaluation meets several executions that it could be of."""


@dataclass
class Stored:
    """An event of the log."""

    id: int
    draft: Draft
    entry: EventLogEntry
    #: A wipe of its asset covers it.
    hidden: bool = False
    #: Its partitions that a wipe of partitions covers.
    gone: set[str] = field(default_factory=set)

    @property
    def pair(self) -> tuple[int, EventLogEntry]:
        return self.id, self.entry

    @property
    def partitions(self) -> list[str]:
        """Its partitions that stand."""
        if self.draft.type not in PARTITIONED_TYPES or self.hidden:
            return []
        return [name for name in self.draft.partitions if name not in self.gone]

    @property
    def stands(self) -> bool:
        """Whether its asset still shows it."""
        if self.draft.type not in ASSET_TYPES or self.hidden:
            return False
        return bool(self.partitions) or not self.gone


@dataclass
class Asset:
    known: bool = False
    wiped_at: int | None = None
    cached: int | None = None


@dataclass
class Execution:
    """A row of a check's history."""

    id: int
    asset: str
    check: str
    run: str
    partition: str | None
    status: str
    event: Stored
    created: float
    target: int | None = None


@dataclass
class Step:
    """A step in a pool's queue."""

    pool: str
    run: str
    key: str
    priority: int
    enqueued: float
    assigned: float | None
    #: None, "held", or "retired" where the slot goes once it is freed.
    slot: str | None = None
    #: When it changed last, counted over all changes.
    changed: int = 0


@dataclass
class Pool:
    limit: int | None = None
    from_default: bool = False
    slots: int = 0


class History:
    def __init__(self) -> None:
        self.events: list[Stored] = []
        self.assets: dict[str, Asset] = {}
        self.executions: list[Execution] = []
        self.dynamic: dict[str, list[str]] = {}
        self.pools: dict[str, Pool] = {}
        #: In the order in which they were enqueued.
        self.steps: list[Step] = []
        self._changes = 0

    # Commands

    def store(self, drafts: Sequence[Draft], ids: Sequence[int], now: int) -> None:
        """Stores events under the ids that the storage gave them."""
        for draft, number in zip(drafts, ids, strict=True):
            stored = Stored(number, draft, draft.entry())
            self.events.append(stored)
            if draft.type in ASSET_TYPES:
                asset = self.assets.setdefault(draft.asset, Asset())
                after_wipe = asset.wiped_at is None or draft.time > asset.wiped_at
                stored.hidden = not after_wipe
                asset.known |= after_wipe and draft.type in KNOWING_TYPES
            elif draft.type in (T.ASSET_CHECK_EVALUATION_PLANNED, T.ASSET_CHECK_EVALUATION):
                self.assets.setdefault(draft.asset, Asset())
                self.executions = executed(self.executions, stored, EPOCH + now)

    def refuses(self, drafts: Iterable[Draft]) -> bool:
        """Whether one of the events evaluates a check that several planned events planned."""
        executions = [replace(execution) for execution in self.executions]
        for draft in drafts:
            try:
                executions = executed(executions, Stored(0, draft, None), 0.0)  # type: ignore[arg-type]
            except DuplicatePlanned:
                return True
        return False

    def delete_events(self, run: str, now: int) -> None:
        self.events = [stored for stored in self.events if stored.draft.run != run]
        self.executions = [each for each in self.executions if each.run != run]
        self.free(run, None, now)

    def wipe(self) -> None:
        self.__init__()  # type: ignore[misc]

    def wipe_asset(self, text: str, now: int) -> None:
        asset = self.assets.get(text)
        if asset is None:
            return
        asset.wiped_at = max(now, now if asset.wiped_at is None else asset.wiped_at)
        asset.cached = None
        for stored in self._of_asset(text):
            if stored.draft.time <= now:
                stored.hidden = True
        self.executions = [each for each in self.executions if each.asset != text]
        asset.known = any(
            stored.stands and stored.draft.type in KNOWING_TYPES for stored in self._of_asset(text)
        )

    def wipe_partitions(self, text: str, partitions: Sequence[str]) -> None:
        asset = self.assets.get(text)
        if asset is None:
            return
        asset.cached = None
        for stored in self._of_asset(text):
            stored.gone |= set(stored.partitions) & set(partitions)
        self.executions = [
            each
            for each in self.executions
            if each.asset != text or each.partition not in partitions
        ]

    def cache(self, text: str, number: int | None) -> None:
        asset = self.assets.get(text)
        if asset is not None and (asset.known or number is None):
            asset.cached = number

    def add_partitions(self, definition: str, keys: Sequence[str]) -> None:
        have = self.dynamic.setdefault(definition, [])
        have.extend(key for key in dict.fromkeys(keys) if key not in have)

    def delete_partition(self, definition: str, key: str) -> None:
        have = self.dynamic.get(definition, [])
        if key in have:
            have.remove(key)

    def pool(self, name: str) -> Pool:
        return self.pools.setdefault(name, Pool())

    def set_limit(self, name: str, limit: int, now: int, *, default: bool = False) -> None:
        pool = self.pool(name)
        before = pool.slots
        pool.from_default = default and (pool.limit is None or pool.from_default)
        pool.limit = pool.slots = limit
        self._retire(name)
        if not default:
            self._assign(name, limit - before, now)

    def delete_limit(self, name: str) -> None:
        self.pools[name] = Pool()
        self._retire(name)

    def claim(self, name: str, run: str, key: str, priority: int, now: int) -> bool:
        """Whether the step holds a slot."""
        pool = self.pool(name)
        queue = self.queue(name)
        step = next((each for each in queue if (each.run, each.key) == (run, key)), None)
        if step is None:
            assigned = sum(each.assigned is not None for each in queue)
            at = EPOCH + now
            step = Step(name, run, key, priority, at, at if pool.slots > assigned else None)
            self.steps.append(step)
            self._touch(step)
        free = pool.slots - sum(each.slot == "held" for each in queue)
        if step.assigned is not None and step.slot is None and free > 0:
            step.slot = "held"
            self._touch(step)
        return step.slot is not None

    def free(self, run: str, key: str | None, now: int) -> None:
        going = [each for each in self.steps if each.run == run and key in (None, each.key)]
        self.steps = [each for each in self.steps if each not in going]
        for name in {each.pool for each in going}:
            count = sum(each.pool == name and each.assigned is not None for each in going)
            self._assign(name, count, now)

    def _assign(self, name: str, count: int, now: int) -> None:
        waiting = [each for each in self.queue(name) if each.assigned is None]
        # Steps that were enqueued at one time keep their order.
        waiting.sort(key=lambda step: (-step.priority, step.enqueued))
        for step in waiting[: max(count, 0)]:
            step.assigned = EPOCH + now
            self._touch(step)

    def _retire(self, name: str) -> None:
        """Takes slots away that are held beyond the pool's number, the last changed first."""
        held = [each for each in self.queue(name) if each.slot == "held"]
        held.sort(key=lambda step: -step.changed)
        for step in held[: max(len(held) - self.pool(name).slots, 0)]:
            step.slot = "retired"
            self._touch(step)

    def _touch(self, step: Step) -> None:
        self._changes += 1
        step.changed = self._changes

    # What questions are made of

    def queue(self, name: str) -> list[Step]:
        return [each for each in self.steps if each.pool == name]

    def _of_asset(self, text: str) -> list[Stored]:
        return [
            stored
            for stored in self.events
            if stored.draft.type in ASSET_TYPES and stored.draft.asset == text
        ]

    def of_run(self, run: str) -> list[Stored]:
        return [stored for stored in self.events if stored.draft.run == run]

    def standing(self, text: str, *types: DagsterEventType) -> list[Stored]:
        """The asset's events of these types that it still shows."""
        return [
            stored
            for stored in self._of_asset(text)
            if stored.stands and stored.draft.type in types
        ]

    def freshness(self, text: str) -> Stored | None:
        changes = [
            stored
            for stored in self._of_asset(text)
            if stored.draft.type is T.FRESHNESS_STATE_CHANGE
        ]
        return changes[-1] if changes else None

    def latest(self, text: str, *types: DagsterEventType) -> Stored | None:
        standing = self.standing(text, *types)
        return standing[-1] if standing else None

    def known(self) -> list[str]:
        return sorted(text for text, asset in self.assets.items() if asset.known)

    def by_partition(
        self,
        text: str,
        event_type: DagsterEventType,
        after: int | None = None,
        before: int | None = None,
    ) -> dict[str, Stored]:
        """The latest event of each partition between two ids."""
        latest = {}
        for stored in self.standing(text, event_type):
            if (after is None or stored.id > after) and (before is None or stored.id < before):
                latest.update(dict.fromkeys(stored.partitions, stored))
        return latest

    def data_versions(
        self, text: str, after: int | None = None, until: int | None = None
    ) -> dict[str, str]:
        """The latest data version of each partition that has one."""
        versions = {}
        for stored in self.standing(text, T.ASSET_MATERIALIZATION, T.ASSET_OBSERVATION):
            version = stored.draft.indexed_tags.get(DATA_VERSION)
            if version is None or (after is not None and stored.id <= after):
                continue
            if until is not None and stored.id > until:
                continue
            versions.update(dict.fromkeys(stored.partitions, version))
        return versions

    def history_of(self, asset: str, check: str) -> list[Execution]:
        """The executions of a check, the newest first."""
        of_check = [each for each in self.executions if (each.asset, each.check) == (asset, check)]
        return sorted(of_check, key=lambda each: -each.id)

    def unpartitioned(self, text: str) -> int | None:
        """The asset's latest materialization, if that has no partition."""
        asset = self.assets.get(text)
        latest = self.latest(text, T.ASSET_MATERIALIZATION)
        if asset is None or not asset.known or latest is None or latest.draft.partition:
            return None
        return latest.id

    def step_stats(self, run: str, keys: Sequence[str]) -> Any:
        entries = [
            stored.entry
            for stored in self.of_run(run)
            if stored.draft.type in STEP_STATS_EVENT_TYPES
            and stored.draft.step is not None
            and (not keys or stored.draft.step in keys)
        ]
        return build_run_step_stats_from_events(run, entries)


def executed(executions: list[Execution], stored: Stored, now: float) -> list[Execution]:
    """The executions once a check event has been stored."""
    draft = stored.draft
    if draft.type is T.ASSET_CHECK_EVALUATION_PLANNED:
        rows = [
            Execution(
                stored.id + place, draft.asset, draft.check, draft.run, name, "PLANNED", stored, now
            )
            for place, name in enumerate(draft.check_keys or [None])  # type: ignore[list-item]
        ]
        return [*executions, *rows]
    if draft.type is not T.ASSET_CHECK_EVALUATION:
        return executions
    status = "SUCCEEDED" if draft.passed else "FAILED"
    wanted = (draft.asset, draft.check, draft.run, draft.partition)
    matching = [
        each
        for each in executions
        if draft.run and (each.asset, each.check, each.run, each.partition) == wanted
    ]
    if len(matching) > 1:
        raise DuplicatePlanned
    if matching:
        (row,) = matching
        row.status, row.event, row.target = status, stored, draft.target
        return executions
    row = Execution(
        stored.id,
        draft.asset,
        draft.check,
        draft.run,
        draft.partition,
        status,
        stored,
        now,
        draft.target,
    )
    return [*executions, row]
