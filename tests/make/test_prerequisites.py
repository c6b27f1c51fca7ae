"""A prerequisite that is missing gets one line that names it and how to get it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "prerequisites.sh"
SHELL_TOOLS = ["dirname", "head", "printf", "sed", "sort"]

Install = Callable[[str, str], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with a shell's tools and nothing else."""
    for directory in os.get_exec_path():
        for tool in SHELL_TOOLS:
            found, link = Path(directory, tool), tmp_path / tool
            if found.exists() and not link.exists():
                link.symlink_to(found)
    return tmp_path


@pytest.fixture
def install(path: Path) -> Install:
    """Puts a command on the PATH that is the given lines of shell."""

    def install(name: str, lines: str) -> None:
        (path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (path / name).chmod(0o755)

    return install


@pytest.fixture
def complete(path: Path, install: Install) -> None:
    """All the prerequisites."""
    (path / "python3").symlink_to(sys.executable)
    install("cc", "exit 0")
    install("cargo", "echo 'cargo 1.95.0 (f2d3ce0bd 2026-03-21)'")


def lacks(path: Path, *needs: str) -> str:
    """What the script says on that PATH, as the Makefile calls it."""
    asked = subprocess.run(
        ["/bin/sh", SCRIPT, *needs], env={"PATH": str(path)}, capture_output=True, text=True
    )
    assert asked.stderr == ""
    assert len(asked.stdout.splitlines()) == bool(asked.returncode)
    return asked.stdout


@pytest.mark.usefixtures("complete")
def test_a_machine_with_everything_lacks_nothing(path: Path) -> None:
    assert lacks(path, "python", "rust", "lint") == ""


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("python3", "install Python 3.10 or newer"),
        ("cc", "apt install gcc"),
        ("cargo", "https://rustup.rs"),
    ],
)
def test_a_missing_command_is_named_with_its_remedy(path: Path, command: str, remedy: str) -> None:
    (path / command).unlink()
    line = lacks(path, "python", "rust")
    assert line.startswith(command)
    assert remedy in line


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("command", "behaviour", "line"),
    [
        ("python3", "exit 1", "python3 is older than Python 3.10"),
        ("python3", 'case "$2" in *ensurepip*) exit 1 ;; esac', "python3 has no venv module"),
        ("cc", "exit 1", "cc finds no C headers"),
        ("cargo", "echo 'cargo 1.63.0 (fd9c4297c 2022-07-01)'", "cargo 1.63 is older than Rust"),
    ],
)
def test_a_command_that_falls_short_is_named_with_its_remedy(
    path: Path, install: Install, command: str, behaviour: str, line: str
) -> None:
    (path / command).unlink()
    install(command, behaviour)
    said = lacks(path, "python", "rust")
    assert said.startswith(line)
    assert "; " in said


@pytest.mark.usefixtures("complete")
def test_lint_asks_for_rustfmt_and_clippy(path: Path, install: Install) -> None:
    install("cargo", 'case "$1" in clippy) exit 1 ;; esac')
    assert lacks(path, "lint").startswith("cargo clippy is missing")
