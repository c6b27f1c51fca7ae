"""Histories of a deployment, from a seed: 2,000 assets, a tenth of them in 1,000 partitions.

In the one of a million events twenty assets have a materialization of each partition.

A history of 10 thousand events is a hundredth of the one of a million: every hundredth of its runs
is the same run, over assets that no other run touches. So a query about one of these runs or assets
has an answer of the same size in both histories, amid a hundred times as many other events.
"""

import random
import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import dagster as dg
from benches.events import DAYS, as_run, asset, events_of, events_of_a_run, in_partition
from dagster import EventLogEntry
from dagster._serdes import deserialize_value, serialize_value

SEED = 20260101
#: Raised when a history or what is kept of it changes, so that no older one is used.
FORMAT = 5

BEGIN = 1_767_225_600.0  # 2026-01-01, when the first run starts
GROUPS = 200
PROBED_GROUPS = 2  # whose assets belong to every hundredth run alone
WHOLE_GROUPS = (10, 20)  # whose runs, a fifth of all, go through every partition once
ASSETS_OF_A_GROUP = 10
LINES = 4

SIZES = {"10 thousand": 100, "1 million": 10_000}  # runs, of about a hundred events each


def group_key(group: int, number: int) -> dg.AssetKey:
    """The key of an asset of a group."""
    return dg.AssetKey(["basins", f"basin_{group:03}", f"gauge_{number}"])


def partitioned(group: int) -> bool:
    """Whether the assets of a group have partitions, 1,000 each."""
    return group % 10 == 0


def template(group: int, directory: Path) -> Sequence[EventLogEntry]:
    """The events of a run of a group, which its other runs repeat; kept in a directory."""
    path = directory / f"group-{group:03}.json"
    if not path.exists():
        partitions = DAYS if partitioned(group) else None
        assets = [
            asset(group_key(group, number), LINES, partitions, checked=number < 2)
            for number in range(ASSETS_OF_A_GROUP)
        ]
        partition = DAYS.get_partition_keys()[0] if partitions else None
        events = events_of(assets, f"basin_{group:03}", partition)
        lines = sum(event.dagster_event is None for event in events)
        assert lines == ASSETS_OF_A_GROUP * LINES, f"{lines} lines were logged"
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(serialize_value(events))
    return deserialize_value(path.read_text(), list)


class Runs:
    """The runs of a history, in order; iterating again gives the same ones.

    Args:
        size: The name of a size.
        templates: Where the events of each group are kept.
    """

    def __init__(self, size: str, templates: Path) -> None:
        self.size = size
        self.step = SIZES["1 million"] // SIZES[size]
        self._template = lru_cache(GROUPS)(lambda group: template(group, templates))

    def __len__(self) -> int:
        return SIZES[self.size]

    def __iter__(self) -> Iterator[list[EventLogEntry]]:
        return map(self.run, range(0, SIZES["1 million"], self.step))

    def run(self, number: int) -> list[EventLogEntry]:
        """The events of a run, by its number in the history of a million events."""
        draw = random.Random(f"{SEED}-{number}")
        probed, whole = number % 100 == 0, number % 5 == 1
        if probed:
            group = number // 100 % PROBED_GROUPS
        elif whole:
            group = WHOLE_GROUPS[number // 5 % 2]
        else:
            group = draw.randrange(PROBED_GROUPS, GROUPS)
        events = self._template(group)
        if partitioned(group):
            keys = DAYS.get_partition_keys()
            if probed:
                partition = keys[number // 200]
            elif whole:
                partition = keys[number // 10]
            else:
                partition = draw.choice(keys)
            events = [in_partition(event, partition) for event in events]
        return as_run(events, self.run_id(number), BEGIN + 60 * number)

    @staticmethod
    def run_id(number: int) -> str:
        """The id of a run, by its number in the history of a million events."""
        return str(uuid.UUID(int=random.Random(f"{SEED}-id-{number}").getrandbits(128), version=4))


def template_of_partitions(directory: Path) -> Sequence[EventLogEntry]:
    """The events of a run of one asset; kept, since each run gives it another data version."""
    path = directory / "partitions.json"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(serialize_value(events_of_a_run(assets=1, lines=0)))
    return deserialize_value(path.read_text(), list)


def materializations_of_many_partitions(
    events: Sequence[EventLogEntry], count: int
) -> Iterator[EventLogEntry]:
    """One materialization of each of many partitions of one asset, a hundred to a run."""
    first = next(e for e in events if e.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION)  # fmt: skip  # noqa: E501
    for number in range(count):
        entry = in_partition(first, f"customer-{number:06}")
        yield entry._replace(run_id=Runs.run_id(number // 100), timestamp=BEGIN + number)
