"""The life of the whole: one configuration, three storages, one store."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterEventType, DagsterInstance, DagsterInvalidConfigError, DagsterRunStatus
from dagster._check import CheckError
from dagster._cli.instance import instance_cli
from dagster._core.instance import InstanceRef
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.legacy_storage import (
    LegacyEventLogStorage,
    LegacyRunStorage,
    LegacyScheduleStorage,
)
from dagster._core.test_utils import instance_for_test
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value

from dagster_lmdb import DagsterLmdbStorage, LmdbEventLogStorage, LmdbRunStorage
from python.entries import log_line, run, status_event


def rehydrate(**config: Any) -> DagsterLmdbStorage:
    return ConfigurableClassData("dagster_lmdb", "DagsterLmdbStorage", yaml.dump(config)).rehydrate(
        as_type=DagsterStorage
    )


def test_three_storages_on_one_store_each_with_the_instance(tmp_path: Path) -> None:
    storage = DagsterLmdbStorage(str(tmp_path / "history"))
    event_log, runs, schedules = (
        storage.event_log_storage,
        storage.run_storage,
        storage.schedule_storage,
    )
    assert len({id(event_log), id(runs), id(schedules)}) == 3
    assert storage.event_log_storage is event_log
    assert event_log._log.store_id == runs._log.store_id == schedules._log.store_id
    with DagsterInstance.ephemeral() as instance:
        storage.register_instance(instance)
        for each in (event_log, runs, schedules):
            assert each._instance is instance
        with pytest.raises(CheckError):
            storage.register_instance(instance)
    storage.dispose()


def test_an_instance_gives_its_storages_itself(whole: DagsterInstance) -> None:
    for storage in (whole.event_log_storage, whole.run_storage, whole.schedule_storage):
        assert storage._instance is whole
    assert isinstance(whole.get_ref().storage, DagsterLmdbStorage)


def test_storages_that_have_their_instance_are_left_alone(tmp_path: Path) -> None:
    storage = DagsterLmdbStorage(str(tmp_path / "history"))
    assert not storage.run_storage.has_instance
    with DagsterInstance.ephemeral() as instance:
        storage.run_storage.register_instance(instance)
        storage.register_instance(instance)
        assert storage.event_log_storage._instance is instance


def test_works_without_an_instance(tmp_path: Path) -> None:
    storage = DagsterLmdbStorage(str(tmp_path / "history"))
    run_id = storage.run_storage.add_run(run()).run_id
    storage.event_log_storage.store_event(status_event(run_id, DagsterEventType.RUN_START))
    assert storage.run_storage.get_runs()[0].status == DagsterRunStatus.STARTED
    storage.dispose()


def test_dispose_can_be_repeated_and_a_later_call_reopens(tmp_path: Path) -> None:
    storage = DagsterLmdbStorage(str(tmp_path / "history"))
    run_id = storage.run_storage.add_run(run()).run_id
    storage.event_log_storage.store_event(log_line(run_id, "a"))
    for _ in range(2):
        storage.dispose()
    assert storage.run_storage.has_run(run_id)
    assert len(storage.event_log_storage.get_logs_for_run(run_id)) == 1
    storage.run_storage.dispose()
    assert storage.schedule_storage.all_instigator_state() == []
    assert len(storage.event_log_storage.get_logs_for_run(run_id)) == 1
    storage.dispose()


def test_every_option_reaches_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY", str(tmp_path / "history"))
    storage = rehydrate(
        base_dir={"env": "HISTORY"},
        durability="relaxed",
        map_size=1 << 30,
        max_readers=64,
        allow_network_file_system=True,
        allow_other_pid_namespaces=True,
    )
    storage.run_storage.add_run(run())
    stat = storage.event_log_storage._log.stat()
    assert stat["durability"] == "relaxed"
    assert stat["map_size"] == 1 << 30
    assert storage.inst_data
    storage.dispose()


@pytest.mark.parametrize("config", [{}, {"base_dir": 1}, {"base_dir": "a", "durability": "none"}])
def test_wrong_configuration_is_a_config_error(config: dict[str, Any]) -> None:
    with pytest.raises(DagsterInvalidConfigError):
        rehydrate(**config)


def test_the_legacy_references_rehydrate(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    ref = whole.get_ref()
    for data, legacy in (
        (ref.run_storage_data, LegacyRunStorage),
        (ref.event_storage_data, LegacyEventLogStorage),
        (ref.schedule_storage_data, LegacyScheduleStorage),
    ):
        assert data
        storage = data.rehydrate(as_type=legacy)
        assert isinstance(storage._storage, DagsterLmdbStorage)
        if isinstance(storage, LegacyRunStorage):
            assert storage.has_run(run_id)
            storage.set_cursor_values({"a": "b"})
            assert storage.get_cursor_values({"a"}) == {"a": "b"}
        storage._storage.dispose()


IN_ANOTHER_PROCESS = """
import sys
from dagster import DagsterInstance
from dagster._core.instance import InstanceRef
from dagster._serdes import deserialize_value

