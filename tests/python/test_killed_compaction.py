"""A compaction that is killed at any moment, beside writers, and gone on with until it ends."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.utils import make_new_run_id

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage
from python.entries import log_line, run

KEYS, ROUNDS, KILLS = 250, 60, 8

#: Says when it has replaced records, and waits at the end of its pass: what it freed is written
#: until the pass is called ended, and told by who ends it.
COMPACTION = """
import signal, sys, time
from dagster_lmdb._core import EventLog

def tell(phase, done, total):
    assert done <= total or total == 0, (phase, done, total)
    if phase == "compact":
        print(done, flush=True)
        if done == total:
            signal.pause()

EventLog(sys.argv[1], create=False).compact(now=time.time(), progress=tell)
"""


def kill_compaction(directory: Path, delay: float) -> None:
    """Kills a compaction so long after its first step, wherever in its pass it is then."""
    command = [sys.executable, "-c", COMPACTION, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first, "the compaction died by itself"
        time.sleep(delay)
        child.kill()
        assert child.wait() == -signal.SIGKILL


def log_bytes(storage: LmdbEventLogStorage) -> int:
    return sum(size for _, size in storage._log.stat()["records"].values())


def test_what_is_left_folds_to_the_same_and_the_end_tells_of_all(
    whole: DagsterInstance, tmp_path: Path
) -> None:
    events, runs = whole.event_log_storage, whole.run_storage
    assert isinstance(events, LmdbEventLogStorage)
    assert isinstance(runs, LmdbRunStorage)
    for round_ in range(ROUNDS):
        runs.set_cursor_values({f"key {key}": f"{round_}" for key in range(KEYS)})
    gone = whole.add_run(run()).run_id
    events.store_event_batch([log_line(gone, f"line {number}") for number in range(5_000)])
    whole.delete_run(gone)
    # All states of a cursor but the last; the run's lines, and its document with its removal; the
    # steps of the sweep but the last.
    superseded = KEYS * (ROUNDS - 1) + 5_000 + 2 + 5
    size_before = log_bytes(events)
    run_id, ended = make_new_run_id(), threading.Event()

    def write() -> None:
        while not ended.is_set():
            events.store_event(log_line(run_id, "beside"))

    writer = threading.Thread(target=write)
    writer.start()
    choose = random.Random(1)
    try:
        for _ in range(KILLS):
            kill_compaction(Path(events._base_dir), choose.uniform(0, 0.05))
            assert events._log.verify().differences == []
            assert runs.get_cursor_values({"key 7"}) == {"key 7": f"{ROUNDS - 1}"}
    finally:
        ended.set()
        writer.join()
    freed = events._log.compact(now=time.time())
    assert freed.records == superseded
    stat = events._log.stat()
    count, stored = stat["records"]["event"]
    assert count == len(events.get_logs_for_run(run_id))
    assert freed.bytes == size_before + stored - log_bytes(events)
    assert 1 < stat["whole_from"] <= stat["head"] + 1
    assert 1 < stat["registers_from"] <= stat["head"] + 1
    assert events._log.verify().differences == []
    assert events._log.compact(now=time.time()).records == 0
