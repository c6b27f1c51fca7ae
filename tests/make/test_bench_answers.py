"""When answers of two storages count as the same in `make bench`."""

from datetime import datetime
from typing import Any

import pytest
from benches.answers import answer_size, content
from dagster import AssetKey, DagsterRun, DagsterRunStatus, EventLogEntry, EventLogRecord
from dagster._core.storage.dagster_run import RunRecord

DAY = datetime(2026, 1, 1)
RUN = DagsterRun("readings", "a-run", status=DagsterRunStatus.SUCCESS, tags={"team": "rivers"})


def recorded(run: DagsterRun, number: int = 1) -> RunRecord:
    return RunRecord(number, run, create_timestamp=DAY, update_timestamp=DAY)


def stored(message: str, number: int = 1, **changed: Any) -> EventLogRecord:
    about = {"run_id": "a-run", "timestamp": 1.0, "step_key": "gauge", **changed}
    entry = EventLogEntry(error_info=None, level=20, user_message=message, **about)
    return EventLogRecord(number, entry)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([recorded(RUN, 1)], [recorded(RUN, 7)]),  # each storage numbers runs and events itself
        ([stored("dry", 1), stored("wet", 2)], [stored("wet", 4), stored("dry", 9)]),
        ({AssetKey("a"): 3}, {AssetKey("a"): 5}),
        ({"a", "b"}, ["b", "a"]),
        (17, 23),
        ([("team", {"x", "y"})], [("team", {"y", "x"})]),
    ],
)
def test_what_storages_may_tell_in_their_own_way(one: Any, other: Any) -> None:
    assert content(one) == content(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([recorded(RUN)], [recorded(RUN._replace(run_id="another"))]),
        ([recorded(RUN)], [recorded(RUN.with_tags({"team": "seas"}))]),
        ([recorded(RUN)], [recorded(RUN.with_status(DagsterRunStatus.FAILURE))]),
        ([recorded(RUN)], [recorded(RUN)] * 2),
        ([stored("dry")], [stored("wet")]),
        ([stored("dry")], [stored("dry", timestamp=2.0)]),
        ([stored("dry")], [stored("dry", step_key="valve")]),
        ({AssetKey("a"): 3}, {AssetKey("b"): 3}),
        ({"a": "1"}, {"a": "2"}),
        (True, False),
        (None, False),
        (["25"], ["24"]),
        ([("team", {"x"})], [("team", {"y"})]),
    ],
)
def test_another_answer_of_the_same_size(one: Any, other: Any) -> None:
    assert content(one) != content(other)


def test_a_single_thing_has_the_size_one() -> None:
    assert [answer_size(each) for each in (True, None, 17, [1, 2], {"a": 1})] == [1, 1, 1, 2, 1]
