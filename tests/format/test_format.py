"""The bytes of a quiet store are what docs/format.md says."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.events import DagsterEventType, StepMaterializationData
from dagster._serdes import serialize_value

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage

READER = Path(__file__).parent / "reader.py"
ASSET = dg.AssetKey(["warehouse", "orders"])
DAILY = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01")


def entry(run_id: str, message: str = "", event: dg.DagsterEvent | None = None) -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        level=20,
        user_message=message,
        run_id=run_id,
        timestamp=time.time(),
        step_key="load",
        job_name="nightly",
        dagster_event=event,
    )


def event(event_type: DagsterEventType, specific: Any = None) -> dg.DagsterEvent:
    return dg.DagsterEvent(event_type.value, "nightly", event_specific_data=specific)


def entries(run_id: str) -> list[dg.EventLogEntry]:
    metadata = {
        "rows": 3,
        "share": float("nan"),
        "big": 2**70,
        "json": {"a": [1, None, True], "é": "\ud800"},
        "table": dg.MetadataValue.table(
            [dg.TableRecord({"a": 1})], dg.TableSchema([dg.TableColumn("a", "int")])
        ),
    }
    materialization = dg.AssetMaterialization(
        ASSET, partition="2024-01-01", metadata=metadata, tags={"dagster/data_version": "v1"}
    )
    keys = ["2024-01-01", "2024-01-02", "2024-01-03"]
    subset = DAILY.subset_with_partition_keys(keys).to_serializable_subset()
    planned = AssetCheckEvaluationPlanned(
        asset_key=ASSET, check_name="rows", partitions_subset=subset
    )
    evaluation = dg.AssetCheckEvaluation(
        asset_key=ASSET, check_name="rows", passed=False, metadata={}, partition="2024-01-02"
    )
    return [
        entry(run_id, "plain"),
        entry(run_id, "é, 漢, 😀, and half a pair: \udc00"),
        entry(run_id, event=event(DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned)),
        entry(
            run_id,
            event=event(
                DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(materialization)
            ),
        ),
        entry(run_id, event=event(DagsterEventType.ASSET_CHECK_EVALUATION, evaluation)),
        entry(run_id, event=event(DagsterEventType.RUN_SUCCESS)),
    ]


def read(directory: Path) -> list[dict[str, Any]]:
    """What the reader prints, run where this project cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-P", str(READER), str(directory)],
        capture_output=True,
        text=True,
        check=False,
        cwd=READER.parent,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(name="storage")
def storage_fixture(tmp_path: Path) -> LmdbEventLogStorage:
    return LmdbEventLogStorage(str(tmp_path / "store"))


def test_the_page_alone_gives_the_same_events(storage: LmdbEventLogStorage, tmp_path: Path) -> None:
    stored = [*entries("run one"), *entries("run two")]
    for one in stored:
        storage.store_event(one)
    ids = list(storage.get_logs_for_all_runs_by_log_id())
    storage.dispose()

    events = [record for record in read(tmp_path / "store") if record["kind"] == 2]

    assert [record["sequence"] for record in events] == ids
    # As text: NaN is not equal to itself, and the order of keys is part of the packed value.
    assert [json.dumps(record["packed"], sort_keys=True) for record in events] == [
        json.dumps(json.loads(serialize_value(one))) for one in stored
    ]


