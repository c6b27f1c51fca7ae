"""How long other writers wait while much is taken out of a store: runs, assets, ticks, everything.

Usage: python benches/waits.py [--rows 100000] [--events 1000000] [--only NAME]

For each way to take something out, fills a store, lets another process store log lines one by one,
then takes it out, and prints how long the call took, when a reader in a third process no longer saw
it, and the other writer's latencies before and meanwhile.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import click
import dagster as dg
from dagster import AssetMaterialization, DagsterEvent, DagsterEventType, EventLogEntry
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events import StepMaterializationData
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.utils import make_new_run_id

from dagster_lmdb import DagsterLmdbStorage
from dagster_lmdb._rows import Term
from dagster_lmdb._runs import run_terms
from dagster_lmdb._ticks import tick_terms

BATCH = 5_000
GONE = "0" * 32
ASSET = dg.AssetKey("gauge")
SELECTOR = "a_selector"

#: Seconds that the other writer is watched before, and after.
BEFORE, AFTER = 3.0, 0.5


def opened(base_dir: str) -> DagsterLmdbStorage:
    """The storages of a store, as each process opens them for itself."""
    return DagsterLmdbStorage(base_dir)


def log_line(run_id: str, number: int) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=20,
        user_message=f"reading {number}",
        run_id=run_id,
        timestamp=time.time(),
    )


def materialization(run_id: str, number: int) -> EventLogEntry:
    """A materialization of one of a thousand partitions."""
    event = DagsterEvent(
        DagsterEventType.ASSET_MATERIALIZATION.value,
        "a_job",
        step_key="gauge",
        event_specific_data=StepMaterializationData(
            AssetMaterialization(ASSET, partition=f"p{number % 1000}", metadata={"rows": number})
        ),
    )
    return log_line(run_id, number)._replace(
        dagster_event=event, step_key="gauge", job_name="a_job"
    )


def events_of_run(count: int) -> Iterator[EventLogEntry]:
    """What a long run stores: one materialization in twenty events, log lines otherwise."""
    for number in range(count):
        make = materialization if number % 20 == 0 else log_line
        yield make(GONE, number)


def fill_events(storage: DagsterLmdbStorage, events: Iterable[EventLogEntry]) -> None:
    events = iter(events)
    while batch := list(islice(events, BATCH)):
        storage.event_log_storage.store_event_batch(batch)


def fill_documents(
    storage: DagsterLmdbStorage, space: str, documents: Iterable[tuple[str, list[Term], object]]
) -> None:
    """Puts objects as their storages do, but many in one commit."""
    rest = iter(documents)
    while batch := list(islice(rest, BATCH)):
        new = [(None, key, None, terms, value) for key, terms, value in batch]
        storage.run_storage._log.put_documents(space, new, "insert", time.time())


def fill_ticks(storage: DagsterLmdbStorage, count: int) -> None:
    def tick(number: int) -> TickData:
        return TickData(
            "an_origin",
            "a_sensor",
            InstigatorType.SENSOR,
            TickStatus.SKIPPED,
            float(number),
            selector_id=SELECTOR,
        )

    ticks = (tick(number) for number in range(count))
    fill_documents(storage, "tick", (("", tick_terms(each), each) for each in ticks))


class Way(NamedTuple):
    """A way to take something out: how much there is, and how it comes and goes.

    ``is_gone`` asks whether a reader sees nothing of it any more.
    """

    unit: str
    fill: Callable[[DagsterLmdbStorage, int], None]
    take_out: Callable[[DagsterLmdbStorage], object]
    is_gone: Callable[[DagsterLmdbStorage], bool]


def fill_run(storage: DagsterLmdbStorage, count: int) -> None:
    storage.run_storage.add_run(dg.DagsterRun("a_job", run_id=GONE))
    fill_events(storage, events_of_run(count))


def fill_asset(storage: DagsterLmdbStorage, count: int) -> None:
    fill_events(storage, (materialization(GONE, number) for number in range(count)))


def fill_runs(storage: DagsterLmdbStorage, count: int) -> None:
    def run(number: int) -> dg.DagsterRun:
        tags = {"number": str(number), "team": "gauges"}
        return dg.DagsterRun("a_job", run_id=f"run-{number}", tags=tags)

    runs, now = (run(number) for number in range(count)), time.time()
    fill_documents(storage, "run", ((run.run_id, run_terms(run, now, now), run) for run in runs))


def no_events(storage: DagsterLmdbStorage) -> bool:
    return not storage.event_log_storage.get_logs_for_run(GONE, limit=1)


def no_materialization(storage: DagsterLmdbStorage) -> bool:
    return not storage.event_log_storage.fetch_materializations(ASSET, limit=1).records


WAYS = {
    "delete_run": Way(
        "events",
        fill_run,
        lambda storage: storage.run_storage.delete_run(GONE),
        lambda storage: not storage.run_storage.has_run(GONE) and no_events(storage),
    ),
    "wipe_asset": Way(
        "materializations",
        fill_asset,
        lambda storage: storage.event_log_storage.wipe_asset(ASSET),
        no_materialization,
    ),
    "wipe_asset_partitions": Way(
        "materializations",
        fill_asset,
        lambda storage: storage.event_log_storage.wipe_asset_partitions(
            ASSET, [f"p{number}" for number in range(1000)]
        ),
        no_materialization,
    ),
    "wipe of the event log": Way(
        "materializations",
        fill_asset,
        lambda storage: storage.event_log_storage.wipe(),
        no_events,
    ),
    "wipe of the runs": Way(
        "runs",
        fill_runs,
        lambda storage: storage.run_storage.wipe(),
        lambda storage: storage.run_storage.get_runs_count() == 0,
    ),
    "wipe of the schedules": Way(
        "ticks",
        fill_ticks,
        lambda storage: storage.schedule_storage.wipe(),
        lambda storage: not storage.schedule_storage.get_ticks("an_origin", SELECTOR, limit=1),
    ),
    "purge_ticks": Way(
        "ticks",
        fill_ticks,
        lambda storage: storage.schedule_storage.purge_ticks("an_origin", SELECTOR, time.time()),
        lambda storage: not storage.schedule_storage.get_ticks("an_origin", SELECTOR, limit=1),
    ),
}


def write(base_dir: str, pipe: Connection) -> None:
    """Stores log lines one by one until told to stop, and tells when each began and ended."""
    storage = opened(base_dir)
    run_id, calls = make_new_run_id(), []
    while not pipe.poll():
        line = log_line(run_id, len(calls))
        began = time.monotonic()
        storage.event_log_storage.store_event(line)
        calls.append((began, time.monotonic()))
    pipe.send(calls)


def look(base_dir: str, name: str, pipe: Connection) -> None:
    """Looks until nothing is seen any more, and tells when that was."""
    storage = opened(base_dir)
    pipe.send(None)
    while not WAYS[name].is_gone(storage):
        time.sleep(0.0005)
    pipe.send(time.monotonic())


def beside(target: Callable[..., None], *arguments: object) -> Connection:
    """Starts a process, and gives the pipe to it; it ends with this one."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=target, args=(*arguments, theirs), daemon=True).start()
    return ours


