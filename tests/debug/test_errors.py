"""Each error of looking into runs is raised where it says, and is an error of the store's."""

import fcntl
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.events import EngineEventData

from dagster_lmdb.debug import errors
from dagster_lmdb.debug.absorb import absorb
from dagster_lmdb.debug.capsule import CapsuleRun, CapsuleWriter, Contents, read_capsule
from dagster_lmdb.debug.destination import whole_file
from dagster_lmdb.debug.extract import Extraction, extract
from dagster_lmdb.debug.player import place_of_step
from dagster_lmdb.debug.redact import Redaction
from dagster_lmdb.debug.runs import Source, read_run
from dagster_lmdb.errors import LmdbStoreError
from debug.history import Store, call
from engine.children import without_room
from python.entries import event, log_line, run


def cut_off(beside: Path) -> Path:
    path = beside.parent.parent / "cut off"
    with path.open("wb") as file, CapsuleWriter(file) as writer:
        writer.finish([], {})
    os.truncate(path, path.stat().st_size - 1)
    return path


def of_later(beside: Path) -> Path:
    path = beside.parent.parent / "of later"
    manifest = {"format": "dagster-lmdb capsule", "version": 9, "dagster_lmdb": "9.9"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("capsule.json", json.dumps(manifest))
    return path


def holding(run_id: str, status: DagsterRunStatus = DagsterRunStatus.SUCCESS) -> Contents:
    """A capsule's content: a run without events."""
    made = run(status, run_id=run_id)
    return Contents([CapsuleRun(made, 1.0, 1.0, None, None, list)], {})


def absorb_beside_another(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        absorb(holding("another"), directory)
    finally:
        os.close(descriptor)


def redact_a_type(source: Source, beside: Path) -> None:
    made = run(DagsterRunStatus.SUCCESS, tags={"word": "ENGINE_EVENT"})
    source.runs.add_run(made)
    source.events.store_event(event(made.run_id, DagsterEventType.ENGINE_EVENT, EngineEventData()))
    extraction = Extraction(source, [made.run_id])
    extract(extraction, beside.parent / "new", Redaction(tags=["word"]))


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
    (errors.NotACapsuleError, "is no capsule", lambda _, path: read_capsule(path)),
    (errors.DamagedCapsuleError, "its checksum", lambda _, path: read_capsule(cut_off(path))),
    (errors.CapsuleVersionError, "of version 9", lambda _, path: read_capsule(of_later(path))),
    (
        errors.ConflictingRunError,
        "events of run a_run here that are not",
        lambda source, _: absorb(holding("a_run"), source.directory),
    ),
    (
        errors.UnfinishedRunError,
        "would take it for its own",
        lambda source, _: absorb(holding("another", DagsterRunStatus.STARTED), source.directory),
    ),
    (
        errors.AbsorbRunningError,
        "another process absorbs",
        lambda source, _: absorb_beside_another(source.directory),
    ),
    (errors.RedactionError, "narrower patterns", lambda source, path: redact_a_type(source, path)),
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


@pytest.mark.parametrize("verb", ["extract", "trace"])
@pytest.mark.parametrize("through", ["itself", "a link", "its data file's link"])
def test_nothing_is_written_over_the_files_of_a_store(
    store: Store, tmp_path: Path, verb: str, through: str
) -> None:
    there = tmp_path / "history"
    shutil.copytree(store.directory, there)
    place = there
    if through == "a link":
        place = tmp_path / "link"
        place.symlink_to(there)
    elif through == "its data file's link":
        (there / "data.mdb").rename(tmp_path / "elsewhere.mdb")
        (there / "data.mdb").symlink_to(tmp_path / "elsewhere.mdb")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name in ("data.mdb", "journal", "new", "new/er"):
        run_id = store.runs["failing"]
        result = call(verb, store.directory, run_id, "-o", place / name, "--force")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "is in the directory of the store" in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


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


@pytest.mark.parametrize(
    "words",
    [
        ("replay", "STORE", "RUN"),
        ("replay", "STORE", "RUN", "--speed", "1000x"),
        ("replay", "STORE", "RUN", "--json"),
        ("trace", "STORE", "RUN", "-o", "-"),
        ("trace", "STORE", "RUN", "-o", "FILE"),
        ("diff", "STORE", "RUN", "OTHER"),
        ("diff", "STORE", "RUN", "OTHER", "--json"),
        ("extract", "STORE", "RUN", "-o", "FILE"),
        ("absorb", "CAPSULE", "FILE"),
    ],
    ids=" ".join,
)
def test_no_room_for_what_a_command_prints_ends_with_2_and_one_line(
    store: Store, tmp_path: Path, words: tuple[str, ...]
) -> None:
    places = {
        "STORE": store.directory,
        "RUN": store.runs["everything"],
        "OTHER": store.runs["failing"],
        "FILE": tmp_path / "made",
        "CAPSULE": tmp_path / "run.capsule",
    }
    if "CAPSULE" in words:
        extract(Extraction(Source(store.directory), [store.runs["failing"]]), places["CAPSULE"])
    result = without_room(*(places.get(word, word) for word in words))
    says = "Error: standard output cannot be written: No space left on device\n"
    assert (result.returncode, result.stderr) == (2, says)
