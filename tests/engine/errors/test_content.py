"""Damage: truncated files, rows and records that do not decode."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterEventType, EventRecordsFilter
from dagster._core.errors import DagsterEventLogInvalidForRun

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb._core import EventLog
from dagster_lmdb.errors import (
    DamagedRecordError,
    DamagedStoreError,
    UndecodableEventError,
)
from engine.children import fork, join
from engine.errors.covering import messages, of
from engine.events import line, materialization
from engine.tamper import BODY, change_event, flip_bit, tree


@of(DamagedStoreError)
@pytest.mark.parametrize("part", [0.5, 0.1, 0.0])
def test_a_truncated_data_file_is_damage(
    storage: LmdbEventLogStorage, directory: Path, part: float
) -> None:
    storage.store_event_batch([line("run", "x" * 10_000) for _ in range(50)])
    storage.dispose()
    data = directory / "data.mdb"
    # Room that is kept ahead of the last page is no loss.
    used = EventLog(directory).stat()["used_bytes"]
    os.truncate(data, int(used * part) // 4096 * 4096)
    before = data.read_bytes()
    for _ in range(2):
        with pytest.raises(DamagedStoreError, match="is damaged"):
            storage.get_logs_for_run("run")
    assert data.read_bytes() == before


@of(DamagedStoreError)
def test_a_data_file_that_is_gone_is_damage(storage: LmdbEventLogStorage, directory: Path) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    (directory / "data.mdb").unlink()
    with pytest.raises(DamagedStoreError, match="gone"):
        storage.store_event(line("run", "refused"))
    assert not (directory / "data.mdb").exists()


@of(DamagedStoreError)
def test_a_row_that_does_not_decode_is_damage_that_a_rebuild_mends(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event(materialization("run"))
    storage.dispose()
    with tree(directory, "a.assets") as transaction:
        ((key, _),) = transaction.cursor()
        transaction.put(key, b"\xc1")
    with pytest.raises(DamagedStoreError, match="dagster-lmdb rebuild"):
        storage.get_asset_records()
    (difference,) = storage._log.verify().differences
    assert difference.startswith(f"assets {key.hex()}")
    storage._log.rebuild()
    assert len(storage.get_asset_records()) == 1
    assert storage._log.verify().differences == []


@of(DamagedStoreError)
def test_a_page_of_zeros_is_damage_wherever_it_is(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event_batch([line("run", str(number) * 100) for number in range(200)])
    storage.store_event_batch([materialization("run", f"asset_{n}") for n in range(50)])
    storage.dispose()
    (directory / "journal").unlink()
    whole = (directory / "data.mdb").read_bytes()
    found: list[int] = []

    def read() -> None:
        is_damaged = False
        reads: list[Callable[[EventLog], object]] = [
            lambda log: log.run_events("run"),
            lambda log: log.events_after(0),
            lambda log: log.verify(),
        ]
        for each in reads:
            try:
                each(EventLog(directory))
            except (DamagedStoreError, DamagedRecordError):
                is_damaged = True
        os._exit(3 if is_damaged else 0)

    for page in range(2, len(whole) // 4096):
        damaged = bytearray(whole)
        damaged[page * 4096 : (page + 1) * 4096] = bytes(4096)
        (directory / "data.mdb").write_bytes(damaged)
        found.append(join(fork(read)))
    assert set(found) == {0, 3}, "an error of the store, or a page that is not in use"
    assert found.count(3) > len(found) // 2
    (directory / "data.mdb").write_bytes(whole)
    assert len(messages(storage)) == 250


#: Where a row is put that is shorter than any that is written; None for the key that is there.
SHORT = [
    ("log", b"\xff\xff\xff", b""),
    ("a.type_events", b"\0\0\1", b""),
    ("a.type_events", b"\0\0\0\0\0\1", b""),
    ("a.runs", None, b"\0\0\0"),
    ("a.deleted_runs", b"\0\0", b"\x92\xa1r\1"),
]


@of(DamagedStoreError)
@pytest.mark.parametrize(("name", "key", "value"), SHORT)
def test_a_key_or_a_number_that_is_too_short_is_damage(
    storage: LmdbEventLogStorage, directory: Path, name: str, key: bytes | None, value: bytes
) -> None:
    storage.store_event_batch([line("run", "a"), materialization("run")])
    storage.dispose()
    with tree(directory, name) as transaction:
        first = next(iter(transaction.cursor()), (b"", b""))[0]
        # Rows of types begin with the type, and are asked for from the first sequence on.
        transaction.put(first if key is None else (first[:1] or b"\0") + key, value)
    of_type = EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION)

    def ask() -> None:
        storage.get_logs_for_run("run")
        storage.get_event_records(of_type, ascending=True)
        storage.get_maximum_record_id()

    with pytest.raises(DamagedStoreError, match="is damaged"):
        ask()


@of(DamagedRecordError)
def test_a_flipped_bit_in_a_record_is_found_by_reading_and_by_verify(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event_batch([line("run", "before"), line("run", "q" * 64), line("run", "after")])
    (before, damaged, after) = storage.get_records_for_run("run").records
    storage.dispose()
    flip_bit(directory, b"q" * 64)
    with pytest.raises(DamagedRecordError, match=f"record {damaged.storage_id} ") as raised:
        storage.get_logs_for_run("run")
    assert "dagster-lmdb verify" in str(raised.value)
    assert raised.value.finding == str(raised.value).partition("; run")[0]
    with pytest.raises(DamagedRecordError, match=f"record {damaged.storage_id} "):
        storage.get_logs_for_all_runs_by_log_id(before.storage_id)
    assert storage.get_records_for_run("run", limit=1).records == [before]
    assert storage.get_records_for_run("run", limit=1, ascending=False).records == [after]
    first, *_ = storage._log.verify().differences
    assert first.startswith(f"record {damaged.storage_id}:")
    assert "checksum" in first
    storage.store_event(line("other", "goes on"))
    assert messages(storage, "other") == ["goes on"]


@of(UndecodableEventError)
def test_an_event_that_does_not_decode_is_named(
    storage: LmdbEventLogStorage, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage.store_event_batch([materialization("run", "an_asset") for _ in range(3)])
    first, undecodable, last = storage.get_records_for_run("run").records
    storage.dispose()

    def spoil(fields: list[Any]) -> None:
        fields[BODY] = b"\xc1"

    change_event(directory, undecodable.storage_id, spoil)
    with pytest.raises(UndecodableEventError) as caught:
        storage._log.run_events("run")
    assert caught.value.sequence == undecodable.storage_id
    with pytest.raises(DagsterEventLogInvalidForRun):
        storage.get_records_for_run("run")
    with caplog.at_level(logging.WARNING):
        records = storage.get_event_records(
            EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION), ascending=True
        )
        assert records == [first, last]
        assert list(storage.get_logs_for_all_runs_by_log_id()) == [first.storage_id]
    assert str(undecodable.storage_id) in caplog.text
    assert storage._log.verify().differences == [], "bodies are none of the fold's"
