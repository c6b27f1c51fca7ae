"""Measures the event logs in one run on this machine, and prints one table with ratios.

Usage: python benches/run.py [--quick] [PYTEST_OPTION ...]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OURS = "LMDB"
PEERS = ["SQLite", "consolidated SQLite"]


def flush_time(directory: Path) -> float:
    """The median seconds that writing 4 KiB and flushing it takes on the disk of a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    times = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        file.write(bytes(4096))
        os.fsync(file.fileno())
        for _ in range(200):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(options: list[str]) -> list[dict[str, Any]]:
    """Runs the benches with pytest-benchmark, and gives its account of each."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", ROOT / "benches", "--quiet", "--no-header"),
                *("-o", "python_files=bench_*.py", "-o", "python_functions=bench_*"),
                *("-p", "no:cacheprovider", "-W", "ignore", "--timeout=1800"),
                *("--benchmark-quiet", "--benchmark-disable-gc"),
                f"--benchmark-json={report}",
                *options,
            ],
            cwd=ROOT,
            check=True,
            stdout=sys.stderr,
        )
        return json.loads(report.read_text())["benchmarks"]


def table(benchmarks: list[dict[str, Any]]) -> str:
    """One row a measure: the median of the turns on each storage, and the ratios."""
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    goals = {"on disk per event": 3}
    for benchmark in benchmarks:
        about = benchmark["extra_info"]
        storage = about["storage"]
        times[about["measure"]][storage].append(benchmark["stats"]["median"] * 1000)
        goals[about["measure"]] = about["goal"]
        for name, size in about.get("bytes", {}).items():
            sizes[name][storage].append(size)

    header = ["", OURS, *(column for peer in PEERS for column in (peer, "ratio")), "goal"]
    rows = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for unit, taken in ((" ms", times), (" B", sizes)):
        for name, by_storage in taken.items():
            medians = {storage: statistics.median(values) for storage, values in by_storage.items()}
            row = [name, amount(medians[OURS], unit)]
            for peer in PEERS:
                row += [amount(medians[peer], unit), f"{medians[peer] / medians[OURS]:.1f}"]
            rows.append([*row, str(goals.get(name, ""))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def amount(value: float, unit: str) -> str:
    """A figure with its unit."""
    return f"{value:,.{0 if unit == ' B' else 2}f}{unit}"


def main() -> None:
    directory = ROOT / ".cache" / "benches"
    before = flush_time(directory)
    benchmarks = measure(sys.argv[1:])
    after = flush_time(directory)
    print(f"\n{table(benchmarks)}\n")
    print(
        "A ratio says how many times ours a peer takes; the goal is for the first one.\n"
        "A flush (writing 4 KiB, then fdatasync) took "
        f"{before * 1000:.2f} ms here before the run and {after * 1000:.2f} ms after it."
    )


if __name__ == "__main__":
    main()