with DagsterInstance.from_ref(deserialize_value(sys.stdin.read(), InstanceRef)) as instance:
    [run] = instance.get_runs()
    instance.report_engine_event("from another process", run)
    print(run.run_id)
"""


def test_an_instance_goes_into_a_subprocess_and_comes_back(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    ref = serialize_value(whole.get_ref())
    assert deserialize_value(ref, InstanceRef) == whole.get_ref()
    result = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=ref,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == run_id
    assert [entry.message for entry in whole.all_logs(run_id)] == ["from another process"]


def test_storages_one_by_one_on_one_directory(tmp_path: Path) -> None:
    config = {"base_dir": str(tmp_path / "history")}
    blocks = {
        block: {"module": "dagster_lmdb", "class": cls, "config": config}
        for block, cls in (
            ("run_storage", "LmdbRunStorage"),
            ("event_log_storage", "LmdbEventLogStorage"),
            ("schedule_storage", "LmdbScheduleStorage"),
        )
    }
    with instance_for_test(blocks, str(tmp_path)) as instance:
        assert isinstance(instance.run_storage, LmdbRunStorage)
        assert isinstance(instance.event_log_storage, LmdbEventLogStorage)
        run_id = instance.add_run(run()).run_id
        instance.event_log_storage.store_event(status_event(run_id, DagsterEventType.RUN_START))
        assert instance.get_runs()[0].status == DagsterRunStatus.STARTED


def test_runs_beside_another_event_log(tmp_path: Path) -> None:
    config = {"base_dir": str(tmp_path / "history")}
    blocks = {"run_storage": {"module": "dagster_lmdb", "class": "LmdbRunStorage"}}
    blocks["run_storage"]["config"] = config
    with instance_for_test(blocks, str(tmp_path)) as instance:
        run_id = instance.add_run(run()).run_id
        for event_type in (DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS):
            instance.handle_new_event(status_event(run_id, event_type))
        [record] = instance.get_run_records()
        assert record.dagster_run.status == DagsterRunStatus.SUCCESS
        assert record.start_time
        assert record.end_time


@pytest.mark.parametrize("command", ["info", "migrate", "reindex"])
def test_dagster_instance(whole: DagsterInstance, command: str) -> None:
    result = CliRunner().invoke(instance_cli, [command], env=dict(os.environ))
    assert result.exit_code == 0, result.output


def test_wiping_the_instance_keeps_what_dagster_keeps(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    whole.handle_new_event(status_event(run_id, DagsterEventType.RUN_START))
    whole.run_storage.set_cursor_values({"a": "b"})
    storage_id = whole.run_storage.get_run_storage_id()
    whole.wipe()
    assert whole.get_runs() == []
    assert whole.all_logs(run_id) == []
    assert whole.run_storage.get_cursor_values({"a"}) == {"a": "b"}
    assert whole.run_storage.get_run_storage_id() == storage_id
    assert isinstance(whole.run_storage, LmdbRunStorage)
    assert whole.run_storage._log.verify().differences == []
