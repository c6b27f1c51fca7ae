"""Dagster's own test suites, which its source distribution carries and its wheel does not."""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "dagster_tests"


def fetch_suites(version: str, cache: Path = CACHE) -> Path:
    """Brings the suites of one Dagster version onto this machine, through pip and its settings.

    Safe with several processes at once: each fetches into a directory of its own, and the first
    to finish names it.

    Args:
        version: The version of Dagster, as in ``1.13.26``.
        cache: Where fetched suites are kept.

    Returns:
        The directory to put on ``sys.path``; it holds the package ``dagster_tests`` alone.

    Raises:
        RuntimeError: If pip cannot fetch the source distribution; pip's own words follow.
    """
    suites = cache / version
    if suites.is_dir():
        return suites
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"{version}-") as scratch:
        fetched = Path(scratch, "fetched")
        unpacked = Path(scratch, "unpacked")
        _download(version, fetched)
        _unpack(next(fetched.glob("dagster-*.tar.gz")), unpacked)
        try:
            unpacked.rename(suites)
        except OSError:
            if not suites.is_dir():
                raise
    return suites


def _download(version: str, into: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    fetch = subprocess.run(
        [*pip, "--no-binary", "dagster", "--dest", str(into), f"dagster=={version}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if fetch.returncode:
        raise RuntimeError(
            f"Dagster's suites come with its source distribution, and pip could not fetch that of "
            f"{version}:\n{fetch.stdout}"
        )


def _unpack(sdist: Path, into: Path) -> None:
    with tarfile.open(sdist) as archive:
        for member in archive:
            _, *path = Path(member.name).parts
            content = archive.extractfile(member)
            if content is None or path[:1] != ["dagster_tests"] or ".." in path:
                continue
            target = into.joinpath(*path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
