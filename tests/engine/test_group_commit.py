"""Writers that come at once share commits: every call that returned is there once, whoever dies."""

import itertools
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from dagster import DagsterRun
from dagster._core.errors import DagsterRunAlreadyExists

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage
from engine.children import PATIENCE, fork, join
from engine.events import line, materialization


def tell(file: int, text: str) -> None:
    """One write, which a kill leaves whole or out."""
    os.write(file, f"{text}\n".encode())


def write_on(storage: LmdbEventLogStorage, told: Path, name: str) -> None:
    """Stores from three threads without end, and says of each call that it returned."""
    file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def lines(thread: int) -> None:
        for number in itertools.count():
            message = f"{name}-{thread}-{number}"
            storage.store_event(line(f"run-{name}", message))
            tell(file, message)

    def others() -> None:
        for number in itertools.count():
            key = f"{name}-{number}"
            storage.add_dynamic_partitions("definition", [key])
            tell(file, f"partition {key}")
            storage.store_event(materialization(f"run-{name}", partition=key))
            tell(file, f"materialized {key}")
            claimed = storage.claim_concurrency_slot("pool", f"run-{name}", key)
            if claimed.is_claimed:
                storage.free_concurrency_slot_for_step(f"run-{name}", key)

    for work in (lambda: lines(0), lambda: lines(1), others):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(PATIENCE)


def test_a_storm_of_writers_loses_and_doubles_nothing_when_some_are_killed(
    storage: LmdbEventLogStorage, tmp_path: Path
) -> None:
    storage.set_concurrency_slots("pool", 2)
    told = tmp_path / "told"
    told.mkdir()
    names = map(str, itertools.count())

    def start() -> int:
        name = next(names)
        return fork(lambda: write_on(storage, told / name, name))

    alive = [start() for _ in range(4)]
    for kill in range(12):
        time.sleep(0.05 + kill % 5 * 0.017)
        os.kill(alive[kill % 4], signal.SIGKILL)
        assert join(alive[kill % 4]) == -signal.SIGKILL
        alive[kill % 4] = start()
    sizes = [path.stat().st_size for path in sorted(told.iterdir())]
    deadline = time.monotonic() + PATIENCE
    while sum(path.stat().st_size for path in told.iterdir()) < sum(sizes) + 2_000:
        assert time.monotonic() < deadline, "they go on"
        time.sleep(0.01)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
        join(pid)

    partitions = Counter(storage.get_dynamic_partitions("definition"))
    assert set(partitions.values()) <= {1}
    heard = 0
    for path in told.iterdir():
        lines = path.read_text().splitlines()
        heard += len(lines)
        records = storage.get_logs_for_run(f"run-{path.name}")
        stored = Counter(
            f"materialized {event.dagster_event.partition}"
            if event.dagster_event
            else event.user_message
            for event in records
        )
        assert set(stored.values()) <= {1}, "nothing is there twice"
        for text in lines:
            kind, _, key = text.rpartition(" ")
            assert (partitions[key] if kind == "partition" else stored[text]) == 1, text
    assert heard > 100
    assert storage._log.verify().differences == []


def test_refusals_come_to_those_who_are_refused(directory: Path) -> None:
    """In the type that a writer alone would raise, though another may lead."""
    runs = LmdbRunStorage(str(directory))
    turns = range(40)
    together = threading.Barrier(4)
    outcomes: list[list[str]] = [[] for _ in turns]

    def work() -> None:
        for turn in turns:
            run = DagsterRun(job_name="a_job", run_id=f"{turn:032x}")
            together.wait(PATIENCE)
            try:
                runs.add_run(run)
                outcomes[turn].append("added")
            except DagsterRunAlreadyExists as error:
                outcomes[turn].append(type(error).__name__)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    expected = [*["DagsterRunAlreadyExists"] * 3, "added"]
    assert [sorted(each) for each in outcomes] == [expected for _ in turns]
    assert runs.get_runs_count() == len(turns)
    runs.dispose()
