"""Runs of a deployment in use: carried to a colleague's webserver, and traced."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from deployment.deployment import Deployment
from deployment.viewer import Viewer

WHOLE = """query($id: ID!) {
  runOrError(runId: $id) {
    __typename
    ... on Run {
      runId status jobName runConfigYaml pipelineSnapshotId
      tags { key value }
      stats { ... on RunStatsSnapshot {
        enqueuedTime launchTime startTime endTime stepsSucceeded materializations
      } }
      stepStats { stepKey status startTime endTime attempts { startTime endTime } }
      executionPlan { steps { key kind inputs { name } outputs { name } } }
      assetMaterializations { assetKey { path } partition timestamp }
    }
  }
}"""

SNAPSHOT = """query($id: String!) {
  pipelineSnapshotOrError(snapshotId: $id) {
    __typename ... on PipelineSnapshot { name solids { name } description }
  }
}"""

BACKFILL = """query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status timestamp numPartitions partitionNames }
  }
}"""


def command(*arguments: object) -> str:
    """What ``dagster-lmdb`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "dagster_lmdb", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def whole(deployment: Deployment, run_id: str) -> dict[str, Any]:
    """All that the API tells of a run, apart from the id of its tick, which is each store's own."""
    run = deployment.ask_one(WHOLE, "Run", id=run_id)
    run["tags"] = {tag["key"]: tag["value"] for tag in run["tags"] if tag["key"] != "dagster/tick"}
    return run


def test_a_run_opens_in_a_colleagues_webserver_as_in_its_own(
    deployment: Deployment, backfill: str, tmp_path: Path
) -> None:
    ticks = deployment.until(
        lambda: [tick for tick in deployment.ticks("counting") if tick["runIds"]],
        "the sensor has asked for a run",
    )
    counted = ticks[0]["runIds"][0]
    deployment.ended(counted)
    filled = deployment.until(
        lambda: deployment.runs_with(**{"dagster/backfill": backfill}), "the backfill has a run"
    )[0]["runId"]
    deployment.ended(filled)
    poem = deployment.launch("poem", {"mood": "carried"})
    deployment.ended(poem)
    deployment.until(
        lambda: deployment.backfill_state(backfill)["status"].startswith("COMPLETED_"),
        "the backfill completes",
    )
    runs = [counted, filled, poem]
    capsule = tmp_path / "run.capsule"
    command("extract", deployment.store, *runs, "-o", capsule)
    home = tmp_path / "colleague"
    command("absorb", capsule, home / "history")
    with Viewer(home) as viewer:
        assert {run["runId"] for run in viewer.runs()} == set(runs)
        for run_id in runs:
            before, after = whole(deployment, run_id), whole(viewer, run_id)
            assert before["stats"]["endTime"]
            assert before["stepStats"]
            assert before["executionPlan"]["steps"]
            assert after == before
            assert viewer.events(run_id) == deployment.events(run_id)
            snapshot = deployment.ask_one(
                SNAPSHOT, "PipelineSnapshot", id=before["pipelineSnapshotId"]
            )
            assert snapshot["solids"]
            assert (
                viewer.ask_one(SNAPSHOT, "PipelineSnapshot", id=before["pipelineSnapshotId"])
                == snapshot
            )
        before, after = (
            each.ask_one(BACKFILL, "PartitionBackfill", id=backfill)
            for each in (deployment, viewer)
        )
        for answer in (before, after):
            answer["partitionNames"].sort()  # of a set
        assert after == before
        assert {run["runId"] for run in viewer.runs_with(mood="carried")} == {poem}


def test_a_queued_runs_waits_are_in_its_trace(deployment: Deployment) -> None:
    run = deployment.ended(deployment.launch("poem", {"mood": "traced"}))
    trace = json.loads(command("trace", deployment.store, run["runId"], "-o", "-"))
    origin = trace["otherData"]["origin"]
    lanes = {
        each["tid"]: each["args"]["name"]
        for each in trace["traceEvents"]
        if each["name"] == "thread_name"
    }
    slices = {
        each["cat"]: each
        for each in trace["traceEvents"]
        if each["ph"] == "X" and lanes[each["tid"]] == "run" and each["cat"] != "resources"
    }
    assert list(slices) == ["queue wait", "start-up", "execution"]
    begins = {name: origin + each["ts"] / 1e6 for name, each in slices.items()}
    stats = run["stats"]
    for name, time in (
        ("queue wait", stats["enqueuedTime"]),
        ("start-up", stats["launchTime"]),
        ("execution", stats["startTime"]),
    ):
        assert abs(begins[name] - time) < 1e-4
    end = begins["execution"] + slices["execution"]["dur"] / 1e6
    assert abs(end - stats["endTime"]) < 1e-4


def test_a_window_of_the_instance_has_its_ticks(deployment: Deployment) -> None:
    deployment.until(lambda: deployment.ticks("counting"), "the sensor ticks")
    run = deployment.ended(deployment.launch("poem", {"mood": "windowed"}))
    trace = json.loads(command("trace", deployment.store, "--window", "1h", "-o", "-"))
    names = {
        each["args"]["name"] for each in trace["traceEvents"] if each["name"].endswith("_name")
    }
    assert f"poem {run['runId'][:8]}" in names
    assert "sensor counting" in names
