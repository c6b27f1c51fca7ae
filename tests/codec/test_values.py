"""Scalars and collections at their edges: the codec makes of them what serdes makes."""

import collections
import enum
import inspect
import sys
import types

import pytest
from dagster import AssetKey, DagsterRunStatus, MetadataValue
from dagster._core.definitions.metadata import JsonMetadataValue
from dagster_shared.serdes import deserialize_value, serialize_value
from dagster_shared.serdes.serdes import SerializableNonScalarKeyMapping
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.oracle import check_like_dagster, differs
from dagster_lmdb._core import ShapeTable


class Text(str):
    pass


class Number(int):
    pass


class Ratio(float):
    """As numpy's float64 is one."""


class Named(str, enum.Enum):
    A = "a"


class Items(list):
    pass


class Table(dict):
    pass


def label(value) -> str:
    try:
        return ascii(value)[:40]
    except ValueError:
        return "huge"


PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    127,
    128,
    -32,
    -33,
    -128,
    -129,
    2**15,
    -(2**15) - 1,
    2**31,
    -(2**31) - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    10**400,
    -(10**400),
    0.0,
    -0.0,
    0.1,
    1e16,
    1e-5,
    5e-324,
    sys.float_info.max,
    float("inf"),
    float("-inf"),
    float("nan"),
    -float("nan"),
    "",
    "a",
    "x" * 31,
    "x" * 32,
    "x" * 255,
    "x" * 256,
    "x" * 65536,
    "é€😀",
    '\x00\x1f\x7f\x80"\\/\b\f\n\r\t\u2028',
    "\ud800",
    "a\udfffb",
    "\ud83d\ude00",
    "\ude00\ud83d",
    "\ud83d\ud83d\ude00\ude00",
    Text("text"),
    Text("\ud800"),
    [],
    {},
    (),
    (1, (2, "3")),
    b"",
    b"\x00\xff",
    bytearray(b"ab"),
    range(3),
    collections.deque([1, 2]),
    Items([1]),
    Table(a=1),
    collections.OrderedDict(b=1, a=2),
    collections.UserDict(b=1, a=2),
    collections.ChainMap({"a": 1}, {"b": 2}),
    types.MappingProxyType({"z": 1, "a": 2}),
    set(),
    frozenset(),
    {3, 20, 100},
    {"b", "a", Text("c")},
    frozenset([1.5, "x", None]),
    {AssetKey("b"), AssetKey("a")},
    DagsterRunStatus.SUCCESS,
    {"b": 1, "a": 2, "é": 3, "\U0001f600": 4, "\uffff": 5},
]


@pytest.mark.parametrize("value", PLAIN, ids=label)
def test_a_value_alone_and_nested_is_what_serdes_makes_of_it(value):
    table = ShapeTable()
    check_like_dagster(value, table)
    check_like_dagster([value, {"key": value}], table)
    check_like_dagster(SerializableNonScalarKeyMapping({AssetKey("k"): value}), table)
    check_like_dagster(JsonMetadataValue({"inner": value}) if jsonable(value) else None, table)


def jsonable(value) -> bool:
    try:
        JsonMetadataValue({"inner": value})
    except Exception:
        return False
    return True


REFUSED = [
    Number(3),
    Ratio(1.5),
    1j,
    object(),
    AssetKey,
    Named.A,
    {Named.A},
    [{"a": object()}],
    {"a": {"b": [1, Ratio(2.0)]}},
    collections.namedtuple("Unknown", "x")(1),
    {"k": (1, collections.namedtuple("Unknown", "x")(1))},
    {1, "a", Number(5)},
    (item for item in ()),
    10**5000,
    {"a": 1, 2: 3},
    {None: 1, "a": 2},
    {(1, 2): 3},
    {AssetKey("a"): 1},
    {b"a": 1},
    {1j: 1},
]


@pytest.mark.parametrize("value", REFUSED, ids=label)
def test_what_serdes_refuses_is_refused_with_its_words(value):
    assert check_like_dagster(value) is None
    assert check_like_dagster({"outer": [value]}) is None


class Level(enum.IntEnum):
    LOW = 7


ODD_KEYS = [
    {1: "a"},
    {2: "b", 1: "a", 10: "c"},
    {True: 1},
    {True: 1, False: 0, 5: 2},
    {None: 1},
    {1.5: 1, 1e16: 2, -0.0: 3, 2: 4},
    {float("nan"): 1},
    {float("nan"): 1, float("nan"): 2},
    {float("inf"): 1, float("-inf"): 2},
    {Ratio(2.5): 1},
    {Number(3): 1},
    {Level.LOW: 1},
    {2**70: 1, -(2**70): 2},
    {Named.A: 1},
    {Text("b"): 1, "a": 2},
    {"\ud800": 1, "a": 2},
    {"\ud83d\ude00": "pair", "😀": "character", "z": 0},
    {"": 0},
    {"__other__": 1},
]


