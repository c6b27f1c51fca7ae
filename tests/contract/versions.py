"""Runs tests/contract with the oldest and the newest Dagster supported, and prints a table.

Each version has a virtual environment of its own in .cache/contract, with a wheel of this project.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "contract"
CONTRACT = ROOT / "tests" / "contract"


def supported() -> tuple[str, str]:
    """The oldest Dagster supported and the whole requirement, as pyproject.toml has them."""
    dependency = re.search(r'"(dagster>=([\d.]+),<[\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert dependency, "pyproject.toml has no bounded dependency on dagster"
    return dependency[2], dependency[1]


def build_wheel() -> Path:
    """Builds the wheel that every environment installs."""
    dist = CACHE / "dist"
    for old in dist.glob("*.whl"):
        old.unlink()
    maturin = [Path(sys.executable).with_name("maturin"), "build", "--quiet", "--locked"]
    subprocess.run([*maturin, "--release", "--out", dist], cwd=ROOT, check=True)
    return next(dist.glob("*.whl"))


def environment(name: str, requirement: str, wheel: Path) -> Path:
    """Makes or refreshes the environment of one version, and gives its interpreter."""
    python = CACHE / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", CACHE / name], check=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
    subprocess.run(
        [*pip, "--upgrade", "--group", f"{ROOT}/pyproject.toml:test", requirement, wheel],
        check=True,
    )
    subprocess.run([*pip, "--force-reinstall", "--no-deps", wheel], check=True)
    return python


def run_contract(python: Path) -> tuple[str, dict[str, int]]:
    """Runs the contract in one environment, and counts what came of it."""
    version = subprocess.run(
        [python, "-c", "import dagster; print(dagster.__version__)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        pytest = [python, "-m", "pytest", CONTRACT, "--quiet", "--no-header"]
        subprocess.run(
            [*pytest, "-p", "no:cacheprovider", "-W", "ignore", f"--junit-xml={report}"],
            cwd=ROOT,
            check=False,
        )
        suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    skipped = counts["skipped"]
    return version, {
        "passed": counts["tests"] - failed - skipped,
        "skipped": skipped,
        "failed": failed,
    }


def main() -> int:
    floor, requirement = supported()
    wheel = build_wheel()
    rows = [
        run_contract(environment(name, wanted, wheel))
        for name, wanted in (("floor", f"dagster=={floor}"), ("newest", requirement))
    ]
    print("\n| dagster | passed | skipped | failed |\n| --- | ---: | ---: | ---: |")
    for version, counts in rows:
        print(f"| {version} | {counts['passed']} | {counts['skipped']} | {counts['failed']} |")
    return int(any(counts["failed"] or not counts["passed"] for _, counts in rows))


if __name__ == "__main__":
    sys.exit(main())
