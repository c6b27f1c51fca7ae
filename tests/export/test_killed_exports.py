"""An export that is killed at any step: nobody sees half of it, and the next makes it whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance

import dagster_lmdb
from export.exports import contents, fill

TABLES = ("events", "runs", "ticks")

#: Exports in a process that kills itself before its N-th change of the directory, for each N until
#: one ends by itself; and then in one that is not killed. Says what the directory held after each.
KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
import pyarrow.parquet
import dagster_lmdb
from dagster_lmdb._export.parquet import Writer

store, before, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
sys.path.append(sys.argv[4])
from export.exports import contents

def killing(owner, name, left):
    real = getattr(owner, name)
    def counting(*arguments, **named):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return real(*arguments, **named)
    setattr(owner, name, counting)

def export(kill_before=None):
    child = os.fork()
    if child == 0:
        if kill_before is not None:
            left = [kill_before]
            for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "mkdir"), (Path, "rmdir"),
                                (Path, "write_text"), (Writer, "write"), (Writer, "close")):
                killing(owner, name, left)
        dagster_lmdb.export(store, work, tables=sys.argv[5:])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)

told, step, ended = [], 0, None
while ended != 0:
    shutil.rmtree(work, ignore_errors=True)
    if before.exists():
        shutil.copytree(before, work)
    ended = export(step)
    killed = contents(work) if work.exists() else {}
    assert export() == 0
    told.append([ended, killed, contents(work)])
    step += 1
print(json.dumps(told))
"""


@pytest.mark.parametrize("is_first", [True, False])
def test_what_a_killed_call_leaves(
    instance: DagsterInstance, store: Path, tmp_path: Path, is_first: bool
) -> None:
    before, straight = tmp_path / "before", tmp_path / "straight"
    fill(instance)
    if not is_first:
        for path in (before, straight):
            dagster_lmdb.export(store, path, tables=TABLES)
        fill(instance)
    dagster_lmdb.export(store, straight, tables=TABLES)
    there = contents(before) if before.exists() else {}
    whole = contents(straight)
    arguments = [
        str(store),
        str(before),
        str(tmp_path / "work"),
        str(Path(__file__).parents[1]),
        *TABLES,
    ]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [ended for ended, _, _ in told] == [-9] * (len(told) - 1) + [0]
    assert len(told) > 25
    seen = set()
    for _, killed, resumed in told:
        assert resumed == whole
        for table in TABLES:
            now = visible(killed, table)
            assert now in (visible(there, table), visible(whole, table))
        seen.add(sum(visible(killed, table) == visible(whole, table) for table in TABLES))
        manifest = killed.get("manifest.json")
        assert manifest in (there.get("manifest.json"), whole["manifest.json"])
        if manifest == whole["manifest.json"]:
            assert all(visible(killed, table) == visible(whole, table) for table in TABLES)
    # It was killed before, between and behind the tables.
    assert seen == {0, 1, 2, 3}


def visible(content: dict[str, str], table: str) -> dict[str, str]:
    """The files that are found as those of a table."""
    return {
        name: text
        for name, text in content.items()
        if name.startswith(f"{table}/") and name.endswith(".parquet")
    }
