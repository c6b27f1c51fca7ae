"""A class that changed between writing and reading is read as Dagster reads its own JSON."""

import dataclasses
import enum
import json
from typing import NamedTuple

import pytest
from dagster_shared.record import IHaveNew, record, record_custom
from dagster_shared.serdes import deserialize_value, serialize_value
from dagster_shared.serdes.serdes import (
    EnumSerializer,
    FieldSerializer,
    NamedTupleSerializer,
    SetToSequenceFieldSerializer,
    UnknownSerdesValue,
    WhitelistMap,
    _whitelist_for_serdes,
    pack_value,
)
from pydantic import BaseModel

from codec.oracle import check_reads_like_dagster, outcome
from dagster_lmdb._core import ShapeTable


def registry(*classes, **options) -> WhitelistMap:
    """A whitelist of its own; the last class has the options."""
    whitelist = WhitelistMap.create()
    for cls in classes:
        given = options if cls is classes[-1] else {}
        _whitelist_for_serdes(whitelist, **given)(cls)
    return whitelist


def check_written_and_read(value, writer: WhitelistMap, *readers: WhitelistMap) -> ShapeTable:
    """What one registry writes, others read like Dagster; the writer's own first."""
    table = ShapeTable(writer)
    text = serialize_value(value, whitelist_map=writer)
    body = table.encode(value)
    assert table.packed_json(body) == text
    for reader in (writer, *readers):
        check_reads_like_dagster(body, text, table.seen_by(reader), whitelist=reader)
    return table


class Inner(NamedTuple):
    x: object


def thing(**fields):
    """A class named Thing, as some version of Dagster has it."""
    return NamedTuple("Thing", list(fields.items()))


@record
class Written:
    name: str
    inner: Inner | None = None
    items: list[int] = []


def test_the_same_class_registered_anew_is_read_natively():
    cls = thing(a=object, b=object)
    other = thing(a=object, b=object)
    value = cls(Inner(1), [Inner({2})])
    table = check_written_and_read(value, registry(Inner, cls), registry(Inner, cls))
    read = table.seen_by(registry(Inner, other)).decode(table.encode(value))
    assert type(read) is other


def test_fields_added_removed_and_renamed():
    old = thing(a=object, b=object, c=object)
    new = NamedTuple("Thing", [("a", object), ("d", object)])
    new.__new__.__defaults__ = (None,)
    renamed = thing(a=object, bee=object)
    required = thing(a=object, z=object)
    value = [old(Inner(1), Inner(2), [3]), old(None, None, None)]
    check_written_and_read(
        value,
        registry(Inner, old),
        registry(Inner, new),
        registry(Inner, renamed, storage_field_names={"bee": "b"}),
        registry(Inner, required),  # fails for want of z, in Dagster's words
        registry(Inner, thing()),
        registry(old),  # Inner is unknown
        registry(Inner),  # Thing is unknown
        registry(Inner, new, storage_name="Other", old_storage_names={"Thing"}),
    )


def test_an_unknown_value_in_a_field_that_is_gone_is_forgotten():
    old = thing(a=object, b=object)
    new = thing(a=object)
    value = [old(1, [Inner(2)]), old(3, {"k": Inner(4)})]
    table = ShapeTable(registry(Inner, old))
    body = table.encode(value)
    text = serialize_value(value, whitelist_map=registry(Inner, old))
    reader = registry(new)
    assert outcome(lambda: deserialize_value(text, whitelist_map=reader))[1] is None
    check_reads_like_dagster(body, text, table.seen_by(reader), whitelist=reader)


def test_storage_names_old_fields_and_skipped_fields():
    cls = thing(a=object, b=object, c=object)
    options = {
        "storage_name": "OldThing",
        "storage_field_names": {"a": "zz", "b": "A"},
        "old_fields": {"gone": None, "Z": [1e-06, {"k": []}], "__a": "", "big": 10**30},
        "skip_when_empty_fields": {"b"},
        "skip_when_none_fields": {"c"},
    }
    small = {**options, "old_fields": {"gone": None, "Z": [1e-06, {"k": []}], "__a": ""}}
    for given in (options, small):
        for empty in (None, [], {}, set(), frozenset(), (), "", 0, 0.0, False, b"", Inner(())):
            value = [cls(1, empty, empty), cls(empty, [0], 0)]
            check_written_and_read(
                value, registry(Inner, cls, **given), registry(Inner, cls), registry(Inner)
            )


def test_an_old_field_that_the_constructor_still_takes():
    cls = NamedTuple("Thing", [("a", object)])

    class Thing(cls):
        def __new__(cls, a, gone=None):
            return super().__new__(cls, [a, gone])

    value = Thing.__mro__[1].__new__(Thing, 5)
    check_written_and_read(value, registry(Thing, old_fields={"gone": [7]}))


