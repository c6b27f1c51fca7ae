"""The list of skips names what exists."""

from dagster_tests.storage_tests.utils import event_log_storage

from contract import test_event_log_twins
from contract.skips import SKIPS


def test_every_listed_skip_is_a_test_of_the_suite() -> None:
    unknown = [
        (suite, test)
        for suite, test in SKIPS
        if not hasattr(getattr(event_log_storage, suite, None), test)
    ]
    assert unknown == []


def test_every_twin_exists() -> None:
    twins = [skip.twin for skip in SKIPS.values() if skip.twin]
    assert [twin for twin in twins if not hasattr(test_event_log_twins, twin)] == []
