"""Two runs that differ in one thing differ in that thing alone."""

import pytest
from dagster._core.utils import make_new_run_id

from dagster_lmdb.debug.flat import ABSENT, Change, changes, nested_changes
from debug.diffs import Measured, change, changed
from debug.history import call, refused
from python.entries import job_origin


def test_runs_that_did_the_same_are_alike(measured: Measured) -> None:
    found = measured.diff(measured.plain, measured.run())
    assert changed(found) == set()
    assert found["parting"] is None
    assert found["runs"]["a"]["run_id"] == measured.plain
    assert found["runs"]["a"]["job"] == "measuring_job"
    assert found["runs"]["b"]["status"] == "SUCCESS"


def test_a_run_is_like_itself(measured: Measured) -> None:
    assert measured.diff(measured.plain, measured.plain)["alike"] is True
    result = call("diff", measured.directory, measured.plain, measured.plain)
    assert "the runs are alike" in result.stdout


def test_a_tag_is_all_that_changed(measured: Measured) -> None:
    one, two = measured.run(tags={"team": "a", "old": "x"}), measured.run(tags={"team": "b"})
    found = measured.diff(one, two)
    assert changed(found) == {"tags"}
    assert found["tags"] == [change("old", a="x"), change("team", a="a", b="b")]
    assert found["parting"] is None
    assert found["alike"] is False


def test_metadata_that_changed_is_where_the_runs_part(measured: Measured) -> None:
    found = measured.diff(measured.run(rows=1), measured.run(rows=2))
    assert changed(found) == {"config", "metadata"}
    assert found["config"] == [change("ops.measure.config.rows", a=1, b=2)]
    assert found["metadata"] == [change("asset measured rows", a=1, b=2)]
    parting = found["parting"]
    assert parting["step"] == "measure"
    assert parting["a"]["event_type"] == parting["b"]["event_type"] == "ASSET_MATERIALIZATION"


def test_a_data_version_changed(measured: Measured) -> None:
    found = measured.diff(measured.run(value=1), measured.run(value=2))
    assert changed(found) == {"config", "data_versions"}
    assert found["data_versions"] == [change("asset measured data_version", a="v1", b="v2")]
    assert found["parting"]["b"]["event_type"] == "ASSET_MATERIALIZATION"


def test_config_that_only_one_has_is_added_or_removed(measured: Measured) -> None:
    with_config = measured.run(value=1)
    [added] = measured.diff(measured.plain, with_config)["config"]
    assert added == change("ops.measure.config.value", b=1)
    [removed] = measured.diff(with_config, measured.plain)["config"]
    assert removed == change("ops.measure.config.value", a=1)


def test_code_from_elsewhere(measured: Measured) -> None:
    moved = measured.run()
    stored = measured.instance.get_run_by_id(moved)
    measured.instance.run_storage.replace_job_origin(stored, job_origin("elsewhere"))
    found = measured.diff(measured.plain, moved)
    assert changed(found) == {"code"}
    paths = {each["path"]: each.get("b") for each in found["code"]}
    assert paths["origin.external_repository_origin.repository_name"] == "elsewhere"
    assert found["parting"] is None


@pytest.mark.parametrize("place", [0, 1])
def test_an_unknown_run_is_refused(measured: Measured, place: int) -> None:
    unknown = make_new_run_id()
    runs = [measured.plain, measured.plain]
    runs[place] = unknown
    assert f"no run {unknown}" in refused(call("diff", measured.directory, *runs))


# Paths


def test_leaves_are_compared_by_their_paths() -> None:
    a = {"x": {"y": [1, 2], "gone": {}}, "same": None, "t": 1}
    b = {"x": {"y": [1, 3, 4]}, "same": None, "t": True}
    assert nested_changes(a, b) == [
        Change("t", 1, True),
        Change("x.gone", {}, ABSENT),
        Change("x.y[1]", 2, 3),
        Change("x.y[2]", ABSENT, 4),
    ]
    assert nested_changes({}, None) == []
    assert changes({"nan": float("nan")}, {"nan": float("nan")}) == []


def test_no_two_leaves_have_one_path() -> None:
    nested = [
        {"a": {"b": 1}},
        {"a.b": 1},
        {"a": [1]},
        {"a": {"0": 1}},
        {"a[0]": 1},
        {"a": {0: 1}},
        {"a": {"": 1}},
        {'a["b"]': 1},
    ]
    for one in nested:
        for other in nested:
            assert (nested_changes(one, other) == []) == (one is other), (one, other)
    whole = {"a.b": 1, "a": {"b": 2}}
    assert nested_changes(whole, {}) == [Change('["a.b"]', 1, ABSENT), Change("a.b", 2, ABSENT)]