@pytest.mark.parametrize("value", ODD_KEYS, ids=label)
def test_keys_are_ordered_and_converted_as_json_does(value):
    table = ShapeTable()
    body = table.encode(value)
    expected = deserialize_value(serialize_value(value))
    assert differs(table.decode(body), expected) is None
    assert differs(deserialize_value(table.packed_json(body)), expected) is None
    check_like_dagster(SerializableNonScalarKeyMapping(value), table)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.sets(st.text(max_size=3) | st.integers(), max_size=4)
        | st.lists(inner, max_size=3).map(
            lambda items: SerializableNonScalarKeyMapping(
                {AssetKey([str(index)]): item for index, item in enumerate(items)}
            )
        )
    ),
    max_leaves=20,
)
TABLE = ShapeTable()


@settings(max_examples=300, deadline=None, database=None)
@given(values)
def test_any_value_is_what_serdes_makes_of_it(value):
    check_like_dagster(value, TABLE)


def test_strings_of_megabytes():
    table = ShapeTable()
    for value in ("x" * 5_000_000, "é😀" * 1_000_000, "\ud800" * 300_000):
        body = table.encode([value])
        assert table.decode(body) == [value]
        assert table.packed_json(body) == serialize_value([value])
    assert len(table.encode("x" * 5_000_000)) == 5_000_005


def test_many_items():
    for value in (list(range(70_000)), {f"{key:05}": key for key in range(70_000)}):
        check_like_dagster(value)


WRAPPERS = [
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: (value,),
    lambda value: SerializableNonScalarKeyMapping({AssetKey("a"): value}),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_nesting_ends_as_a_recursion_error(wrap):
    layers = [None]
    for _ in range(20_000):
        layers.append(wrap(layers[-1]))
    check_like_dagster(layers[60])
    with pytest.raises(RecursionError):
        serialize_value(layers[-1])
    with pytest.raises(RecursionError):
        ShapeTable().encode(layers[-1])
    while layers:  # from the outside in: freeing it all at once is recursion too
        layers.pop()


def test_nesting_has_a_limit_of_its_own():
    table = ShapeTable()
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        value = []
        for _ in range(1000):
            value = [value]
        body = table.encode(value)
        assert table.decode(body) == value
        assert table.packed_json(body).count("[") == 1001
        for _ in range(1000):
            value = [value]
        with pytest.raises(RecursionError, match="1024"):
            table.encode(value)
    finally:
        sys.setrecursionlimit(old)
    for body in (b"\x91" * 200_000, b"\x81\xa1a" * 200_000, b"\x92\xd4\x04\x00" * 200_000):
        with pytest.raises((RecursionError, ValueError), match=r"deep|recursion"):
            table.decode(body)
        with pytest.raises(ValueError, match="deep"):
            table.packed_json(body)


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Python counts C and Python frames apart from 3.12 on"
)
def test_nesting_beside_a_deep_stack_is_a_recursion_error_too():
    table = ShapeTable()
    value = []
    for _ in range(200):
        value = [value]
    body = table.encode(value)

    def ends(call) -> bool:
        try:
            call()
        except RecursionError:
            return True
        return False

    def descend(left: int) -> tuple[bool, bool]:
        if left:
            return descend(left - 1)
        return ends(lambda: table.encode(value)), ends(lambda: table.decode(body))

    depth = len(inspect.stack())
    assert descend(sys.getrecursionlimit() - depth - 100) == (True, True)
    assert descend(0) == (False, False)


def test_a_list_that_shrinks_while_it_is_read():
    items = []

    class Shrinking(collections.UserList):
        def __iter__(self):
            items.clear()
            return iter([1])

    items[:] = [Shrinking(), 2, 3]
    with pytest.raises((RuntimeError, IndexError)):
        ShapeTable().encode(items)
    mapping = {"a": Shrinking(), "b": 1}
    assert ShapeTable().decode(ShapeTable().encode([1])) == [1]
    ShapeTable().encode(mapping)


def test_metadata_of_every_kind():
    from dagster import AssetObservation

    from codec.builders import metadata

    kinds = set()

    @settings(max_examples=60, deadline=None, database=None)
    @given(metadata(2))
    def check(drawn):
        kinds.update(type(value) for value in drawn.values())
        check_like_dagster(AssetObservation("a", metadata=drawn), TABLE)

    check()
    assert len(kinds) > 12
    assert MetadataValue.text("x").__class__ in kinds
