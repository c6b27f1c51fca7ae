"""Every class and enum that Dagster's serdes knows goes through the codec as through serdes."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from codec.instances import CLASSES, ENUMS, FAILED_MODULES, WHITELIST, constructing, objects
from codec.oracle import check_like_dagster
from dagster_lmdb._core import ShapeTable

# Classes no instance of which Dagster itself can serialize; the codec must refuse them alike.
REFUSED_BY_DAGSTER = {
    "EventRecordsFilter": "its event_type is an enum that is not whitelisted",
    "RunStatusChangeRecordsFilter": "its event_type is an enum that is not whitelisted",
}

# What this installation lacks; anything else would leave classes out.
EXPECTED_MISSING = {
    "dagster.components.list",  # needs dagster_dg_core
}

TABLE = ShapeTable()
BODIES: dict[str, int] = {}
few = settings(
    max_examples=6,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", CLASSES)
def test_an_object_of_the_class_is_what_serdes_makes_of_it(name):
    BODIES[name] = 0

    @few
    @given(objects(CLASSES[name]))
    def check(instance):
        with constructing():
            body = check_like_dagster(instance, TABLE)
        BODIES[name] += body is not None

    check()
    assert bool(BODIES[name]) != (name in REFUSED_BY_DAGSTER)


@pytest.mark.parametrize("name", ENUMS)
def test_a_member_of_the_enum_is_what_serdes_makes_of_it(name):
    for member in ENUMS[name]:
        check_like_dagster(member, TABLE)
        check_like_dagster([member, {"member": member}], TABLE)


def test_no_class_is_left_out(record_property):
    registered = {ser.klass for ser in WHITELIST.object_serializers.values()}
    assert set(FAILED_MODULES) <= EXPECTED_MISSING
    assert registered == set(CLASSES.values())
    if len(BODIES) == len(CLASSES):  # all of this file ran
        packed = sum(BODIES.values())
        record_property("classes", len(BODIES))
        print(
            f"{len(BODIES)} classes, {len(ENUMS)} enums, {packed} objects, "
            f"{len(TABLE.shapes())} shapes; refused by Dagster: {sorted(REFUSED_BY_DAGSTER)}"
        )
        assert set(BODIES) == set(CLASSES)
    assert len(CLASSES) > 390
    assert len(ENUMS) > 25
