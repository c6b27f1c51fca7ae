"""Reads a quiet store by docs/format.md alone: no module of this project is imported.

Run as a program: ``python reader.py DIR`` prints one JSON line a record, as
``{"sequence": ..., "kind": ..., "fields": [...], "packed": packed value or null}``.
"""

import json
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import lmdb
import msgpack

EVENT = 2
DOCUMENT = 11
SHAPE_DEFINED = 1
ABSENT = object()


def crc32c(data: bytes) -> int:
    """CRC-32C, bit by bit: RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def records(directory: str) -> Iterator[tuple[int, int, list[Any]]]:
    """Sequence, kind and fields of every record."""
    with (
        lmdb.open(directory, lock=False, readonly=True, max_dbs=64) as environment,
        environment.begin() as transaction,
    ):
        log = environment.open_db(b"log", txn=transaction, create=False)
        for key, frame in transaction.cursor(db=log):
            checksum, payload = struct.unpack("<I", frame[1:5])[0], frame[5:]
            if frame[0] != 1 or crc32c(payload) != checksum:
                raise ValueError(f"frame {key.hex()} is damaged")
            unpacker = msgpack.Unpacker(use_list=True, strict_map_key=False)
            unpacker.feed(payload)
            yield struct.unpack(">Q", key)[0], unpacker.unpack(), unpacker.unpack()


def packed(body: bytes, facets: Sequence[Any], shapes: Sequence[list[Any]]) -> Any:
    """The packed JSON value of a body."""
    return _value(
        msgpack.unpackb(body, ext_hook=msgpack.ExtType, strict_map_key=False), facets, shapes
    )


def _value(value: Any, facets: Sequence[Any], shapes: Sequence[list[Any]]) -> Any:
    def inner(item: Any) -> Any:
        return _value(item, facets, shapes)

    if isinstance(value, msgpack.ExtType):
        return _extension(value, facets, shapes)
    if isinstance(value, dict):
        return {inner(key): inner(item) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    head = value[0] if value else None
    if not isinstance(head, msgpack.ExtType) or head.code not in (1, 4, 5, 6):
        return [inner(item) for item in value]
    items = [inner(item) for item in value[1:]]
    if head.code == 4:
        return {"__set__": items}
    if head.code == 5:
        return {"__frozenset__": items}
    if head.code == 6:
        return {
            "__mapping_items__": [list(pair) for pair in zip(items[::2], items[1::2], strict=True)]
        }
    _, name, fields, constants, _ = shapes[int.from_bytes(head.data, "big")]
    present = {field: item for field, item in zip(fields, items, strict=True) if item is not ABSENT}
    return {"__class__": name, **present, **(json.loads(constants) if constants else {})}


def _extension(value: msgpack.ExtType, facets: Sequence[Any], shapes: Sequence[list[Any]]) -> Any:
    if value.code == 2:
        return ABSENT
    if value.code == 3:
        return {"__enum__": shapes[int.from_bytes(value.data, "big")][1]}
    if value.code == 7:
        return int(value.data)
    if value.code == 8:
        return value.data.decode("utf-8", "surrogatepass")
    if value.code == 9:
        return facets[value.data[0]]
    raise ValueError(f"extension type {value.code} is not in docs/format.md")


def main(directory: str) -> None:
    shapes: list[list[Any]] = []
    for sequence, kind, fields in records(directory):
        value = None
        if kind == SHAPE_DEFINED:
            ordinal, shape = fields
            assert ordinal == len(shapes), "ordinals are dense"
            shapes.append(shape)
        elif kind == EVENT:
            time, run_id, event_type, step_key, job_name, _level, asset, _check, body = fields[:9]
            partition = asset[1] if asset else None
            facets = [run_id, job_name, step_key, event_type, time, partition]
            value = packed(body, facets, shapes)
            fields = fields[:8] + fields[9:]
        elif kind == DOCUMENT and (state := fields[5]):
            value = packed(state[2], [], shapes)
            fields = [*fields[:5], state[:2]]
        print(json.dumps({"sequence": sequence, "kind": kind, "fields": fields, "packed": value}))


if __name__ == "__main__":
    main(sys.argv[1])
    assert not [name for name in sys.modules if name.startswith("dagster")], "by the page alone"
