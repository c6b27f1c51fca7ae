"""The tables of history in plain Python, from Dagster's own objects as its storages give them."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from dagster import EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.scheduler.instigation import InstigatorTick
from dagster._core.storage.dagster_run import RunRecord
from dagster._utils.error import SerializableErrorInfo
from dagster_shared.serdes import serialize_value

Row = dict[str, Any]

DIMENSION = "dagster/partition/"


def events(
    entries: Iterable[tuple[int, EventLogEntry]],
    text: Callable[[EventLogEntry], str] = serialize_value,
) -> Iterator[Row]:
    for sequence, entry in entries:
        event = entry.dagster_event
        data = event.event_specific_data if event else None
        about = subject(data)
        check = about if hasattr(about, "check_name") else None
        asset_key = check.asset_key if check else event.asset_key if event else None
        partition = event.partition if event and asset_key else None
        subset = getattr(data, "partitions_subset", None)
        if check:
            partition = getattr(check, "partition", None)
            if subset is not None:
                partition = next(iter(subset.get_partition_keys()), None)
        tags = dict(getattr(about, "tags", None) or {})
        duration = getattr(data, "duration_ms", None)
        yield {
            "sequence": sequence,
            "timestamp": time_of(entry.timestamp),
            "run_id": entry.run_id or None,
            "job_name": entry.job_name,
            "event_type": event.event_type_value if event else None,
            "level": entry.level,
            "step_key": event.step_key if event else entry.step_key,
            "asset_key": list(asset_key.path) if asset_key else None,
            "partition": None if partition is None else "".join(partition),
            "partition_dimensions": {
                clean(key.removeprefix(DIMENSION)): clean(value)
                for key, value in tags.items()
                if key.startswith(DIMENSION)
            }
            or None,
            "partitions": list(subset.get_partition_keys()) if subset and not check else None,
            "check_name": check.check_name if check else None,
            "message": clean(entry.user_message or (event.message if event else None) or "")
            or None,
            "error": error(getattr(data, "error", None) or entry.error_info),
            "tags": {clean(key): clean(value) for key, value in tags.items()} or None,
            "metadata": metadata(about),
            "duration": None if duration is None else duration / 1000,
            "event": text(entry),
        }


def asset_checks(entries: Iterable[tuple[int, EventLogEntry]]) -> Iterator[Row]:
    for sequence, entry in entries:
        event = entry.dagster_event
        data = event.event_specific_data if event else None
        if not hasattr(data, "check_name"):
            continue
        assert event is not None
        planned = {
            "timestamp": time_of(entry.timestamp),
            "run_id": entry.run_id or None,
            "job_name": entry.job_name,
            "step_key": event.step_key,
            "asset_key": list(data.asset_key.path),
            "check_name": data.check_name,
            "severity": None,
            "blocking": None,
            "description": None,
            "target_sequence": None,
            "metadata": None,
        }
        if isinstance(data, AssetCheckEvaluation):
            target = data.target_materialization_data
            yield planned | {
                "sequence": sequence,
                "partition": data.partition,
                "status": "SUCCEEDED" if data.passed else "FAILED",
                "severity": data.severity.name,
                "blocking": data.blocking,
                "description": data.description,
                "target_sequence": target.storage_id if target else None,
                "metadata": metadata(data),
            }
            continue
        keys = list(data.partitions_subset.get_partition_keys()) if data.partitions_subset else []
        for number, key in enumerate(keys or [None]):
            row = planned | {
                "sequence": sequence + number,
                "partition": key,
                "status": "PLANNED",
            }
            if number:
                # Records of their own, which say when the storage was given the event.
                row |= {"job_name": None, "step_key": None, "timestamp": None}
            yield row


def tick(tick: InstigatorTick) -> Row:
    data = tick.tick_data
    return {
        "tick_id": tick.tick_id,
        "deleted": False,
        "instigator_name": data.instigator_name,
        "instigator_type": data.instigator_type.value,
        "selector_id": data.selector_id,
        "origin_id": data.instigator_origin_id,
        "status": data.status.value,
        "started": time_of(data.timestamp),
        "ended": None if data.end_timestamp is None else time_of(data.end_timestamp),
        "run_ids": list(data.run_ids),
        "run_keys": list(data.run_keys),
        "skip_reason": data.skip_reason,
        "cursor": data.cursor,
        "failure_count": data.failure_count,
        "error": error(data.error),
        "tick": serialize_value(data),
    }


def backfill(backfill: PartitionBackfill) -> Row:
    ended = backfill.backfill_end_timestamp
    return {
        "backfill_id": backfill.backfill_id,
        "deleted": False,
        "status": backfill.status.value,
        "created": time_of(backfill.backfill_timestamp),
        "ended": None if ended is None else time_of(ended),
        "title": backfill.title,
        "description": backfill.description,
        "asset_selection": None
        if backfill.asset_selection is None
        else [list(key.path) for key in backfill.asset_selection],
        "partition_names": None
        if backfill.partition_names is None
        else list(backfill.partition_names),
        "tags": dict(backfill.tags or {}) or None,
        "failure_count": backfill.failure_count,
        "error": error(backfill.error),
        "backfill": serialize_value(backfill),
    }


def subject(data: Any) -> Any:
    """What has the tags and the metadata of an event."""
    for name in (
        "materialization",
        "asset_observation",
        "expectation_result",
        "user_failure_data",
        "asset_materialization_failure",
    ):
        if getattr(data, name, None) is not None:
            return getattr(data, name)
    return data


def metadata(about: Any) -> list[Row] | None:
    found = getattr(about, "metadata", None) or {}
    return [metadata_item(label, value) for label, value in found.items()] or None


def metadata_item(label: str, value: Any) -> Row:
    name = type(value).__name__.removesuffix("MetadataValue")
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    row = {"label": clean(label), "kind": kind, "text": None, "int": None, "float": None}
    packed = json.loads(serialize_value(value))
    fields = {key: each for key, each in packed.items() if key != "__class__"}
    exact = None
    match list(fields.values()):
        case []:
            pass
        case [one] if kind == "json":
            exact = one
            return row | {"json": json.dumps(exact, sort_keys=True)}
        case [str(text)]:
            row["text"] = clean(text)
            exact = None if clean(text) == text else text
        case [bool(flag)]:
            row["int"] = int(flag)
        case [int(number)] if -(2**63) <= number < 2**63:
            row["int"] = number
        case [int(number)]:
            row["float"] = float(number)
            exact = number
        case [float(number)]:
            row["float"] = number
        case [None]:
            pass
        case [one]:
            exact = one
        case _:
            exact = packed
    return row | {"json": None if exact is None else json.dumps(exact, sort_keys=True)}


def error(info: SerializableErrorInfo | None) -> Row | None:
    if info is None:
        return None
    chain = []
    while info is not None:
        chain.append(
            {
                "class_name": info.cls_name,
                "message": clean(info.message),
                "stack": [clean(line) for line in info.stack],
            }
        )
        info = info.cause
    return chain[0] | {"cause": chain[1:]}


def time_of(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.utc)


def clean(text: str) -> str:
    """Lone surrogates are no Unicode text: each is a replacement character."""
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def asset_key(*path: str) -> dg.AssetKey:
    return dg.AssetKey(list(path))


def run(record: RunRecord) -> Row:
    run = record.dagster_run
    origin = run.remote_job_origin
    repository = origin.repository_origin if origin else None
    return {
        "run_id": run.run_id,
        "deleted": False,
        "job_name": run.job_name,
        "status": run.status.value,
        "created": utc(record.create_timestamp),
        "updated": utc(record.update_timestamp),
        "started": None if record.start_time is None else time_of(record.start_time),
        "ended": None if record.end_time is None else time_of(record.end_time),
        "tags": dict(run.tags) or None,
        "partition": run.tags.get("dagster/partition"),
        "root_run_id": run.root_run_id,
        "parent_run_id": run.parent_run_id,
        "code_location": repository.code_location_origin.location_name if repository else None,
        "repository": repository.repository_name if repository else None,
        "job_snapshot_id": run.job_snapshot_id,
        "execution_plan_snapshot_id": run.execution_plan_snapshot_id,
        "asset_selection": None
        if run.asset_selection is None
        else sorted(list(key.path) for key in run.asset_selection),
        "step_keys": run.step_keys_to_execute and list(run.step_keys_to_execute),
        "run": serialize_value(run),
    }


def utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
