"""What an instance reads after a power cut is what it read before.

The engine's own tests draw every way in which a disk may be left; these do so to an instance with
every kind of command behind it.
"""

import random
import shutil
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.test_utils import instance_for_test

from python.entries import whole_block
from python.test_refold import Commands, differences

PAGE = 4096


def _last(data: bytes) -> int:
    """The last transaction that LMDB's meta pages name."""
    return max(int.from_bytes(data[at + 144 : at + 152], "little") for at in (0, PAGE))


class Disk:
    """Every version of each page since the file was last flushed whole."""

    def __init__(self, store: Path) -> None:
        self.data, self.journal = store / "data.mdb", store / "journal"
        self.generation = -1
        self.is_known = False
        self.pages: list[list[bytes]] = []

    def _base(self) -> tuple[int, int, int]:
        """Generation, transaction and nonce of the journal's base."""
        with self.journal.open("rb") as file:
            headers = file.read(2 * PAGE)
        numbers = [
            [int.from_bytes(headers[at + 8 * i :][:8], "little") for i in (2, 4, 3)]
            for at in (0, PAGE)
        ]
        generation, transaction, nonce = max(numbers)
        return generation, transaction, nonce

    def note(self, before: bytes) -> None:
        after = self.data.read_bytes()
        generation, transaction, nonce = self._base()
        if generation != self.generation:
            self.generation = generation
            flushed = {_last(before): before, _last(after): after}.get(transaction)
            # A command of several commits may have passed the base by.
            self.is_known = flushed is not None
            # Marked as the checkpoint's own before it was flushed.
            marked = bytearray(flushed or b"")
            marked[264:272] = nonce.to_bytes(8, "little")
            flushed = bytes(marked) if flushed else b""
            self.pages = [[flushed[at : at + PAGE]] for at in range(0, len(flushed), PAGE)]
        for number, at in enumerate(range(0, len(after), PAGE)):
            page = after[at : at + PAGE]
            if number == len(self.pages):
                self.pages.append([])
            if page not in self.pages[number]:
                self.pages[number].append(page)

    def image(self, choose: random.Random) -> bytes:
        return b"".join(choose.choice(versions) for versions in self.pages)


@pytest.mark.parametrize("seed", range(3))
def test_every_command_is_there_whatever_the_disk_took(
    whole: DagsterInstance, tmp_path: Path, seed: int
) -> None:
    choose = random.Random(seed)
    commands = Commands(whole, choose)
    disk = Disk(tmp_path / "history")
    images = 0
    for number in range(150):
        before = disk.data.read_bytes()
        if number % 50:
            choose.choice(commands.everything())()
        else:
            # Flushes the data file, and begins the journal anew.
            commands.log.resize(2**40)
        disk.note(before)
        if not disk.is_known or choose.random() > 0.1:
            continue
        images += 1
        image = tmp_path / "image"
        (image / "history").mkdir(parents=True)
        (image / "history" / "data.mdb").write_bytes(disk.image(choose))
        shutil.copy(disk.journal, image / "history")
        with instance_for_test(whole_block(image), temp_dir=str(image)) as recovered:
            after = Commands(recovered, choose)
            assert after.what_is_read() == commands.what_is_read()
            assert differences(after) == []
            assert after.log.stat()["head"] == commands.log.stat()["head"]
        shutil.rmtree(image)
    assert images > 5
