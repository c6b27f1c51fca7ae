"""Each error of looking into runs is raised where it says, and is an error of the store's."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import DagsterInstance

from dagster_lmdb.debug import errors
from dagster_lmdb.debug.destination import whole_file
from dagster_lmdb.debug.player import place_of_step
from dagster_lmdb.debug.runs import Source, read_run
from dagster_lmdb.errors import LmdbStoreError
from python.entries import log_line

Act = Callable[[Source, Path], object]


def write(path: Path) -> None:
    with whole_file(path) as file:
        file.write(b"written")


def take_the_name(path: Path) -> None:
    with whole_file(path):
        path.write_text("somebody else's")


RAISED: list[tuple[type[LmdbStoreError], str, Act]] = [
    (errors.UnknownRunError, "no run gone", lambda source, _: read_run(source, "gone")),
    (
        errors.NotInRunError,
        "its steps are: none",
        lambda source, _: place_of_step(read_run(source, "a_run"), "a_step"),
    ),
    (errors.DestinationExistsError, "--force", lambda _, path: write(path)),
    (errors.DestinationExistsError, "exists", lambda _, path: write(path.parent)),
    (errors.DestinationExistsError, "exists", lambda _, path: take_the_name(path.parent / "new")),
    (errors.DestinationError, "No such file", lambda _, path: write(path.parent / "no" / "file")),
]


@pytest.mark.parametrize(("error", "says", "act"), RAISED)
def test_an_error_says_why(
    instance: DagsterInstance, tmp_path: Path, error: type[LmdbStoreError], says: str, act: Act
) -> None:
    instance.event_log_storage.store_event(log_line("a_run", "a line"))
    place = tmp_path / "place"
    place.mkdir()
    taken = place / "taken"
    taken.write_text("as it was")
    with pytest.raises(error, match=says):
        act(Source(tmp_path / "history"), taken)
    assert taken.read_text() == "as it was"
    assert {each.name for each in place.iterdir()} <= {"taken", "new"}


def test_every_error_has_a_test() -> None:
    types = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert types - {LmdbStoreError} == {error for error, _, _ in RAISED}


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError), whole_file(tmp_path / "file") as file:
        file.writelines([b"half", None])
    assert list(tmp_path.iterdir()) == []
