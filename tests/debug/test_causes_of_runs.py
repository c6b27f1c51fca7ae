"""Ticks, backfills and snapshots of a capsule's runs, where the runs are there already."""

from dataclasses import replace
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from dagster_lmdb.debug.absorb import absorb
from dagster_lmdb.debug.capsule import read_capsule
from debug.capsules import TICK, absorbed, head, of_a_backfill_that_goes_on
from debug.history import Store, call
from python.entries import run

ALL = "There already: 4 runs, 1 tick and 1 backfill."


def tick_of(instance: DagsterInstance, run_id: str) -> str | None:
    found = instance.get_run_by_id(run_id)
    assert found is not None
    return found.tags.get("dagster/tick")


def assert_nothing_new(capsule: Path, target: Path) -> None:
    before = head(target)
    text = absorbed(capsule, target)
    assert text.startswith("Added 0 runs with 0 events to ")
    assert ALL in text
    assert head(target) == before


def test_what_a_run_that_is_there_was_without_is_added(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    run_id = origin.runs["letters"]
    absorb(replace(read_capsule(capsule), ticks={}, backfills=()), target)
    assert tick_of(instance, run_id) is None
    text = absorbed(capsule, target)
    assert "Added 0 runs with 0 events, 1 tick and 1 backfill to " in text
    assert "There already: 4 runs." in text
    assert "Of the runs that were there, 1 got the id of their tick." in text
    [tick] = instance.get_ticks("an_origin", "a_selector")
    assert tick.tick_data == TICK
    assert tick_of(instance, run_id) == str(tick.tick_id)
    assert [each.backfill_id for each in instance.get_backfills()] == ["a_backfill"]
    assert_nothing_new(capsule, target)


@pytest.mark.parametrize("happens", ["is purged", "is another one"])
def test_a_run_that_is_there_names_the_tick_that_was_added(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path, happens: str
) -> None:
    """In the place of a number that is no tick any more, or one of another time."""
    run_id = origin.runs["letters"]
    absorbed(capsule, target)
    instance.purge_ticks("an_origin", "a_selector", before=TICK.timestamp + 1)
    other = instance.create_tick(TICK._replace(timestamp=5.0))
    if happens == "is another one":
        instance.add_run_tags(run_id, {"dagster/tick": str(other.tick_id)})
    assert "1 tick to " in absorbed(capsule, target)
    named = tick_of(instance, run_id)
    assert named is not None
    assert instance.schedule_storage.get_tick(int(named)).tick_data == TICK
    assert int(named) > other.tick_id
    assert_nothing_new(capsule, target)


@pytest.mark.parametrize("tag", ["²", "9" * 5000], ids=["superscript", "long"])
def test_a_tag_that_is_no_id_of_a_tick_names_none(
    instance: DagsterInstance, tmp_path: Path, target: Path, tag: str
) -> None:
    made = instance.add_run(run(DagsterRunStatus.SUCCESS, tags={"dagster/tick": tag}))
    capsule = tmp_path / "made.capsule"
    result = call("extract", target, made.run_id, "-o", capsule)
    assert result.exit_code == 0, result.output
    assert not read_capsule(capsule).ticks
    assert absorbed(capsule, tmp_path / "other").startswith("Added 1 run with 0 events to ")


def test_a_tick_that_went_on_is_left(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    absorbed(capsule, target)
    named = tick_of(instance, origin.runs["letters"])
    assert named is not None
    instance.update_tick(instance.schedule_storage.get_tick(int(named)).with_cursor("another"))
    before = head(target)
    text = absorbed(capsule, target)
    assert f"Tick {named} is there with other content, and was left as it is." in text
    assert "There already: 4 runs and 1 backfill." in text
    assert head(target) == before


def test_snapshots_that_a_run_was_without_are_added(
    capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    contents = read_capsule(capsule)
    absorb(replace(contents, snapshots={}), target)
    number = len(contents.snapshots)
    assert f"Added 0 runs with 0 events and {number} snapshots to " in absorbed(capsule, target)
    assert all(map(instance.run_storage.has_snapshot, contents.snapshots))
    assert_nothing_new(capsule, target)


def test_a_backfill_that_goes_on_is_itself_where_it_came_from(
    instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    path = of_a_backfill_that_goes_on(instance, target, tmp_path / "run.capsule")
    before = head(target)
    text = absorbed(path, target)
    assert text.splitlines()[1:] == ["There already: 1 run and 1 backfill."]
    assert head(target) == before
