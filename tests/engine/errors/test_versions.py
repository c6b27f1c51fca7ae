"""Stores of other releases."""

from contextlib import closing
from pathlib import Path

import pytest

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb._core import FOLD_VERSION, FORMAT_VERSION, EventLog
from dagster_lmdb.errors import (
    FoldVersionError,
    FormatTooNewError,
)
from engine.errors.covering import messages, of
from engine.events import line, materialization
from engine.tamper import change_meta, drop_tree


@of(FormatTooNewError)
def test_a_newer_format_is_refused(storage: LmdbEventLogStorage, directory: Path) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    change_meta(directory, format=FORMAT_VERSION + 1)
    for call in (
        lambda: storage.store_event(line("run", "refused")),
        lambda: storage.get_logs_for_run("run"),
        lambda: EventLog(directory),
    ):
        with pytest.raises(FormatTooNewError, match="upgrade dagster-lmdb"):
            call()
    change_meta(directory, format=FORMAT_VERSION)
    assert messages(storage) == ["before"]


@of(FoldVersionError)
@pytest.mark.parametrize(
    ("version", "advice"), [(FOLD_VERSION + 1, "restart it"), (FOLD_VERSION - 1, "rebuild")]
)
def test_another_fold_version_is_refused(
    storage: LmdbEventLogStorage, directory: Path, version: int, advice: str
) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    change_meta(directory, fold_version=version)
    for call in (
        lambda: storage.store_event(line("run", "refused")),
        lambda: storage.get_logs_for_run("run"),
        lambda: EventLog(directory),
    ):
        with pytest.raises(FoldVersionError, match=advice):
            call()
    change_meta(directory, fold_version=FOLD_VERSION)
    assert messages(storage) == ["before"]


@of(FoldVersionError)
def test_projections_of_an_older_fold_version_are_rebuilt(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event_batch([line("run", "before"), materialization("run")])
    storage.dispose()
    change_meta(directory, fold_version=FOLD_VERSION - 1)
    log = EventLog(directory, for_rebuild=True)
    log.rebuild()
    log.close()
    assert messages(storage) == ["before", ""]
    assert storage._log.verify().differences == []


@of(FoldVersionError)
def test_a_store_without_a_tree_of_this_fold_version_is_rebuilt(directory: Path) -> None:
    """A store as the first fold version left it, whose documents had no tree of times."""
    made = [60.0 * number for number in range(100)]
    with closing(EventLog(directory, create=True)) as log:
        for number, time in enumerate(made):
            terms = [("status", "STARTED", 0.0), ("@created", "", time), ("@updated", "", time)]
            log.put_documents("run", [(None, f"r{number}", time, terms, "a run")], "insert", time)
    for letter in "ab":
        drop_tree(directory, f"{letter}.document_times")
    change_meta(directory, fold_version=1)
    with pytest.raises(FoldVersionError, match="rebuild"):
        EventLog(directory)
    with closing(EventLog(directory, for_rebuild=True)) as log:
        log.rebuild()
    with closing(EventLog(directory)) as log:
        found = log.find_documents("run", ranges=[("@created", None, made[50])], limit=2)
        assert [run.key for run in found] == ["r49", "r48"]
        assert log.count_documents("run", ranges=[("@updated", made[50], None)]) == 49
        assert log.verify().differences == []
