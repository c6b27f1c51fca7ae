"""Draws the pictures of the documentation from real runs, by the real commands.

``python docs/pictures/render.py`` makes stores with runs of ``definitions.py``, calls
``dagster-lmdb`` in a terminal of its own, and leaves what it shows as SVG here; a trace is drawn
from its JSON. Files in stacks are named without the directories of the machine. ``as_of.png`` is a
screenshot that ``tests/deployment/test_time_travel.py`` keeps.
"""

import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from fcntl import ioctl
from html import escape
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, execute_job
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.test_utils import (
    create_test_daemon_workspace_context,
    instance_for_test,
    load_remote_repo,
)
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
DEFINITIONS = HERE / "definitions.py"
WIDTH, HEIGHT = 110, 30

# Where a program leaves the terminal's other screen; what it prints then stays.
_LEAVES_SCREEN = "\x1b[?1049l"

# What reads the exported files.
_COUNTED = (
    "import polars as pl; print("
    "pl.read_parquet('tables/events')['event_type'].value_counts(sort=True).head(5))"
)

_SLICES = {
    "queue wait": "#c9c9c9",
    "start-up": "#9ec5e8",
    "execution": "#5b8def",
    "slot wait": "#f2c14e",
    "process start-up": "#9ec5e8",
    "resources": "#7aa6c2",
    "attempt": "#4caf7d",
    "retry wait": "#c9c9c9",
    "load input": "#8e7cc3",
    "compute": "#6aa84f",
    "handle output": "#c27ba0",
    "after output": "#a8a8a8",
}


def shown(*arguments: object) -> str:
    """What ``dagster-lmdb`` leaves on a terminal, as text with escapes.

    Raises:
        SystemExit: If it fails.
    """
    pid, descriptor = pty.fork()
    if pid == 0:
        # Where progress goes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        command = [sys.executable, "-m", "dagster_lmdb", *map(str, arguments)]
        os.execve(command[0], command, environment)
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    written = b""
    while select.select([descriptor], [], [], 120)[0]:
        try:
            read = os.read(descriptor, 65536)
        except OSError:
            break
        if not read:
            break
        written += read
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    text = written.decode().rpartition(_LEAVES_SCREEN)[2]
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(text)
    text = text.replace("\r\n", "\n").replace(f"{HERE}/", "")
    text = re.sub(r"/[^ ]*(?=/storage/)", "/srv/dagster", text)
    return re.sub(r'(?<=File ")/[^"…]*/(site-packages|lib/python3\.\d+)/', "", text)


def picture(name: str, title: str, text: str) -> None:
    """Draws what a terminal shows."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(text), soft_wrap=False)
        path = HERE / f"{name}.svg"
        path.write_text(console.export_svg(title=title, unique_id=name))
    print(path)


def trace_picture(name: str, events: Sequence[dict[str, Any]]) -> None:
    """Draws the slices and instants of a trace: run below run, and in a run lane below lane."""
    named = {
        (each["name"], each["pid"], each["tid"]): each["args"]["name"]
        for each in events
        if each["name"] in ("process_name", "thread_name")
    }
    # The name of a run has a row of its own.
    rows = {
        (process, None if what == "process_name" else lane): row
        for row, (what, process, lane) in enumerate(named)
    }
    slices = [each for each in events if each["ph"] == "X"]
    end = max(each["ts"] + each["dur"] for each in slices)
    left, width, height, top = 140, 840, 30, 30
    total = top + height * len(rows) + 70
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {total}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]

    def at(microseconds: float) -> float:
        return left + microseconds / end * width

    for seconds in range(0, int(end / 1e6) + 1, 1 + int(end / 1e6) // 20):
        x = at(seconds * 1e6)
        drawn.append(f'<path d="M{x:.1f} 20V{total - 60}" stroke="#e0e0e0"/>')
        drawn.append(f'<text x="{x:.1f}" y="14" fill="#606060">{seconds} s</text>')
    for row, ((what, *_), label) in enumerate(named.items()):
        y = top + row * height + 17
        style = 'font-weight="bold"' if what == "process_name" else 'text-anchor="end"'
        x = 8 if what == "process_name" else left - 8
        drawn.append(f'<text x="{x}" y="{y}" {style}>{escape(label)}</text>')
    for each in slices:
        nested = each["cat"] in ("load input", "compute", "handle output", "after output")
        y = top + rows[each["pid"], each["tid"]] * height + (13 if nested else 3)
        tall = 10 if nested else 20
        colour = "#d9534f" if each.get("cname") in ("terrible", "bad") else _SLICES[each["cat"]]
        wide = max(each["dur"] / end * width, 0.8)
        drawn.append(
            f'<rect x="{at(each["ts"]):.1f}" y="{y}" width="{wide:.1f}" height="{tall}"'
            f' fill="{colour}"><title>{escape(each["name"])}, {each["dur"] / 1e3:.1f} ms</title>'
            "</rect>"
        )
    for each in events:
        if each["ph"] == "i":
            x, y = at(each["ts"]), top + rows[each["pid"], each["tid"]] * height + 2
            drawn.append(
                f'<path d="M{x:.1f} {y}l5 -8h-10z" fill="#333333">'
                f"<title>{escape(each['name'])}</title></path>"
            )
    x, y = left, total - 46
    for category in dict.fromkeys(each["cat"] for each in slices):
        if x > width:
            x, y = left, y + 20
        drawn.append(
            f'<rect x="{x}" y="{y}" width="12" height="12" fill="{_SLICES[category]}"/>'
            f'<text x="{x + 16}" y="{y + 10}">{category}</text>'
        )
        x += 34 + 6 * len(category)
    path = HERE / f"{name}.svg"
    path.write_text("\n".join([*drawn, "</svg>\n"]))
    print(path)


def execute(instance: DagsterInstance, job: str, **run_config: Any) -> str:
    """Runs a job of the definitions, however it ends, and returns the run's id."""
    repository = ReconstructableRepository.for_file(str(DEFINITIONS), "defs")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    reconstructable = repository.get_reconstructable_job(job)
    with execute_job(reconstructable, instance, run_config={**quiet, **run_config}) as result:
        return result.run_id