def test_the_page_alone_gives_every_kind_of_record(
    storage: LmdbEventLogStorage, tmp_path: Path
) -> None:
    for run_id in ("kept", "deleted"):
        for one in entries(run_id):
            storage.store_event(one)
    storage.set_concurrency_slots("pool", 1)
    storage.claim_concurrency_slot("pool", "kept", "load")
    storage.add_dynamic_partitions("regions", ["eu", "us"])
    storage.delete_dynamic_partition("regions", "eu")
    storage.store_event_batch([entry("long") for _ in range(1001)])
    storage.delete_events("long")
    storage.delete_events("deleted")
    husked = storage._log.husk(list(range(1, 200)))
    storage.wipe_asset_partitions(ASSET, ["2024-01-01"])
    storage.wipe_asset(ASSET)
    storage.wipe()
    runs = LmdbRunStorage(str(tmp_path / "store"))
    run = dg.DagsterRun("a_job", "a run", tags={"team": "a"})
    runs.add_run(run)
    runs.add_run_tags("a run", {"team": "b"})
    runs.delete_run("a run")
    runs.wipe()
    runs.add_run(run)
    runs.wipe()
    runs.dispose()
    storage.dispose()

    records = read(tmp_path / "store")

    by_kind: dict[int, list[list[Any]]] = {}
    for record in records:
        by_kind.setdefault(record["kind"], []).append(record["fields"])
    assert sorted(by_kind) == list(range(15))
    assert [record["sequence"] for record in records] == list(range(1, len(records) + 1))
    assert len(by_kind[0]) == len(husked) > 0
    planned = [fields[:2] for fields in by_kind[3] if fields[1] == "kept"]
    assert planned == [[1, "kept"], [2, "kept"]]
    assert [fields[1:] for fields in by_kind[4]] == [["long", True], ["deleted", False]]
    assert [fields[1] for fields in by_kind[14]] == ["long", "long"]
    assert by_kind[14][0][3] < by_kind[14][1][2] == by_kind[14][1][3]
    assert by_kind[5][0][1:] == [ASSET.to_string(), False]
    assert by_kind[6][0][1:] == [ASSET.to_string(), ["2024-01-01"]]
    assert [fields[1:] for fields in by_kind[8]] == [
        ["regions", "us", True],
        ["regions", "eu", False],
    ]
    assert by_kind[9][0][1:] == ["pool", 1, False, 1]
    assert by_kind[10][0][1:4] == ["pool", "kept", "load"]
    assert by_kind[10][0][4][4] == "Held"
    added, deleted, again = by_kind[11]
    assert added[1:4] == again[1:4] == ["Run", 0, "a run"]
    assert ["tag:team", "a", 0.0] in added[5][0]
    assert added[5][1] is None
    first = next(record for record in records if record["kind"] == 11)
    assert first["packed"] == json.loads(serialize_value(run))
    assert deleted[1:4] == ["Run", first["sequence"], "a run"]
    assert deleted[5] is None
    assert by_kind[12][0][1:3] == ["a run", first["sequence"]]
    status, _, started, ended, tags = by_kind[12][0][3]
    assert (status, started, ended, tags) == ("NOT_STARTED", None, None, [["team", "b"]])
    assert by_kind[13][0][1] == ["Run", "Snapshot", "Backfill", "Heartbeat", "Telemetry"]
    statuses = [fields[8] for fields in by_kind[2] if fields[2] == "PIPELINE_SUCCESS"]
    assert statuses == [["SUCCESS", None, False, True]]


def test_a_husk_stands_for_the_records_before_it(
    storage: LmdbEventLogStorage, tmp_path: Path
) -> None:
    for one in [*entries("deleted"), *(entry("deleted", "a line") for _ in range(9))]:
        storage.store_event(one)
    storage.delete_events("deleted")
    storage.store_event(entry("kept"))
    head = storage.get_maximum_record_id()
    assert storage._log.compact(now=time.time()).records > 10
    storage.dispose()

    next_sequence = 1
    stand_for_more = 0
    for record in read(tmp_path / "store"):
        also_before = record["fields"][3] if record["kind"] == 0 else 0
        assert record["sequence"] - also_before == next_sequence
        next_sequence = record["sequence"] + 1
        stand_for_more += also_before > 0
    assert next_sequence - 1 == head
    assert stand_for_more


def test_a_damaged_frame_is_refused(storage: LmdbEventLogStorage, tmp_path: Path) -> None:
    storage.store_event(entry("run", "a message to be damaged"))
    storage.dispose()
    data = tmp_path / "store" / "data.mdb"
    damaged = data.read_bytes().replace(b"to be damaged", b"to be Damaged")
    data.write_bytes(damaged)

    with pytest.raises(AssertionError, match="is damaged"):
        read(tmp_path / "store")
