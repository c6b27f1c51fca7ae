"""What Dagster's processes do together on one store, as Dagster's GraphQL API tells it."""

import os
import signal
from itertools import pairwise
from typing import Any

from deployment.conftest import BACKFILLED
from deployment.deployment import Deployment
from deployment.launcher import WORKER_TAG


def tags_of(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def assert_one_after_the_other(spans: list[tuple[float, float]]) -> None:
    """No span begins before the one that began before it has ended."""
    spans = sorted(spans)
    for (_, ended), (began, _) in pairwise(spans):
        assert ended <= began, spans


def test_a_launched_run_ends_with_all_its_events(deployment: Deployment) -> None:
    run = deployment.ended(deployment.launch("poem", {"mood": "calm"}))
    assert {"kind": "poem", "mood": "calm"}.items() <= tags_of(run).items()
    assert run["stats"]["stepsSucceeded"] == 1
    assert run["runId"] in [found["runId"] for found in deployment.runs_with(mood="calm")]

    events = deployment.events(run["runId"])
    types = [event["eventType"] for event in events if event.get("eventType")]
    milestones = [f"RUN_{state}" for state in ("ENQUEUED", "STARTING", "START", "SUCCESS")]
    assert [of_type for of_type in types if of_type in milestones] == milestones
    said = [event["message"] for event in events if event["__typename"] == "LogMessageEvent"]
    assert said == ["verse 1", "verse 2", "verse 3"]
    steps = [of_type for of_type in types if of_type in ("STEP_START", "STEP_SUCCESS")]
    assert steps == ["STEP_START", "STEP_SUCCESS"]


def test_the_queue_never_exceeds_the_limit_of_a_tag(deployment: Deployment) -> None:
    launched = [deployment.launch("narrow") for _ in range(3)]

    def states() -> list[str]:
        return sorted(deployment.run(run_id)["status"] for run_id in launched)

    deployment.until(lambda: states() == ["QUEUED", "QUEUED", "STARTED"], "one of them starts")
    deployment.open_gate("lane")
    runs = [deployment.ended(run_id)["stats"] for run_id in launched]
    assert_one_after_the_other([(run["launchTime"], run["endTime"]) for run in runs])


def test_a_schedule_ticks_every_minute_and_requests_its_run(deployment: Deployment) -> None:
    ticks = deployment.until(lambda: deployment.ticks("every_minute"), "the schedule ticks")
    assert {tick["status"] for tick in ticks} == {"SUCCESS"}
    assert [tick["timestamp"] % 60 for tick in ticks] == [0] * len(ticks)
    requested = [run_id for tick in ticks for run_id in tick["runIds"]]
    assert len(requested) == len(ticks)
    run = deployment.ended(requested[-1])
    assert {
        "asked_by": "every_minute",
        "dagster/schedule_name": "every_minute",
    }.items() <= tags_of(run).items()


def test_a_sensors_cursor_advances_with_each_tick(deployment: Deployment) -> None:
    def enough() -> list[dict[str, Any]] | None:
        ticks = deployment.ticks("counting")
        return ticks if any(tick["status"] == "SKIPPED" for tick in ticks) else None

    ticks = list(reversed(deployment.until(enough, "the sensor has counted past its runs")))
    assert [tick["cursor"] for tick in ticks] == [f"count {at + 1}" for at in range(len(ticks))]
    assert [tick["runKeys"] for tick in ticks[:3]] == [["run 1"], ["run 2"], []]
    assert ticks[2]["skipReason"] == "counted to 3"
    word, count = (deployment.cursor("counting") or "").split()
    assert word == "count"
    assert int(count) >= len(ticks)
    for tick in ticks[:2]:
        (run_id,) = tick["runIds"]
        run = deployment.ended(run_id)
        assert tags_of(run)["dagster/run_key"] == tick["runKeys"][0]
    assert len(deployment.runs(pipelineName="counted")) == 2


def test_declarative_automation_materializes_what_is_downstream(deployment: Deployment) -> None:
    deployment.until(lambda: deployment.ticks("automation"), "the automation has been evaluated")
    upstream = deployment.ended(deployment.materialize("source"))
    downstream = deployment.until(
        lambda: deployment.asset("derived")["assetMaterializations"],
        "the downstream asset is materialized",
    )[0]
    assert float(downstream["timestamp"]) / 1000 > upstream["stats"]["startTime"]
    run = deployment.ended(downstream["runId"])
    assert tags_of(run)["dagster/from_automation_condition"] == "true"
    ticks = [tick for tick in deployment.ticks("automation") if tick["requestedAssetKeys"]]
    assert run["runId"] in [run_id for tick in ticks for run_id in tick["runIds"]]
    assert ticks[0]["requestedAssetKeys"] == [{"path": ["derived"]}]


def test_a_backfill_completes_with_its_partitions_counted(
    deployment: Deployment, backfill: str
) -> None:
    def completed() -> dict[str, Any] | None:
        state = deployment.backfill_state(backfill)
        return None if state["status"] in ("REQUESTED", "COMPLETED") else state

    state = deployment.until(completed, "the backfill completes")
    assert state["status"] == "COMPLETED_SUCCESS"
    assert [run["status"] for run in state["runs"]] == ["SUCCESS"] * 2  # of two partitions at most
    assert state["assetBackfillData"]["assetBackfillStatuses"] == [
        {
            "assetKey": {"path": ["letters"]},
            "numPartitionsTargeted": 3,
            "numPartitionsMaterialized": 3,
            "numPartitionsFailed": 0,
        }
    ]
    letters = deployment.asset("letters")
    assert letters["partitionStats"] == stats(materialized=3)
    assert letters["assetPartitionStatuses"] == {
        "materializedPartitions": BACKFILLED,
        "unmaterializedPartitions": ["d"],
    }
    found = [run["runId"] for run in deployment.runs_with(**{"dagster/backfill": backfill})]
    assert sorted(found) == sorted(run["runId"] for run in state["runs"])


def stats(materialized: int) -> dict[str, int]:
    """The partition stats of an asset of four partitions, of which none failed."""
    return {
        "numPartitions": 4,
        "numMaterialized": materialized,
        "numFailed": 0,
        "numMaterializing": 0,
    }


def test_a_pools_one_slot_is_never_held_twice_and_is_free_in_the_end(
    deployment: Deployment,
) -> None:
    runs = [deployment.launch(job) for job in ("pressed", "pressed_alone")]

    def contended() -> dict[str, Any] | None:
        pool = deployment.pool("press")
        return pool if pool["claimedSlots"] and pool["pendingStepCount"] else None

    pool = deployment.until(contended, "a step claims the slot, and another waits")
    assert [slot["runId"] in runs for slot in pool["claimedSlots"]] == [True]
    deployment.open_gate("press")
    steps = [step for run_id in runs for step in deployment.ended(run_id)["stepStats"]]
    assert len(steps) == 3
    assert_one_after_the_other([(step["startTime"], step["endTime"]) for step in steps])
    said = [event.get("message") for run_id in runs for event in deployment.events(run_id)]
    assert "Step blocked by limit for pool press" in said
    assert deployment.pool("press") == {
        "concurrencyKey": "press",
        "slotCount": 1,
        "limit": 1,
        "usingDefaultLimit": True,
        "activeSlotCount": 0,
        "pendingStepCount": 0,
        "assignedStepCount": 0,
        "claimedSlots": [],
    }


def test_a_failed_run_is_retried_with_the_tags_of_a_retry(deployment: Deployment) -> None:
    first = deployment.launch("second_try")
    failed = deployment.ended(first, "FAILURE")
    children = deployment.until(
        lambda: deployment.runs_with(**{"dagster/parent_run_id": first}), "the run is retried"
    )
    assert len(children) == 1
    retry = deployment.ended(children[0]["runId"])
    assert (retry["rootRunId"], retry["parentRunId"]) == (first, first)
    assert tags_of(retry)["dagster/retry_number"] == "1"
    failed = deployment.run(first)
    assert tags_of(failed)["dagster/auto_retry_run_id"] == retry["runId"]
    assert tags_of(failed)["dagster/will_retry"] == "true"


def test_run_monitoring_resumes_the_run_of_a_killed_worker_and_then_fails_it(
    deployment: Deployment,
) -> None:
    run_id = deployment.launch("hanging")
    deployment.until(lambda: hangs(deployment, run_id, 1), "the worker hangs")
    first = worker_of(deployment, run_id)
    os.kill(first, signal.SIGKILL)
    deployment.until(lambda: hangs(deployment, run_id, 2), "another worker hangs")
    second = worker_of(deployment, run_id)
    assert second != first
    os.kill(second, signal.SIGKILL)
    deployment.ended(run_id, "FAILURE")
    said = [event.get("message") or "" for event in deployment.events(run_id)]
    found = [message for message in said if message.startswith("Detected run worker status")]
    assert [
        f"process {worker} is gone" in message
        for worker, message in zip((first, second), found, strict=True)
    ] == [True, True]
    assert "Resuming run" in found[0]
    assert "Marking run" in found[1]


def hangs(deployment: Deployment, run_id: str, times: int) -> bool:
    """Whether the step of a run has started as many times."""
    events = deployment.events(run_id)
    return sum(event.get("eventType") == "STEP_START" for event in events) == times


def worker_of(deployment: Deployment, run_id: str) -> int:
    return int(tags_of(deployment.run(run_id))[WORKER_TAG].split()[0])


def test_partition_stats_follow_a_wipe_and_a_materialization_after_it(
    deployment: Deployment,
) -> None:
    deployment.ended(deployment.materialize("tiles", "north", "west"))
    assert deployment.asset("tiles")["partitionStats"] == stats(materialized=4)
    deployment.wipe("tiles", "south", "west")
    tiles = deployment.asset("tiles")
    assert tiles["partitionStats"] == stats(materialized=2)
    assert tiles["assetPartitionStatuses"]["unmaterializedPartitions"] == ["south", "west"]
    deployment.ended(deployment.materialize("tiles", "south"))
    tiles = deployment.asset("tiles")
    assert tiles["partitionStats"] == stats(materialized=3)
    assert tiles["assetPartitionStatuses"]["unmaterializedPartitions"] == ["west"]


def test_verify_holds_beside_the_live_processes(deployment: Deployment) -> None:
    run_id = deployment.launch("poem_at_gates")
    deployment.started(run_id)
    verified = deployment.verify()
    assert (verified.returncode, verified.stdout[:5]) == (0, "sound"), verified
    deployment.go_past(run_id, 1, 2, 3)
    deployment.ended(run_id)


def test_every_daemon_is_healthy_after_all_that(deployment: Deployment) -> None:
    assert deployment.daemons_healthy()
