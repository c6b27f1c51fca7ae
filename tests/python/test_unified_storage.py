"""The life of the whole: one configuration, three storages, one store."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetCheckKey,
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterRunStatus,
)
from dagster._check import CheckError
from dagster._core.instance import InstanceRef
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.storage.legacy_storage import (
    LegacyEventLogStorage,
    LegacyRunStorage,
    LegacyScheduleStorage,
)
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.schedules import ScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.test_utils import instance_for_test
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value

from dagster_lmdb import DagsterLmdbStorage, LmdbEventLogStorage, LmdbRunStorage
from python.entries import log_line, materialization, run, status_event


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
    monkeypatch.setenv("DURABILITY", "relaxed")
    monkeypatch.setenv("MAP_SIZE", str(1 << 30))
    monkeypatch.setenv("BESIDE_OTHERS", "true")
    storage = rehydrate(
        base_dir={"env": "HISTORY"},
        durability={"env": "DURABILITY"},
        map_size={"env": "MAP_SIZE"},
        max_readers=64,
        allow_network_file_system=True,
        allow_other_pid_namespaces={"env": "BESIDE_OTHERS"},
    )
    storage.run_storage.add_run(run())
    stat = storage.event_log_storage._log.stat()
    assert stat["durability"] == "relaxed"
    assert stat["map_size"] == 1 << 30
    assert stat["max_readers"] == 64
    assert storage.inst_data
    storage.dispose()


CLASSES = [
    ("DagsterLmdbStorage", DagsterStorage),
    ("LmdbRunStorage", RunStorage),
    ("LmdbEventLogStorage", EventLogStorage),
    ("LmdbScheduleStorage", ScheduleStorage),
]


@pytest.mark.parametrize(("name", "base"), CLASSES)
def test_each_class_rehydrates_from_its_configuration(
    name: str, base: type, tmp_path: Path
) -> None:
    config = yaml.dump({"base_dir": str(tmp_path / "history"), "map_size": 1 << 30})
    data = ConfigurableClassData("dagster_lmdb", name, config)
    storage = data.rehydrate(as_type=base)
    assert type(storage).__name__ == name
    assert storage.inst_data == data
    again = deserialize_value(serialize_value(data), ConfigurableClassData).rehydrate(as_type=base)
    assert again is not storage
    for each in (storage, again):
        each.dispose()


@pytest.mark.parametrize(("name", "base"), CLASSES)
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, 'Missing required config entry "base_dir"'),
        ({"base_dir": 1}, "Invalid scalar at path root:base_dir"),
        ({"base_dir": {"env": "NOT_SET_ANYWHERE"}}, "NOT_SET_ANYWHERE"),
        ({"base_dir": "a", "durability": 1}, "root:durability"),
        ({"base_dir": "a", "map_size": "big"}, "root:map_size"),
        ({"base_dir": "a", "max_readers": 1.5}, "root:max_readers"),
        ({"base_dir": "a", "allow_network_file_system": 1}, "root:allow_network_file_system"),
        ({"base_dir": "a", "allow_other_pid_namespaces": "y"}, "root:allow_other_pid_namespaces"),
        ({"base_dir": "a", "postgres_url": "b"}, 'unexpected config entry "postgres_url"'),
    ],
)
def test_wrong_configuration_is_a_config_error_that_names_the_setting(
    name: str, base: type, config: dict[str, Any], said: str
) -> None:
    data = ConfigurableClassData("dagster_lmdb", name, yaml.dump(config))
    with pytest.raises(DagsterInvalidConfigError) as raised:
        data.rehydrate(as_type=base)
    assert said in str(raised.value)


NOT_ALLOWED = [
    ("base_dir", "", "It is empty"),
    ("base_dir", "/a\0b", r"'/a\x00b' has a zero byte"),
    ("base_dir", "/a\ud800", r"'/a\ud800' cannot be a path"),
    ("durability", "none", "'none' is unknown: allowed are durable, relaxed"),
    ("durability", "", "'' is unknown: allowed are durable, relaxed"),
    ("map_size", -1, "-1 is out of range: allowed are 1048576 to 140737488355328 bytes"),
    ("map_size", 0, "0 is out of range"),
    ("map_size", (1 << 20) - 1, "1048575 is out of range"),
    ("map_size", (1 << 47) + 1, "140737488355329 is out of range"),
    ("map_size", 1 << 64, "18446744073709551616 is out of range"),
    ("max_readers", -5, "-5 is out of range: allowed are 1 to 1048576 reads"),
    ("max_readers", 0, "0 is out of range"),
    ("max_readers", 1 << 32, "4294967296 is out of range"),
    ("max_readers", 10**30, f"{10**30} is out of range"),
    ("allow_network_file_system", "no", "allow_network_file_system"),
    ("allow_other_pid_namespaces", "off", "allow_other_pid_namespaces"),
    ("as_of", "yesterday", "'yesterday' is no moment: allowed are a record's number"),
    ("as_of", -1, "is no moment"),
    ("as_of", "", "'' is no moment"),
    ("as_of_cache_dir", "", "It is empty"),
    ("as_of_cache_size", -1, "-1 is out of range"),
]


@pytest.mark.parametrize(("name", "base"), CLASSES)
@pytest.mark.parametrize(("setting", "value", "said"), NOT_ALLOWED)
def test_a_value_that_is_not_allowed_is_a_config_error_that_says_what_is(
    name: str, base: type, setting: str, value: Any, said: str
) -> None:
    config = yaml.dump({"base_dir": "a", setting: value})
    with pytest.raises(DagsterInvalidConfigError) as raised:
        ConfigurableClassData("dagster_lmdb", name, config).rehydrate(as_type=base)
    assert f"root:{setting}" in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize(("name", "base"), CLASSES)
@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [each for each in NOT_ALLOWED if not set("\0\ud800") & set(str(each[1]))],
)
def test_so_is_one_from_an_environment_variable(
    name: str,
    base: type,
    setting: str,
    value: Any,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SETTING", str(value))
    config = yaml.dump({"base_dir": "a", setting: {"env": "SETTING"}})
    with pytest.raises(DagsterInvalidConfigError) as raised:
        ConfigurableClassData("dagster_lmdb", name, config).rehydrate(as_type=base)
    assert f"root:{setting}" in str(raised.value)
    assert said in str(raised.value)


BLOCKS = {
    "DagsterLmdbStorage": "storage",
    "LmdbRunStorage": "run_storage",
    "LmdbEventLogStorage": "event_log_storage",
    "LmdbScheduleStorage": "schedule_storage",
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(("setting", "value", "said"), NOT_ALLOWED)
def test_so_is_one_in_the_file_of_the_instance(
    name: str, setting: str, value: Any, said: str, tmp_path: Path
) -> None:
    block: dict[str, Any] = {"module": "dagster_lmdb", "class": name}
    block["config"] = {"base_dir": str(tmp_path / "on LMDB"), setting: value}
    block = {"custom": block} if BLOCKS[name] == "storage" else block
    (tmp_path / "dagster.yaml").write_text(yaml.dump({BLOCKS[name]: block}))
    with pytest.raises(DagsterInvalidConfigError) as raised:
        DagsterInstance.from_config(str(tmp_path))
    assert f"root:{setting}" in str(raised.value)
    assert said in str(raised.value)
    assert not (tmp_path / "on LMDB").exists()


@pytest.mark.parametrize("cls", [DagsterLmdbStorage, LmdbRunStorage])
@pytest.mark.parametrize(
    ("setting", "value", "said"), [each for each in NOT_ALLOWED if "allow_" not in each[0]]
)
def test_so_it_is_where_a_storage_is_made_by_hand(
    cls: type, setting: str, value: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckError, match=setting):
        cls(**{"base_dir": str(tmp_path / "history"), setting: value})


@pytest.mark.parametrize("options", [{"map_size": 1 << 20}, {"max_readers": 1}])
def test_the_least_that_is_allowed_is_enough_to_begin(
    options: dict[str, int], tmp_path: Path
) -> None:
    storage = rehydrate(base_dir=str(tmp_path / "history"), **options)
    run_id = storage.run_storage.add_run(run()).run_id
    storage.event_log_storage.store_event(log_line(run_id, "a"))
    assert len(storage.event_log_storage.get_logs_for_run(run_id)) == 1
    storage.dispose()


def test_every_setting_has_values_that_are_not_allowed() -> None:
    for cls in (DagsterLmdbStorage, LmdbEventLogStorage, LmdbRunStorage):
        assert set(cls.config_type()) == {setting for setting, _, _ in NOT_ALLOWED}


def test_a_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    block = {"storage": {"custom": {"module": "dagster_lmdb", "class": "LmdbStorage"}}}
    block["storage"]["custom"]["config"] = {"base_dir": str(tmp_path / "history")}
    (tmp_path / "dagster.yaml").write_text(yaml.dump(block))
    with pytest.raises(CheckError, match="LmdbStorage"):
        DagsterInstance.from_config(str(tmp_path))


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


def test_the_instance_of_dagster_home_is_on_the_store(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    with DagsterInstance.get() as instance:
        assert instance is not whole
        assert isinstance(instance.run_storage, LmdbRunStorage)
        assert instance.get_run_ids() == [run_id]
        instance.handle_new_event(status_event(run_id, DagsterEventType.RUN_START))
    assert whole.get_run_by_id(run_id).status == DagsterRunStatus.STARTED


def test_an_ephemeral_instance_is_apart(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    with DagsterInstance.ephemeral() as ephemeral:
        assert ephemeral.get_runs() == []
        other = ephemeral.add_run(run()).run_id
        for instance in (whole, ephemeral):
            instance.event_log_storage.store_event(
                log_line(run_id, instance.run_storage.get_run_storage_id())
            )
        ephemeral.run_storage.set_cursor_values({"a": "b"})
        assert ephemeral.get_run_ids() == [other]
        ephemeral.wipe()
    assert whole.get_run_ids() == [run_id]
    assert [entry.message for entry in whole.all_logs(run_id)] == [
        whole.run_storage.get_run_storage_id()
    ]
    assert whole.run_storage.get_cursor_values({"a"}) == {}


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


UNPAIRED = "a\ud800b"


def in_a_run_id(storage: DagsterStorage) -> None:
    storage.event_log_storage.store_event(log_line(UNPAIRED, "a"))


def in_a_step_key(storage: DagsterStorage) -> None:
    line = log_line("a-run", "b")
    storage.event_log_storage.store_event_batch(
        [log_line("a-run", "a"), line._replace(step_key=UNPAIRED)]
    )


def in_a_partition(storage: DagsterStorage) -> None:
    storage.event_log_storage.store_event(materialization("a-run", "an_asset", UNPAIRED))


def in_a_tag(storage: DagsterStorage) -> None:
    storage.run_storage.add_run(run(tags={"team": UNPAIRED}))


def in_a_cursor_value(storage: DagsterStorage) -> None:
    storage.run_storage.set_cursor_values({UNPAIRED: "a"})


def in_a_pool(storage: DagsterStorage) -> None:
    storage.event_log_storage.set_concurrency_slots(UNPAIRED, 1)


@pytest.mark.parametrize(
    "act", [in_a_run_id, in_a_step_key, in_a_partition, in_a_tag, in_a_cursor_value, in_a_pool]
)
def test_a_lone_surrogate_in_what_rows_are_found_by_is_refused_as_on_sqlite(
    act: Callable[[DagsterStorage], None], tmp_path: Path
) -> None:
    storage = DagsterLmdbStorage(str(tmp_path / "history"))
    with pytest.raises(UnicodeEncodeError):
        act(storage)
    assert storage.event_log_storage.get_logs_for_run("a-run") == []
    assert storage.run_storage.get_runs_count() == 0
    # Shapes may be defined by then, and nothing else.
    assert set(storage.run_storage._log.stat()["records"]) <= {"shape_defined"}
    storage.dispose()
    with pytest.raises(UnicodeEncodeError):
        act(DagsterSqliteStorage(str(tmp_path / "sqlite")))


def test_a_lone_surrogate_in_a_body_is_stored(tmp_path: Path) -> None:
    storage = DagsterLmdbStorage(str(tmp_path / "history"))
    storage.event_log_storage.store_event(log_line("a-run", UNPAIRED))
    [entry] = storage.event_log_storage.get_logs_for_run("a-run")
    assert entry.user_message == UNPAIRED
    storage.dispose()


@pytest.mark.parametrize(
    "ask",
    [
        lambda whole: whole.run_storage.get_run_ids(limit=-1),
        lambda whole: whole.run_storage.get_backfills(limit=-1),
        lambda whole: whole.get_ticks("origin", "selector", limit=-1),
        lambda whole: whole.fetch_materializations(AssetKey("a"), limit=-1),
        lambda whole: whole.event_log_storage.get_asset_check_execution_history(
            AssetCheckKey(AssetKey("a"), "c"), limit=-1
        ),
        lambda whole: whole.schedule_storage.get_auto_materialize_asset_evaluations(
            AssetKey("a"), limit=-1
        ),
    ],
)
def test_a_negative_limit_is_refused_by_all(
    whole: DagsterInstance, ask: Callable[[Any], object]
) -> None:
    with pytest.raises(CheckError, match="limit must not be negative, and is -1"):
        ask(whole)