def queued_runs(home: Path, count: int) -> list[str]:
    """Runs of ``forecast`` in a store, submitted at once to a queue that lets go one at a time."""
    target = PythonFileTarget(str(DEFINITIONS), "defs", None, "pictures")
    definition = ReconstructableRepository.for_file(str(DEFINITIONS), "defs")
    blocks = {**storage_block(home), "concurrency": {"runs": {"max_concurrent_runs": 1}}}
    with (
        instance_for_test(blocks, temp_dir=str(home)) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        instance.event_log_storage.set_concurrency_slots("gauges", 2)
        job = load_remote_repo(workspace, "__repository__").get_full_job("forecast")
        run_ids = []
        for _ in range(count):
            run = instance.create_run_for_job(
                definition.get_reconstructable_job("forecast").get_definition(),
                remote_job_origin=job.get_remote_origin(),
                job_code_origin=job.get_python_origin(),
            )
            instance.submit_run(run.run_id, workspace.create_request_context())
            run_ids.append(run.run_id)
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        while not all(instance.get_run_by_id(run_id).is_finished for run_id in run_ids):
            for error in daemon.run_iteration(workspace):
                if error:
                    raise SystemExit(error.to_string())
            time.sleep(0.2)
    return run_ids


def storage_block(home: Path) -> dict[str, Any]:
    block = {
        "module": "dagster_lmdb",
        "class": "DagsterLmdbStorage",
        "config": {"base_dir": str(home / "history")},
    }
    return {"storage": {"custom": block}}


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        run_ids = queued_runs(Path(home), 2)
        store = Path(home) / "history"
        command = [sys.executable, "-m", "dagster_lmdb", "trace", store, *run_ids, "-o", "-"]
        written = subprocess.run(command, check=True, capture_output=True)
        trace_picture("trace", json.loads(written.stdout)["traceEvents"])
    with tempfile.TemporaryDirectory() as home:
        store = Path(home) / "history"
        with instance_for_test(storage_block(Path(home)), temp_dir=home) as instance:
            instance.event_log_storage.set_concurrency_slots("gauges", 2)
            run_id = execute(instance, "forecast")
            compared = [
                execute(instance, "weigh_levels", ops={"weigh_only": {"config": config}})
                for config in ({"levels": [200.0, 210.0]}, {"levels": [200.0, 260.0, 0.0]})
            ]
        text = shown("replay", store, run_id, "--speed", "1000x", "--until", "STEP_FAILURE")
        picture("replay", f"dagster-lmdb replay DIR {run_id[:8]}... --until STEP_FAILURE", text)
        picture("diff", "dagster-lmdb diff DIR RUN_A RUN_B", shown("diff", store, *compared))
        os.chdir(home)
        extracted = shown(
            "extract", "history", run_id, "-o", "run.capsule", "--redact-config", "*token*"
        )
        absorbed = shown("absorb", "run.capsule", "look") + shown("absorb", "run.capsule", "look")
        lines = [
            f"$ dagster-lmdb extract history {run_id} -o run.capsule --redact-config '*token*'",
            *extracted.splitlines(),
            "$ dagster-lmdb absorb run.capsule look",
            *absorbed.splitlines(),
        ]
        lines.insert(-2, "$ dagster-lmdb absorb run.capsule look")
        picture("capsule", "dagster-lmdb extract, absorb", "\n".join(lines))
        lines = []
        for command in (
            ("fork", "history", "then", "--at", "80"),
            ("tail", "then", "--run", run_id, "--limit", "5"),
        ):
            lines += [f"$ dagster-lmdb {' '.join(command)}", *shown(*command).splitlines()]
        picture("fork", "dagster-lmdb fork DIR DEST --at MOMENT", "\n".join(lines))
        lines = []
        for command in (
            ("export", "history", "tables", "--until", f"run:{run_id}"),
            ("export", "history", "tables"),
        ):
            lines += [f"$ dagster-lmdb {' '.join(command)}", *shown(*command).splitlines()]
        read = [sys.executable, "-c", _COUNTED]
        table = subprocess.run(read, check=True, capture_output=True, text=True).stdout
        lines += [f'$ python -c "{_COUNTED}"', *table.splitlines()]
        picture("export", "dagster-lmdb export DIR DEST", "\n".join(lines))


if __name__ == "__main__":
    main()
