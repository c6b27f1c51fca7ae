"""Changes a quiet store from outside, by docs/format.md, with LMDB and MessagePack alone.

The journal goes before: it leads back to before the change.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import msgpack

EVENT = 2
#: Place of the body among an event's fields.
BODY = 8


def crc32c(data: bytes) -> int:
    """CRC-32C, bit by bit: RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@contextmanager
def tree(directory: Path, name: str) -> Iterator[Any]:
    """A write transaction with one of the store's trees as its default."""
    (directory / "journal").unlink(missing_ok=True)
    with lmdb.open(str(directory), lock=False, max_dbs=64) as environment:
        database = environment.open_db(name.encode(), create=False)
        with environment.begin(write=True, db=database) as transaction:
            yield transaction


def drop_tree(directory: Path, name: str) -> None:
    """Takes one of the store's trees away."""
    (directory / "journal").unlink(missing_ok=True)
    with lmdb.open(str(directory), lock=False, max_dbs=64) as environment:
        database = environment.open_db(name.encode(), create=False)
        with environment.begin(write=True) as transaction:
            transaction.drop(database)


def change_meta(directory: Path, **fields: Any) -> None:
    """Sets fields of the meta row."""
    with tree(directory, "meta") as transaction:
        row = msgpack.unpackb(transaction.get(b"store"))
        assert set(fields) <= set(row)
        transaction.put(b"store", msgpack.packb({**row, **fields}))


def change_event(directory: Path, sequence: int, change: Callable[[list[Any]], None]) -> None:
    """Changes an event's fields, and makes the checksum right again."""
    key = struct.pack(">Q", sequence)
    with tree(directory, "log") as transaction:
        frame = transaction.get(key)
        assert frame[0] == 1
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(frame[5:])
        kind, fields = unpacker.unpack(), unpacker.unpack()
        assert kind == EVENT
        change(fields)
        payload = msgpack.packb(kind) + msgpack.packb(fields)
        transaction.put(key, b"\1" + struct.pack("<I", crc32c(payload)) + payload)


def flip_bit(directory: Path, within: bytes) -> None:
    """Flips one bit of the bytes that the data file holds once."""
    (directory / "journal").unlink(missing_ok=True)
    path = directory / "data.mdb"
    content = path.read_bytes()
    assert content.count(within) == 1
    place = content.index(within) + len(within) // 2
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([content[place] ^ 4]))