def test_old_fields_that_clash_with_fields():
    cls = thing(a=object, b=object)
    for options in (
        {"old_fields": {"a": 5}},
        {"storage_field_names": {"a": "b"}},
    ):
        whitelist = registry(cls, **options)
        table = ShapeTable(whitelist)
        text = serialize_value(cls(1, 2), whitelist_map=whitelist)
        body = table.encode(cls(1, 2))
        # The text has a key twice; a reader of it sees the last.
        assert json.loads(table.packed_json(body)) == json.loads(text)
        check_reads_like_dagster(body, text, table, whitelist=whitelist)


def test_records_and_their_constructors():
    whitelist = registry(Inner, Written)
    check_written_and_read(Written(name="a", inner=Inner(2)), whitelist)

    @record_custom(field_to_new_mapping={"stored": "given"})
    class Remapped(IHaveNew):
        stored: str
        more: int | None = None

        def __new__(cls, given: str, **kwargs):
            return super().__new__(cls, stored=given + "!", more=kwargs.get("more"))

    whitelist = registry(Remapped, kwargs_fields={"more"}, skip_when_none_fields={"more"})
    check_written_and_read([Remapped("x"), Remapped("x", more=3)], whitelist)

    @record
    class Picky:
        number: int

    @record(checked=False)
    class Careless:
        number: int

    sloppy = registry(Careless, storage_name="Picky")
    check_written_and_read(Careless(number="no"), sloppy, registry(Picky))


@dataclasses.dataclass
class Data:
    a: object
    b: object = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: object
    hidden: int = dataclasses.field(default=3, init=False)


class Model(BaseModel):
    a: object
    b: int = 2


class Aliased(BaseModel):
    from pydantic import Field

    a: int = Field(alias="other")


def test_dataclasses_and_models():
    data = Data(1, Inner(2))
    check_written_and_read(data, registry(Inner, Data), registry(Inner, Data, storage_name="X"))
    data.extra = [3]  # goes into __dict__, and so into the packed value
    check_written_and_read(data, registry(Inner, Data))
    check_written_and_read(Model(a=[1], b=5), registry(Model))
    check_written_and_read(Aliased(other=4), registry(Aliased))
    whitelist = registry(Frozen)
    check_written_and_read(Frozen(1), whitelist)


def test_a_class_that_reads_its_fields_in_its_own_way():
    class Thing(NamedTuple("Thing", [("a", object), ("b", object)])):
        def _asdict(self):
            return {"b": self.a, "a": self.b}

    class Iterated(NamedTuple("Iterated", [("a", object), ("b", object)])):
        def __iter__(self):
            return iter([1, 2])

    for cls in (Thing, Iterated):
        check_written_and_read(cls("x", "y"), registry(cls))


class Doubling(FieldSerializer):
    def pack(self, value, whitelist_map, descent_path):
        return [value, pack_value(value, whitelist_map, descent_path)]

    def unpack(self, value, whitelist_map, context):
        return value[0] if value[0] == value[1] else ("differ", value)


class Forgiving(FieldSerializer):
    def pack(self, value, whitelist_map, descent_path):
        return {"__class__": "NoLonger", "v": pack_value(value, whitelist_map, descent_path)}

    def unpack(self, value, whitelist_map, context):
        context.clear_ignored_unknown_values(value)
        return value.value["v"]


class Spoiling(FieldSerializer):
    """Meets something unknown while it unpacks."""

    def pack(self, value, whitelist_map, descent_path):
        return value

    def unpack(self, value, whitelist_map, context):
        from dagster_shared.serdes.serdes import _unpack_object

        return [_unpack_object({"__class__": "Gone"}, whitelist_map, context), value]


@pytest.mark.parametrize(
    "serializer", [Doubling, Forgiving, Spoiling, SetToSequenceFieldSerializer]
)
def test_field_serializers(serializer):
    cls = thing(a=object, b=object, c=object)
    whitelist = registry(Inner, cls, field_serializers={"b": serializer})
    values = (
        [{"s", "t"}] if serializer is SetToSequenceFieldSerializer else [Inner(1), [Inner({2})]]
    )
    for value in values:
        check_written_and_read(cls(0, value, [cls(1, value, 2)]), whitelist, registry(Inner, cls))


class Hoarding(NamedTupleSerializer):
    """Gives something unknown away that nobody has taken note of."""

    def unpack(self, unpacked_dict, whitelist_map, context):
        return UnknownSerdesValue("hoarded", unpacked_dict)


@pytest.mark.parametrize("before", [True, False])
def test_a_field_serializer_that_meets_something_unknown_makes_later_fields_checked(before):
    cls = thing(a=object, b=object)
    spoiled = {"field_serializers": {"a": Spoiling}, "storage_field_names": {"a": "z"}}
    whitelist = registry(cls, **(spoiled if before else {"field_serializers": {"a": Spoiling}}))
    _whitelist_for_serdes(whitelist, serializer=Hoarding)(Inner)
    value = cls(1, [Inner(2)])
    check_written_and_read(value, whitelist)
    reader = ShapeTable(whitelist)
    _, error = outcome(lambda: reader.decode(reader.encode(value)))
    assert ("hoarded" in str(error)) is not before


