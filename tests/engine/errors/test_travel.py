"""Moments that are none, copies that are refused, and handles for reading."""

import os
import time
from pathlib import Path

import pytest

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb._core import EventLog
from dagster_lmdb.errors import (
    BelowHorizonError,
    DestinationExistsError,
    NoSuchMomentError,
    ReadOnlyError,
)
from engine.errors.covering import messages, of
from engine.events import line


@of(NoSuchMomentError, BelowHorizonError, DestinationExistsError)
def test_a_fork_that_is_refused_leaves_nothing(
    storage: LmdbEventLogStorage, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    log = storage._log
    storage.store_event(line("run", "before"))
    head = log.stat()["head"]
    with pytest.raises(NoSuchMomentError, match="not one of 1 to"):
        log.fork(copy, head + 1)
    with pytest.raises(NoSuchMomentError, match="knows no run"):
        log.resolve(end_of_run="another", now=time.time())
    with pytest.raises(TypeError, match="one of sequence"):
        log.resolve(now=time.time())
    with pytest.raises(TypeError, match="one of sequence"):
        log.resolve(1, time=1.0, now=time.time())
    storage.delete_events("run")
    log.compact(now=time.time())
    whole_from, _ = log.horizons()
    assert whole_from == head + 2
    with pytest.raises(
        BelowHorizonError,
        match=f"whole from record {whole_from} on, .*record {whole_from - 1} and later",
    ):
        log.fork(copy, head)
    assert log.fork(copy, whole_from - 1).sequence == whole_from - 1
    with pytest.raises(DestinationExistsError, match="name a path that does not"):
        log.fork(copy, whole_from - 1)
    assert os.listdir(copy) == ["data.mdb"]
    assert sorted(os.listdir(tmp_path)) == ["copy", "store"]


@of(ReadOnlyError)
def test_a_handle_for_reading_stores_nothing(storage: LmdbEventLogStorage, directory: Path) -> None:
    storage.store_event(line("run", "before"))
    reading = EventLog(directory, read_only=True)
    with pytest.raises(ReadOnlyError, match="as_of"):
        reading.store_events([line("run", "after")], lambda tags: tags)
    with pytest.raises(ReadOnlyError):
        reading.delete_run_events("run", time.time())
    with pytest.raises(ReadOnlyError):
        reading.resize(1 << 41)
    assert [entry.user_message for *_, entry in reading.run_events("run")] == ["before"]
    assert messages(storage) == ["before"]
