"""What part of a run of 30 assets on the multiprocess executor is the storage's, by profile.

Usage: python benches/share.py [--sqlite] [--rate HZ]

py-spy looks at all processes of the run, so many times a second, and at every thread that is not
idle there. A look counts as the storage's where a frame of it is on the stack. Imports
count as the run's, the storage's own ones too, which `make bench ROWS=import` measures.

A thread that waits is idle, also one that waits for a flush or another writer. So a second run is
looked at with all its threads, of which those count that are in the storage. Most of the others
wait for other processes, so that the share is of the first run's looks in both lines.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

#: Where frames of a storage come from.
OURS = ("dagster_lmdb/",)
SQLITE = ("dagster/_core/storage/", "sqlalchemy/", "sqlite3/")
IMPORTING = "<frozen importlib"


def run_assets(directory: Path, sqlite: bool) -> None:
    """The run itself, in the process that py-spy has started."""
    from benches import whole_runs
    from benches.whole_runs import instance_on
    from dagster import execute_job
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    block = {"module": "dagster_lmdb", "class": "DagsterLmdbStorage"}
    ours = {"custom": {**block, "config": {"base_dir": str(directory / "history")}}}
    repository = ReconstructableRepository.for_file(whole_runs.__file__, "defs")
    job = repository.get_reconstructable_job("thirty_assets")
    with (
        instance_on(None if sqlite else ours, directory) as instance,
        execute_job(job, instance) as result,
    ):
        assert result.success


def share(stacks: str, of: tuple[str, ...]) -> tuple[int, int]:
    """Looks at a storage, and all looks; each line is a stack and how often it was met."""
    storage = everything = 0
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        everything += int(count)
        frames = stack.split(";")
        last_import = max((n for n, frame in enumerate(frames) if IMPORTING in frame), default=-1)
        if any(path in frame for frame in frames[last_import + 1 :] for path in of):
            storage += int(count)
    return storage, everything


def looks(sqlite: bool, rate: int, *options: str) -> tuple[int, int]:
    """Looks at the storage, and all looks, of one run that py-spy starts."""
    with tempfile.TemporaryDirectory() as directory:
        stacks = Path(directory, "stacks")
        run = [sys.executable, "-W", "ignore", __file__, "--run", Path(directory, "instance")]
        profiled = subprocess.run(
            [
                *(Path(sys.executable).with_name("py-spy"), "record", "--subprocesses", *options),
                *("--full-filenames", "--format", "raw", "--rate", str(rate)),
                *("--output", stacks, "--", *run),
                *(["--sqlite"] if sqlite else []),
            ],
            capture_output=True,
            text=True,
        )
        if profiled.returncode:
            raise SystemExit(profiled.stderr)
        return share(stacks.read_text(), SQLITE if sqlite else OURS)


def main() -> None:
    parser = argparse.ArgumentParser(description="The storage's share of a run, by profile.")
    parser.add_argument("--sqlite", action="store_true", help="Dagster's default instead of ours")
    parser.add_argument("--rate", type=int, default=100, help="looks a second")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_assets(arguments.run, arguments.sqlite)
        return
    storage, everything = looks(arguments.sqlite, arguments.rate)
    print(f"{storage:,} of {everything:,} looks: {100 * storage / everything:.1f} %")
    with_waits, _ = looks(arguments.sqlite, arguments.rate, "--idle")
    print(f"with what waits there: {with_waits:,} looks, {100 * with_waits / everything:.1f} %")


if __name__ == "__main__":
    main()