def percentiles(calls: list[tuple[float, float]]) -> str:
    """Median, 99th percentile and worst of the calls, in milliseconds."""
    times = sorted(end - began for began, end in calls)
    if not times:
        return "none"
    picked = times[len(times) // 2], times[len(times) * 99 // 100], times[-1]
    return " / ".join(f"{seconds * 1000:.2f}" for seconds in picked)


def measure(name: str, count: int, directory: Path) -> str:
    """Measures one way; a row of the table."""
    way = WAYS[name]
    storage = opened(str(directory))
    began = time.monotonic()
    way.fill(storage, count)
    filled = time.monotonic() - began
    writer, reader = beside(write, str(directory)), beside(look, str(directory), name)
    reader.recv()
    time.sleep(BEFORE)
    began = time.monotonic()
    way.take_out(storage)
    ended = time.monotonic()
    gone = reader.recv()
    time.sleep(AFTER)
    writer.send(None)
    calls = writer.recv()
    before = [call for call in calls if began - BEFORE <= call[0] and call[1] < began]
    meanwhile = [call for call in calls if call[1] >= began and call[0] <= ended]
    return (
        f"| {name} | {count:,} {way.unit} | {filled:.0f} | {ended - began:.2f}"
        f" | {(gone - began) * 1000:.1f} | {percentiles(before)}"
        f" | {percentiles(meanwhile)} | {len(meanwhile) / (ended - began):,.0f} |"
    )


@click.command()
@click.option("--rows", default=100_000, show_default=True, help="Of an asset, a space, a tick.")
@click.option("--events", default=1_000_000, show_default=True, help="Of the run to delete.")
@click.option("--only", multiple=True, type=click.Choice(list(WAYS)), help="Not all of them.")
@click.option(
    "--directory", type=click.Path(path_type=Path), help="Where; a temporary one if none."
)
def main(rows: int, events: int, only: tuple[str, ...], directory: Path | None) -> None:
    """Take much out of stores, and print how long another writer waited."""
    print("Another writer's calls: median / 99th percentile / worst, in ms.\n")
    print("| | of | filled in s | call, s | gone after, ms | before | meanwhile | calls a s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name in only or WAYS:
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            count = events if name == "delete_run" else rows
            print(measure(name, count, Path(scratch, "history")), flush=True)


if __name__ == "__main__":
    main()
