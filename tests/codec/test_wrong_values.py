"""Objects whose fields hold what their constructors would refuse, convert or fill in.

The codec builds most objects without calling their constructors. Here each field of each class in
turn is given values that the constructor may not like; what is read back, or the error, must be
Dagster's.
"""

import pytest
from dagster import AssetKey, AssetMaterialization, AssetObservation
from dagster._core.definitions.metadata import TextMetadataValue
from dagster_shared.serdes import deserialize_value, serialize_value
from dagster_shared.serdes.serdes import deserialize_values
from hypothesis import HealthCheck, Phase, given, settings

from codec.instances import CLASSES, constructing, objects
from codec.oracle import differs, outcome
from dagster_lmdb._core import ShapeTable

ODD = [
    None,
    "INFO",
    0,
    True,
    1.5,
    [3],
    {},
    {"dagster/partition/x": "a"},
    {"l": TextMetadataValue("t"), "m": 3},
    AssetKey("k"),
]
TUPLES = [name for name, cls in CLASSES.items() if issubclass(cls, tuple) and cls._fields]
TABLE = ShapeTable()


def drawn(cls):
    """A few instances of a class."""
    instances = []

    @settings(
        max_examples=2,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(objects(cls))
    def collect(instance):
        instances.append(instance)

    collect()
    return instances


@pytest.mark.parametrize("name", TUPLES)
def test_a_field_with_another_value_is_read_as_by_dagster(name):
    cls = CLASSES[name]
    *_, instance = drawn(cls)
    values = list(tuple.__iter__(instance))
    with constructing():
        for index in range(len(values)):
            for odd in ODD:
                changed = tuple.__new__(cls, [*values[:index], odd, *values[index + 1 :]])
                check_read_as_by_dagster(changed, (index, odd))


def check_read_as_by_dagster(value, what):
    """Asserts that what is read back of a value, or the error, is Dagster's."""
    text, refusal = outcome(lambda: serialize_value(value))
    if refusal is not None:
        return
    body = TABLE.encode(value)
    assert TABLE.packed_json(body) == text
    expected, error = outcome(lambda: deserialize_value(text))
    again, _ = outcome(lambda: deserialize_value(text))
    if differs(again, expected):
        return  # DagsterRun makes up a run id
    found, our_error = outcome(lambda: TABLE.decode(body))
    assert our_error == error, what
    assert differs(found, expected) is None, what


TAGS = [
    "",
    "a",
    "A.b-c_9",
    "a/b",
    "/b",
    "a/",
    "/",
    "a/b/c",
    "dagster/kind/python",
    "dagster/partition/x",
    "dagster/data_version",
    "x" * 63,
    "x" * 64,
    f"{'n' * 63}/{'x' * 63}",
    f"{'n' * 64}/x",
    "\u00e9",
    "a b",
    "a\n",
    "a/b\n",
]


@pytest.mark.parametrize("cls", [AssetMaterialization, AssetObservation])
def test_tags_of_an_assets_event_are_checked_as_by_dagster(cls):
    event = cls(AssetKey("a"), tags={"a": "b"})
    place = cls._fields.index("tags")
    values = list(tuple.__iter__(event))
    accepted = 0
    for key in TAGS:
        for value in [*TAGS, 3]:
            tags = {"unit": "cm", key: value}
            changed = tuple.__new__(cls, [*values[:place], tags, *values[place + 1 :]])
            check_read_as_by_dagster(changed, tags)
            accepted += outcome(lambda: cls(AssetKey("a"), tags=tags))[1] is None  # noqa: B023
    assert 0 < accepted < len(TAGS) ** 2


def test_values_are_read_again_after_an_error():
    good, bad = AssetKey("a"), tuple.__new__(AssetKey, (3,))
    table = ShapeTable()
    bodies = [table.encode(value) for value in (good, bad)]
    for _ in range(3):
        assert table.decode(bodies[0]) == good
        error = outcome(lambda: table.decode(bodies[1]))
        assert error == outcome(lambda: deserialize_value(serialize_value(bad)))
    assert table.decode_page(bodies[:1] * 3) == deserialize_values([serialize_value(good)] * 3)
