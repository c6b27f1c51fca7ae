"""What importing the package takes."""

import pytest
from benches.child import Child
from benches.conftest import Bench, limit
from benches.names import OURS


@pytest.mark.peers(OURS)
def bench_import(bench: Bench) -> None:
    """Importing the package in a process that has imported Dagster; the least of several."""
    bench.note("import of dagster_lmdb beyond dagster's", limit(at_most=0.030))
    times = 2 if bench.quick else 5
    modules = Child("needed").end().split()
    bench.value(
        lambda: min(float(Child("imported", "dagster", *modules).end()) for _ in range(times)), "s"
    )
