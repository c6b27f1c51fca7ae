"""Sequence order is commit order: whoever tails the log by its last id misses nothing.

See https://github.com/dagster-io/dagster/issues/33741 for a storage whose ids are given before the
commit, where a cursor skips events.
"""

import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dagster import EventLogEntry

from dagster_lmdb import LmdbEventLogStorage
from engine.children import PATIENCE, Script, fork, join
from engine.events import line, materialization

WRITERS = 4
BATCHES = 60


class Tail:
    """A reader that goes on after the last id it has seen, and a second one by pages."""

    def __init__(self, storage: LmdbEventLogStorage) -> None:
        self.storage = storage
        self.seen: dict[int, str] = {}
        self.paged: dict[int, str] = {}

    def look(self) -> None:
        """Reads what is new; a page without a limit is one snapshot, so batches come whole."""
        new = self._read(self.seen, None)
        for count, batch in batches(new).values():
            assert len(batch) == count, "a part of a batch is seen"
        self._read(self.paged, 7)

    def _read(self, seen: dict[int, str], limit: int | None) -> dict[int, str]:
        last = max(seen, default=-1)
        new = {
            number: entry.user_message
            for number, entry in self.storage.get_logs_for_all_runs_by_log_id(
                last, limit=limit
            ).items()
        }
        assert list(new) == sorted(new)
        assert all(number > last for number in new)
        assert not set(new) & set(seen)
        seen.update(new)
        return new

    def finish(self) -> dict[int, str]:
        """All events, which both readers have to have seen."""
        self.look()
        while len(self.paged) < len(self.seen):
            self._read(self.paged, 7)
        found = self.storage.get_logs_for_all_runs_by_log_id(-1)
        everything = {number: entry.user_message for number, entry in found.items()}
        assert self.seen == everything
        assert self.paged == everything
        return everything


def batch_of(writer: int, number: int, count: int) -> list[EventLogEntry]:
    return [
        line(f"run-{writer}", f"{writer}.{number}.{count}.{place}")
        if place % 2
        else materialization(f"run-{writer}", partition=str(number))._replace(
            user_message=f"{writer}.{number}.{count}.{place}"
        )
        for place in range(count)
    ]


def batches(found: dict[int, str]) -> dict[tuple[str, str], tuple[int, list[int]]]:
    """By writer and number: how many events the batch has, and the ids of those found."""
    by_batch: dict[tuple[str, str], tuple[int, list[int]]] = {}
    for number, message in found.items():
        writer, batch, count, _ = message.split(".")
        by_batch.setdefault((writer, batch), (int(count), []))[1].append(number)
    return by_batch


def writing(
    storage: LmdbEventLogStorage, writer: int, numbers: Iterator[int], told: Callable[[str], None]
) -> None:
    """Stores batches, and tells of each once it is stored: when it began, and when it was done."""
    dice = random.Random(writer)
    for number in numbers:
        count = dice.randint(1, 5)
        batch = batch_of(writer, number, count)
        begun = time.monotonic_ns()
        if count == 1:
            storage.store_event(batch[0])
        else:
            storage.store_event_batch(batch)
        told(f"{writer} {number} {count} {begun} {time.monotonic_ns()}")


def begin_forked(
    storage: LmdbEventLogStorage, writer: int, numbers: Iterator[int]
) -> tuple[int, int]:
    """A child that writes; its pid, and the pipe that it tells on."""
    heard, tells = os.pipe()

    def work() -> None:
        os.close(heard)
        writing(storage, writer, numbers, lambda text: void(os.write(tells, f"{text}\n".encode())))

    pid = fork(work)
    os.close(tells)
    return pid, heard


def void(_: object) -> None:
    pass


def told_on(pipe: int) -> list[tuple[str, str, int, int, int]]:
    with os.fdopen(pipe) as lines:
        rows = [text.split() for text in lines if text.endswith("\n")]
    return [(w, number, int(count), int(a), int(b)) for w, number, count, a, b in rows]


_SPAWNED = """
import sys
from engine.test_sequence_order import writing
storage = LmdbEventLogStorage(directory)
tell("ready")
listen()
writing(storage, int(arguments[0]), iter(range(int(arguments[1]))), tell)
"""


