"""What is no whole capsule is refused before anything is stored."""

import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster._core.debug import DebugRunPayload
from dagster._serdes import serialize_value

from debug.capsules import absorbed, changed, extracted, head, rewrite
from debug.history import Store, call, refused

Damage = Callable[[Path], None]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def cut_short(path: Path) -> None:
    os.truncate(path, 3)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def not_a_capsule(path: Path) -> None:
    path.write_text("not a capsule at all")


def an_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("something.txt", "else")


def an_archive_of_json(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("capsule.json", "[1, 2]")


def flip(path: Path) -> None:
    """Flips a bit of the compressed events."""
    with zipfile.ZipFile(path) as archive:
        member = max(archive.infolist(), key=lambda each: each.compress_size)
        place = member.header_offset + len(member.filename) + 30 + member.compress_size // 2
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def other_content(path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["runs.jsonl"] = members["runs.jsonl"].replace(b"SUCCESS", b"FAILURE")

    rewrite(path, change)


def a_member_less(path: Path) -> None:
    rewrite(path, lambda members: members.pop("snapshots.jsonl") and None)


def other_manifest(path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["capsule.json"] = members["capsule.json"].replace(b"snapshots", b"snapsh0ts")

    rewrite(path, change)


def newer(path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["capsule.json"] = members["capsule.json"].replace(b'"version": 1', b'"version": 2')

    rewrite(path, change)


def not_of_debug(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"__class__": "Something"}'))


def debug_cut(path: Path) -> None:
    path.write_bytes(gzip.compress(os.urandom(9000))[:5000])


def debug_of_bytes(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\xff\xfe\x00"))


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, "is cut off or damaged"),
        (cut_short, "is no capsule"),
        (empty, "is no capsule"),
        (not_a_capsule, "is no capsule"),
        (an_archive, "an archive without capsule.json"),
        (an_archive_of_json, "not a capsule's"),
        (flip, "is cut off or damaged"),
        (other_content, "runs.jsonl is not what its checksum says"),
        (a_member_less, "lacks snapshots.jsonl"),
        (other_manifest, "capsule.json is not what its checksum says"),
        (newer, "is a capsule of version 2"),
        (not_of_debug, "no file of `dagster debug export`"),
        (debug_cut, "is cut off or damaged"),
        (debug_of_bytes, "no file of `dagster debug export`"),
        (gone, "cannot be read: No such file"),
    ],
)
def test_what_is_no_whole_capsule_is_refused(
    capsule: Path, tmp_path: Path, damage: Damage, says: str
) -> None:
    damage(capsule)
    elsewhere = tmp_path / "elsewhere"
    assert says in refused(call("absorb", capsule, elsewhere))
    assert not elsewhere.exists()


def test_every_cut_is_found(capsule: Path, tmp_path: Path) -> None:
    whole = capsule.read_bytes()
    for length in range(0, len(whole), max(len(whole) // 40, 1)):
        capsule.write_bytes(whole[:length])
        refused(call("absorb", capsule, tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()


def test_objects_that_dagster_cannot_read_are_the_versions_trouble(
    origin: Store, capsule: Path, tmp_path: Path
) -> None:
    payload = DebugRunPayload.build(
        origin.instance, origin.instance.get_run_by_id(origin.runs["letters"])
    )
    text = serialize_value(payload).replace('"StepSuccessData"', '"DataOfTomorrow"')
    capsule.write_bytes(gzip.compress(text.encode()))
    line = refused(call("absorb", capsule, tmp_path / "elsewhere"))
    assert "cannot read it, which was written with Dagster" in line


def test_events_that_dagster_cannot_read_are_refused_before_anything_is_stored(
    origin: Store, capsule: Path, tmp_path: Path
) -> None:
    changed(capsule, lambda text: text.replace('"StepSuccessData"', '"DataOfTomorrow"'))
    directory = tmp_path / "elsewhere"
    assert "cannot read events/" in refused(call("absorb", capsule, directory))
    assert not directory.exists()
    absorbed(extracted(origin, tmp_path / "other", "letters"), directory)
    before = head(directory)
    assert "cannot read events/" in refused(call("absorb", capsule, directory))
    assert head(directory) == before


def test_a_directory_that_is_no_store_is_refused(capsule: Path, tmp_path: Path) -> None:
    directory = tmp_path / "notes"
    directory.mkdir()
    (directory / "notes.txt").write_text("not a store")
    refused(call("absorb", capsule, directory))
    assert [each.name for each in directory.iterdir()] == ["notes.txt"]
