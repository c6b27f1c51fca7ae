"""The list of skips, as read from skips.toml."""

import sys
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Skip(NamedTuple):
    """Why a test of Dagster's skips here, and the file that has its twin."""

    reason: str
    twin: str | None = None


SKIPS = {
    test: Skip(**entry)
    for test, entry in tomllib.loads(Path(__file__).with_name("skips.toml").read_text()).items()
}
