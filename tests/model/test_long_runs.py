"""A run with more events than one commit takes away is hidden at once, also if its end is late."""

import dataclasses
import time

import pytest

from model.drafts import STEPS, Act, Draft, T
from model.instance.machine import InstanceMachine
from model.instance.objects import RunDraft
from model.processes import Elsewhere

#: Several of the steps in which rows go.
EVENTS = 3_500


@pytest.fixture(params=["line", "materialization"])
def long(request: pytest.FixtureRequest, instance_state: InstanceMachine) -> InstanceMachine:
    """A long run, and another one beside it."""
    for run in ("run-1", "run-2"):
        instance_state.do(0, "add_run", draft=RunDraft(run))
    instance_state.do(0, "claim", run="run-1", step=STEPS[0])
    of_type = T.ASSET_MATERIALIZATION if request.param == "materialization" else None
    line = Draft(0, of_type, "run-1", time=1)
    instance_state.do(0, "store", drafts=[line] * EVENTS)
    started = Draft(0, T.RUN_START, "run-1", time=2)
    beside = [dataclasses.replace(draft, run="run-2") for draft in (line, started)]
    instance_state.do(0, "store", drafts=[started, *beside])
    return instance_state


def gone(state: InstanceMachine) -> bool:
    return not state.storage.run_storage.has_run("run-1")


def left(state: InstanceMachine) -> int:
    """How many deleted runs have rows yet."""
    rows: int = state.storage.run_storage._log.stat()["tables"]["deleted_runs"][0]
    return rows


def test_a_long_run_goes_in_steps(long: InstanceMachine) -> None:
    long.do(0, "delete_run", 3, run="run-1")
    assert left(long) == 0
    long.every_answer_is_the_models()
    long.verify()


def test_what_a_killed_deletion_leaves_is_hidden_and_goes_with_a_compaction(
    long: InstanceMachine,
) -> None:
    for _ in range(2):
        victim = Elsewhere(long.storage)
        victim.begin(Act("delete_run", {"run": "run-1"}, 3))
        deadline = time.monotonic() + 60
        while not gone(long):
            assert time.monotonic() < deadline
        victim.kill()
        long.settle([[(Act("delete_run", {"run": "run-1"}, 3), None)]])
        long.every_answer_is_the_models()
        long.do(0, "add_run", 4, draft=RunDraft("run-1", job="job-2"))
        long.do(0, "store", 4, drafts=[Draft(0, T.RUN_START, "run-1", time=5)])
        long.every_answer_is_the_models()
    long.do(0, "compact", 6, keep_since=None)
    assert left(long) == 0
    long.every_answer_is_the_models()
    long.do(0, "rebuild")
