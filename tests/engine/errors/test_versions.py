"""Stores of other releases."""

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
from engine.tamper import change_meta


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