def test_a_tailing_cursor_misses_nothing_while_processes_write(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    tail = Tail(storage)
    tail.look()
    spawned = Script(directory, _SPAWNED, "0", str(BATCHES))
    assert spawned.hear() == "ready"
    forked = [begin_forked(storage, writer, iter(range(BATCHES))) for writer in range(1, WRITERS)]
    spawned.say("go")
    running = {pid for pid, _ in forked}
    looks = 0
    while running:
        tail.look()
        looks += 1
        for pid in list(running):
            if os.waitpid(pid, os.WNOHANG)[0]:
                running.remove(pid)
    rows = [row for _, pipe in forked for row in told_on(pipe)]
    for text in spawned.end():
        writer, number, count, begun, done = text.split()
        rows.append((writer, number, int(count), int(begun), int(done)))
    stored = batches(tail.finish())
    assert looks > 10
    assert len(rows) == WRITERS * BATCHES
    assert {(writer, number) for writer, number, *_ in rows} == set(stored)

    for writer, number, count, _, _ in rows:
        ids = stored[writer, number][1]
        assert ids == list(range(ids[0], ids[0] + count)), "a batch is in one piece"
    # What was stored before something else was begun has the lower ids.
    first = {(writer, number): stored[writer, number][1][0] for writer, number, *_ in rows}
    highest_done = 0
    ends = sorted((done, first[writer, number]) for writer, number, _, _, done in rows)
    starts = sorted((begun, first[writer, number]) for writer, number, _, begun, _ in rows)
    place = 0
    for begun, own in starts:
        while place < len(ends) and ends[place][0] < begun:
            highest_done = max(highest_done, ends[place][1])
            place += 1
        assert own > highest_done, "an id that is lower than one that was given out before"
    assert storage._log.verify().differences == []


def test_writers_that_are_killed_lose_and_double_nothing(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    tail = Tail(storage)
    tail.look()
    dice = random.Random(7)
    told: list[tuple[str, str, int, int, int]] = []

    def endless(start: int) -> Iterator[int]:
        while True:
            yield start
            start += 1

    survivor = begin_forked(storage, 0, iter(range(150)))
    for round_ in range(12):
        writers = [
            begin_forked(storage, writer, endless(round_ * 1_000_000)) for writer in range(1, 3)
        ]
        if round_ % 2:
            # Well into its work; in the other rounds wherever it is, be it at the very first.
            for _, pipe in writers:
                assert select.select([pipe], [], [], PATIENCE)[0]
        time.sleep(dice.uniform(0, 0.06))
        tail.look()
        for pid, _ in writers:
            os.kill(pid, signal.SIGKILL)
        for pid, pipe in writers:
            assert join(pid) == -signal.SIGKILL
            told.extend(told_on(pipe))
        tail.look()
    assert join(survivor[0]) == 0
    told.extend(told_on(survivor[1]))
    stored = batches(tail.finish())
    assert sum(writer == "0" for writer, *_ in told) == 150
    assert sum(writer != "0" for writer, *_ in told) >= 12

    for writer, number, count, _, _ in told:
        assert len(stored[writer, number][1]) == count, "what was acknowledged is there, once"
    for count, ids in stored.values():
        assert ids == list(range(ids[0], ids[0] + count)), "a batch is whole or absent"
    # Of those that were not acknowledged, at most the one that each writer was in the middle of.
    assert len(stored) - len(told) <= 24
    assert storage._log.verify().differences == []


def test_a_reader_never_sees_part_of_a_batch(storage: LmdbEventLogStorage) -> None:
    size = 300
    pid = fork(
        lambda: (
            [
                storage.store_event_batch(
                    [line("run", f"0.{number}.{size}.{i}") for i in range(size)]
                )
                for number in range(30)
            ]
            and None
        )
    )
    seen = set()
    while not os.waitpid(pid, os.WNOHANG)[0]:
        seen.add(len(storage.get_logs_for_run("run")))
    seen.add(len(storage.get_logs_for_run("run")))
    assert all(count % size == 0 for count in seen)
    assert len(seen) > 3
    assert max(seen) == 30 * size
