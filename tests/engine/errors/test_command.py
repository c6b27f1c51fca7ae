"""Commands that are refused, and what excludes another."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterEventType, EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
)
from dagster._core.errors import DagsterInvariantViolationError
from dagster_shared.serdes.errors import SerializationError

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb._rows import Put
from dagster_lmdb.errors import (
    AlreadyThereError,
    DuplicatePlannedCheckError,
    LeaseLostError,
    MaintenanceRunningError,
    NotThereError,
    RebuildRunningError,
    SequenceRangeError,
)
from engine.children import fork, join
from engine.errors.covering import messages, of
from engine.events import event, line, materialization


@of(AlreadyThereError, NotThereError)
def test_documents_that_are_there_or_are_not(storage: LmdbEventLogStorage) -> None:
    log = storage._log

    def put(how: Put | list[Put], *keys: str) -> list[int]:
        return log.put_documents(
            "cursor_value", [(None, key, None, [], "a") for key in keys], how, 1
        )

    [there] = put("insert", "there")
    before = log.stat()["head"]
    with pytest.raises(AlreadyThereError, match="there"):
        put("insert", "new", "there")
    with pytest.raises(NotThereError, match="new"):
        put("update", "there", "new")
    with pytest.raises(NotThereError, match="a run"):
        log.add_run_tags("a run", [("a", "b")], 1)
    assert log.stat()["head"] == before
    assert put("update_if_present", "new", "there") == [there]
    assert put(["insert_if_absent", "upsert"], "there", "there") == [there, there]
    assert log.stat()["head"] == before
    with pytest.raises(ValueError, match="ways to put"):
        put(["insert"], "one", "two")
    with pytest.raises(ValueError, match="nothing"):
        log.put_documents("nothing", [], "insert", 1)
    with pytest.raises(ValueError, match="nothing"):
        log.put_documents("run", [], "nothing", 1)  # type: ignore[arg-type]
    assert log.verify().differences == []


def unserializable() -> EventLogEntry:
    return line("run", "unserializable")._replace(error_info=object())  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_a_batch_with_an_event_that_cannot_be_serialized_nothing_is_stored(
    storage: LmdbEventLogStorage, place: int
) -> None:
    batch = [line("run", "one"), materialization("run", "an_asset")]
    batch.insert(place, unserializable())
    with pytest.raises(SerializationError):
        storage.store_event_batch(batch)
    with pytest.raises(SerializationError):
        storage.store_event(unserializable())
    assert storage.get_maximum_record_id() is None
    assert storage.all_asset_keys() == []
    del batch[place]
    storage.store_event_batch(batch)
    assert len(messages(storage)) == 2


@of(DuplicatePlannedCheckError)
def test_an_evaluation_that_was_planned_twice_is_refused_with_its_batch(
    storage: LmdbEventLogStorage,
) -> None:
    key = AssetKey("an_asset")
    planned = event(
        "run",
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
        AssetCheckEvaluationPlanned(asset_key=key, check_name="a_check"),
    )
    evaluated = event(
        "run",
        DagsterEventType.ASSET_CHECK_EVALUATION,
        AssetCheckEvaluation(asset_key=key, check_name="a_check", passed=True),
    )
    storage.store_event_batch([planned, planned])
    with pytest.raises(DuplicatePlannedCheckError) as caught:
        storage._log.store_events([line("run", "a"), evaluated], storage.get_asset_tags_to_index)
    error = caught.value
    assert (error.asset_key, error.check, error.rows) == (key.to_string(), "a_check", 2)
    with pytest.raises(DagsterInvariantViolationError, match="Updated 2 rows"):
        storage.store_event_batch([line("run", "a"), evaluated])
    assert len(storage.get_logs_for_run("run")) == 2


@of(RebuildRunningError)
def test_a_second_rebuild_is_refused(storage: LmdbEventLogStorage) -> None:
    storage.store_event(line("run", "before"))
    refused = []

    def elsewhere() -> None:
        with pytest.raises(RebuildRunningError, match="already running"):
            storage._log.rebuild()

    def progress(phase: str, *_: int) -> None:
        if not refused:
            elsewhere()
            assert join(fork(elsewhere)) == 0
            refused.append(phase)

    storage._log.rebuild(progress)
    assert refused
    storage._log.rebuild()
    assert messages(storage) == ["before"]


@of(MaintenanceRunningError)
def test_compaction_and_what_reads_the_log_in_steps_exclude_each_other(
    storage: LmdbEventLogStorage, tmp_path: Path
) -> None:
    storage.store_event(line("run", "before"))
    storage.delete_events("run")
    log = storage._log
    copies = (tmp_path / f"copy {number}" for number in itertools.count())

    def compact(progress: Callable[[str, int, int], None] | None = None) -> int:
        return log.compact(now=time.time(), progress=progress).records

    def copy(progress: Callable[[str, int, int], None] | None = None) -> None:
        log.fork(next(copies), 1, incomplete=True, progress=progress)

    works = {"compact": compact, "verify": log.verify, "rebuild": log.rebuild, "fork": copy}
    excluded = [("compact", other) for other in works]
    excluded += [(other, "compact") for other in works if other != "compact"]
    for running, other in excluded:
        refused = []

        def progress(*_: object, other: str = other, refused: list[str] = refused) -> None:
            with pytest.raises(MaintenanceRunningError, match="try again when that has ended"):
                works[other]()
            refused.append(other)

        works[running](progress)
        assert refused
        works[other]()
    assert log.verify().differences == []


@of(RebuildRunningError)
def test_a_rebuild_that_was_killed_is_taken_up_again(storage: LmdbEventLogStorage) -> None:
    storage.store_event_batch([materialization("run", partition=str(n)) for n in range(50)])

    def work() -> None:
        storage._log.rebuild(lambda phase, *_: os.kill(os.getpid(), signal.SIGKILL))

    assert join(fork(work)) == -signal.SIGKILL
    storage.store_event(line("run", "meanwhile"))
    storage._log.rebuild()
    assert len(messages(storage)) == 51
    assert storage._log.verify().differences == []


def test_errors_of_one_thread_leave_the_others_alone(storage: LmdbEventLogStorage) -> None:
    def refused() -> None:
        for _ in range(50):
            with pytest.raises(SerializationError):
                storage.store_event_batch([line("other", "a"), unserializable()])

    thread = threading.Thread(target=refused)
    thread.start()
    for number in range(50):
        storage.store_event(line("run", str(number)))
    thread.join()
    assert messages(storage) == [str(number) for number in range(50)]


@of(SequenceRangeError)
def test_history_at_records_that_are_not_there(storage: LmdbEventLogStorage) -> None:
    storage.store_event(line("run", "a line"))
    head = storage._log.history("events").head
    for bound in ({"since": head + 2}, {"until": head + 1}):
        with pytest.raises(SequenceRangeError, match=f"beyond the last one of the store.* {head}"):
            storage._log.history("events", **bound)
    assert len(next(iter(storage._log.history("events", since=head, until=head).batches()))) == 1
    assert list(storage._log.history("events", since=head + 1).batches()) == []


@of(LeaseLostError)
def test_history_that_a_compaction_went_past(storage: LmdbEventLogStorage) -> None:
    storage.store_event(line("run", "a line"))
    history = storage._log.history("events")
    storage.delete_events("run")
    later = time.time() + 100
    assert storage._log.compact(now=later).records == 1
    with pytest.raises(LeaseLostError, match="read again"):
        history.batches()
