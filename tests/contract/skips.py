"""The list of skips, as read from skips.toml."""

import sys
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Skip(NamedTuple):
    """Why a test of Dagster's skips here, and the name of its twin."""

    reason: str
    twin: str | None = None


#: By suite and test.
SKIPS = {
    (suite, test): Skip(**entry)
    for suite, tests in tomllib.loads(Path(__file__).with_name("skips.toml").read_text()).items()
    for test, entry in tests.items()
}


def is_listed(cls: type, test: str) -> bool:
    """Whether a test of a class is listed, under the name of Dagster's class that it comes from."""
    return any((suite.__name__, test) in SKIPS for suite in cls.__mro__)
