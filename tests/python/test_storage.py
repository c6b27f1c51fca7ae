"""The life of a storage object: configuration, opening, closing, forks, and its own threads."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterInvalidConfigError, EventLogEntry
from dagster._check import CheckError
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue
from dagster._core.utils import make_new_run_id
from dagster._serdes import ConfigurableClassData

from dagster_lmdb import LmdbEventLogStorage
from python.entries import event, log_line, materialization


def rehydrate(**config: Any) -> LmdbEventLogStorage:
    import yaml

    return ConfigurableClassData(
        "dagster_lmdb", "LmdbEventLogStorage", yaml.dump(config)
    ).rehydrate(as_type=LmdbEventLogStorage)


def test_the_directory_can_come_from_the_environment(
    base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HISTORY", str(base_dir))
    storage = rehydrate(base_dir={"env": "HISTORY"})
    storage.store_event(log_line("a-run", "a"))
    storage.dispose()
    assert list(base_dir.iterdir())


def test_every_option_reaches_the_store(base_dir: Path) -> None:
    storage = rehydrate(
        base_dir=str(base_dir),
        durability="relaxed",
        map_size=1 << 30,
        max_readers=64,
        allow_network_file_system=True,
        allow_other_pid_namespaces=True,
    )
    storage.store_event(log_line("a-run", "a"))
    assert len(storage.get_logs_for_run("a-run")) == 1
    storage.dispose()


@pytest.mark.parametrize(
    "wrong", [{"durability": "nosync"}, {"map_size": "large"}, {"directory": "elsewhere"}]
)
def test_a_wrong_option_is_refused(wrong: Mapping[str, Any], base_dir: Path) -> None:
    with pytest.raises(DagsterInvalidConfigError):
        rehydrate(base_dir=str(base_dir), **wrong)


def test_making_the_object_leaves_the_disk_alone(base_dir: Path) -> None:
    LmdbEventLogStorage(str(base_dir)).dispose()
    assert not base_dir.exists()


def test_disposing_twice_is_disposing_once_and_a_later_call_opens_again(
    storage: LmdbEventLogStorage,
) -> None:
    for count in (1, 2):
        storage.store_event(log_line("a-run", "a"))
        storage.dispose()
        storage.dispose()
        assert len(storage.get_logs_for_run("a-run")) == count


def test_two_objects_on_one_directory_share_a_store(
    storage: LmdbEventLogStorage, base_dir: Path
) -> None:
    other = LmdbEventLogStorage(str(base_dir))
    storage.store_event(log_line("a-run", "a"))
    assert len(other.get_logs_for_run("a-run")) == 1
    storage.dispose()
    other.store_event(log_line("a-run", "b"))
    assert len(storage.get_logs_for_run("a-run")) == 2
    other.dispose()


class EmitsBack(logging.Handler):
    """Stores each log record as an event, on the thread that emits it."""

    def __init__(self, storage: EventLogStorage) -> None:
        super().__init__()
        self._storage = storage

    def emit(self, record: logging.LogRecord) -> None:
        self._storage.store_event(log_line("a-run", record.getMessage()))


class Chatty(LmdbEventLogStorage):
    """Emits a log record on the thread that is storing an event."""

    def get_asset_tags_to_index(self, tag_keys: set[str]) -> set[str]:
        if tag_keys:
            logging.getLogger("chatty").warning("indexing %s", sorted(tag_keys))
        return super().get_asset_tags_to_index(tag_keys)


@pytest.mark.timeout(30)
def test_a_log_record_of_the_thread_that_stores_an_event_is_stored_too(base_dir: Path) -> None:
    storage = Chatty(str(base_dir))
    handler = EmitsBack(storage)
    logging.getLogger("chatty").addHandler(handler)
    try:
        storage.store_event(materialization("a-run", "an_asset", tags={"a": "b"}))
    finally:
        logging.getLogger("chatty").removeHandler(handler)
    logs = storage.get_logs_for_run("a-run")
    assert sorted(each.user_message for each in logs) == ["", "indexing ['a']"]
    storage.dispose()


@pytest.mark.timeout(60)
def test_a_forked_child_reads_and_writes_at_once(storage: LmdbEventLogStorage) -> None:
    storage.store_event(log_line("a-run", "before"))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            storage.store_event(log_line("busy", ""))
            storage.get_logs_for_run("busy", limit=10)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(10):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    storage.store_event(log_line("a-run", f"child {number}"))
                    status = int(len(storage.get_logs_for_run("a-run")) != number + 2)
                finally:
                    os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        writer.join()
    assert len(storage.get_logs_for_run("a-run")) == 11


def test_an_empty_batch_changes_nothing(storage: LmdbEventLogStorage) -> None:
    storage.store_event_batch([])
    assert storage.get_maximum_record_id() is None


def test_what_is_no_event_is_refused(storage: LmdbEventLogStorage) -> None:
    for refused in (storage.store_event, storage.store_event_batch):
        with pytest.raises(CheckError):
            refused("an event")  # type: ignore[arg-type]


LETTERS = dg.StaticPartitionsDefinition(["a", "b", "c"])


def planned_check(run_id: str, partitions: Sequence[str] = ()) -> EventLogEntry:
    subset = LETTERS.subset_with_partition_keys(partitions) if partitions else None
    return event(
        run_id,
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
        AssetCheckEvaluationPlanned(
            asset_key=dg.AssetKey("an_asset"), check_name="a_check", partitions_subset=subset
        ),
    )


def evaluated_check(run_id: str, partition: str | None = None) -> EventLogEntry:
    return event(
        run_id,
        DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("an_asset"),
            check_name="a_check",
            passed=True,
            metadata={},
            partition=partition,
        ),
    )


def test_a_partition_that_is_planned_twice_holds_up_no_other(storage: LmdbEventLogStorage) -> None:
    run_id = make_new_run_id()
    storage.store_event(planned_check(run_id, ["a", "b"]))
    storage.store_event(planned_check(run_id, ["b", "c"]))
    storage.store_event_batch([evaluated_check(run_id, "a"), evaluated_check(run_id, "c")])
    with pytest.raises(dg.DagsterInvariantViolationError, match="Updated 2 rows"):
        storage.store_event(evaluated_check(run_id, "b"))
    check_key = dg.AssetCheckKey(dg.AssetKey("an_asset"), "a_check")
    history = storage.get_asset_check_execution_history(check_key, limit=10)
    succeeded, planned = (
        AssetCheckExecutionRecordStatus.SUCCEEDED,
        AssetCheckExecutionRecordStatus.PLANNED,
    )
    assert sorted((record.partition, record.status) for record in history) == [
        ("a", succeeded),
        ("b", planned),
        ("b", planned),
        ("c", succeeded),
    ]
    assert len(storage.get_logs_for_run(run_id)) == 4


def test_an_evaluation_of_a_check_that_is_planned_twice_is_refused_and_not_stored(
    storage: LmdbEventLogStorage,
) -> None:
    run_id = make_new_run_id()
    storage.store_event_batch([planned_check(run_id), planned_check(run_id)])
    evaluation = evaluated_check(run_id)
    check_key = dg.AssetCheckKey(dg.AssetKey("an_asset"), "a_check")
    with pytest.raises(dg.DagsterInvariantViolationError) as refusal:
        storage.store_event_batch([log_line(run_id, "a"), evaluation])
    assert str(refusal.value) == (
        f"Updated 2 rows for asset check evaluation {check_key} as a result of duplicate"
        " AssetCheckPlanned events."
    )
    assert len(storage.get_logs_for_run(run_id)) == 2


def test_all_cached_statuses_take_one_query_for_the_asset_records(
    instance: DagsterInstance, storage: LmdbEventLogStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = dg.StaticPartitionsDefinition(["a", "b"])
    keys = [dg.AssetKey(f"asset_{number}") for number in range(5)]
    for key in keys:
        storage.store_event(materialization("a-run", key.path[0], "a"))
    queries = []
    read = storage.get_asset_records

    def counted(asset_keys: Any = None) -> Any:
        queries.append(asset_keys)
        return read(asset_keys)

    monkeypatch.setattr(storage, "get_asset_records", counted)
    values = storage.get_asset_status_cache_values(
        ((key, letters) for key in keys), LoadingContextForTest(instance)
    )
    assert len(queries) == 1
    for value in values:
        assert isinstance(value, AssetStatusCacheValue)
        materialized = value.deserialize_materialized_partition_subsets(letters)
        assert list(materialized.get_partition_keys()) == ["a"]


def test_migrating_says_that_there_is_nothing_to_do(storage: LmdbEventLogStorage) -> None:
    said: list[str] = []
    storage.upgrade()
    storage.reindex_events(said.append)
    storage.reindex_assets(said.append, force=True)
    storage.reindex_events()
    assert len(said) == 2
    assert all("nothing to reindex" in line for line in said)


IMPORTED = """
import sys
import dagster_lmdb
print(*(name for name in ("dagster", "click", "rich", "sqlalchemy") if name in sys.modules))
"""


def test_importing_the_package_imports_nothing_heavy() -> None:
    result = subprocess.run(
        [sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == ""


def test_the_storage_does_not_import_the_command_line() -> None:
    code = "import sys, dagster_lmdb.event_log_storage; print('rich' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == "False"


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    import dagster_lmdb

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        dagster_lmdb.Nothing  # noqa: B018
    assert "LmdbEventLogStorage" in dir(dagster_lmdb)
