"""The oracle: Dagster's serdes, and a comparison that is stricter than `==`."""

import dataclasses
import json
import math

from dagster_shared.serdes import deserialize_value, serdes, serialize_value
from dagster_shared.serdes.errors import DeserializationError
from pydantic import BaseModel

from dagster_lmdb._core import ShapeTable


def differs(found, expected, where: str = "value") -> str | None:
    """Where two values differ: in type, in a float's bits, in a dict's order, in anything."""
    if type(found) is not type(expected):
        return f"{where}: {type(found)} for {type(expected)}"
    if isinstance(expected, float):
        same = math.copysign(1, found) == math.copysign(1, expected) or math.isnan(expected)
        equal = found == expected or (math.isnan(found) and math.isnan(expected))
        return None if same and equal else f"{where}: {found!r} for {expected!r}"
    if isinstance(expected, tuple):
        return differs(list(tuple.__iter__(found)), list(tuple.__iter__(expected)), where)
    if isinstance(expected, list):
        if len(found) != len(expected):
            return f"{where}: {len(found)} items for {len(expected)}"
        pairs = enumerate(zip(found, expected, strict=True))
        return first(differs(a, b, f"{where}[{index}]") for index, (a, b) in pairs)
    if isinstance(expected, dict):
        items = zip(found.items(), expected.items(), strict=False)
        return differs(list(found), list(expected), f"{where}: keys") or first(
            differs(ours, value, f"{where}[{key!r}]") for (_, ours), (key, value) in items
        )
    if isinstance(expected, BaseModel) or dataclasses.is_dataclass(expected):
        return differs(vars(found), vars(expected), where)
    if isinstance(expected, BaseException):
        return differs(list(found.args), list(expected.args), where)
    if found == expected:
        return None
    if type(expected).__eq__ is object.__eq__:
        return differs(vars(found), vars(expected), where)
    return f"{where}: {found!r} for {expected!r}"


def first(differences) -> str | None:
    return next((difference for difference in differences if difference), None)


def outcome(call):
    """What a call gives: its value, or the error's type and words."""
    try:
        return call(), None
    except Exception as error:
        words = str(error)
        if isinstance(error, DeserializationError):
            # Dagster joins its complaints in the order of a set of objects.
            words = sorted(words.replace("\n", ",").split(","))
        return None, (type(error), words)


def check_like_dagster(value, table: ShapeTable | None = None, facets=None) -> bytes | None:
    """Holds the codec against Dagster's serdes for one value; its body, if it has one."""
    table = table or ShapeTable()
    text, refusal = outcome(lambda: serialize_value(value))
    body, our_refusal = outcome(lambda: table.encode(value, facets))
    assert our_refusal == refusal
    if refusal is not None:
        return None
    printed = table.packed_json(body, facets)
    assert json_tree(printed) == json_tree(text)
    assert printed == text
    check_reads_like_dagster(body, text, table, facets)
    return body


def check_reads_like_dagster(body, text: str, table: ShapeTable, facets=None, whitelist=None):
    """Holds what is read from a body against what Dagster reads from its text.

    Twice, since the first construction of a class is Dagster's own.
    """
    whitelist = whitelist or serdes._WHITELIST_MAP
    for _ in range(2):
        expected, error = outcome(lambda: deserialize_value(text, whitelist_map=whitelist))
        found, our_error = outcome(lambda: table.decode(body, facets))
        assert our_error == error
        assert differs(found, expected) is None


def json_tree(text: str):
    """JSON as nested pairs: with the order of keys, with NaN equal to itself."""
    return json.loads(
        text,
        object_pairs_hook=lambda pairs: ("object", *pairs),
        parse_constant=lambda name: ("constant", name),
        parse_float=lambda digits: ("float", digits),
    )