class Hooked(NamedTupleSerializer):
    def before_pack(self, value):
        return value._replace(a=[value.a])

    def before_unpack(self, context, unpacked_dict):
        unpacked_dict["b"] = ("was", unpacked_dict.pop("b", None))
        return unpacked_dict


class Recovering(NamedTupleSerializer):
    def handle_unpack_error(self, exc, context, storage_dict):
        return ("recovered", str(exc), dict(storage_dict))


class Itemizing(NamedTupleSerializer):
    def pack_items(self, *args, **kwargs):
        for key, value in super().pack_items(*args, **kwargs):
            yield (key, value) if key != "a" else ("anything", [value])

    def unpack(self, unpacked_dict, whitelist_map, context):
        return ("unpacked", unpacked_dict)


class Swapping(NamedTupleSerializer):
    def object_as_mapping(self, value):
        return {"b": value.a, "a": value.b}


class Naming(NamedTupleSerializer):
    def get_storage_name(self):
        return "Named"


@pytest.mark.parametrize("serializer", [Hooked, Recovering, Itemizing, Swapping, Naming])
def test_serializers_with_hooks(serializer):
    cls = thing(a=object, b=object)
    whitelist = registry(Inner, cls, serializer=serializer)
    values = [cls(1, Inner(2)), [cls(Inner({"x": cls(3, None)}), 4)]]
    for value in values:
        check_written_and_read(value, whitelist, registry(Inner, cls), registry(cls))


def test_a_constructor_that_fails_is_recovered_from():
    class Thing(NamedTuple("Thing", [("a", object), ("b", object)])):
        def __new__(cls, a, b):
            if b == "bad":
                raise ValueError("bad b")
            return super().__new__(cls, a, b)

    good = Thing(1, "good")
    bad = Thing.__mro__[1].__new__(Thing, 1, "bad")
    for serializer in (Recovering, NamedTupleSerializer):
        whitelist = registry(Thing, serializer=serializer)
        check_written_and_read([good, good], whitelist)
        check_written_and_read([good, bad, good], whitelist)


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Flags(enum.Flag):
    A = 1
    B = 2


class Lenient(EnumSerializer):
    def pack(self, value, whitelist_map, descent_path):
        return super().pack(value, whitelist_map, descent_path).lower()

    def unpack(self, value):
        return Color.RED


def test_enums_that_changed():
    newer = enum.Enum("Color", "GREEN BLUE")
    for options in ({}, {"serializer": Lenient}, {"storage_name": "Hue"}):
        writer = registry(Color, **options)
        check_written_and_read(
            [Color.RED, Color.BLUE, {Color.BLUE}],
            writer,
            registry(newer),
            registry(newer, storage_name="Hue"),
            registry(Inner),
        )
    check_written_and_read([Flags.A, Flags.A | Flags.B], registry(Flags))


def test_a_serializer_that_is_replaced_takes_effect_at_once():
    cls = thing(a=object, b=object)
    whitelist = registry(Inner, cls)
    table = ShapeTable(whitelist)
    value = cls(1, Inner(2))
    before = table.encode(value)
    assert table.decode(before) == table.decode(before) == value
    del whitelist.object_deserializers["Thing"]
    _whitelist_for_serdes(whitelist, serializer=Hooked)(cls)
    body = table.encode(value)
    text = serialize_value(value, whitelist_map=whitelist)
    assert table.packed_json(body) == text != table.packed_json(before)
    check_reads_like_dagster(body, text, table, whitelist=whitelist)
    check_reads_like_dagster(before, table.packed_json(before), table, whitelist=whitelist)
    whitelist.object_deserializers.clear()
    whitelist.object_serializers.clear()
    check_reads_like_dagster(before, table.packed_json(before), table, whitelist=whitelist)
    assert outcome(lambda: table.encode(value)) == outcome(
        lambda: serialize_value(value, whitelist_map=whitelist)
    )


def test_a_constructor_that_is_replaced_takes_effect_at_once(monkeypatch):
    cls = thing(a=object)
    whitelist = registry(cls)
    table = ShapeTable(whitelist)
    body = table.encode(cls(1))
    assert table.decode(body) == table.decode(body) == cls(1)
    monkeypatch.setattr(cls, "__new__", lambda cls, a: ("other", a))
    assert table.decode(body) == ("other", 1)


def test_another_class_of_the_same_name_is_written_by_its_own_fields():
    cls = thing(a=object, b=object)
    other = thing(b=object, c=object)
    whitelist = registry(cls)
    check_written_and_read([cls(1, 2), other(3, 4)], whitelist)
