"""The command line says what it found, and ends with the status that it promises."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from dagster._core.utils import make_new_run_id

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb.cli import main
from dagster_lmdb.cli.ages import Age
from dagster_lmdb.cli.sizes import Size, readable
from engine.children import without_a_reader, without_privileges, without_room
from python.entries import log_line, materialization, planned


@pytest.fixture
def run_id() -> str:
    return make_new_run_id()


@pytest.fixture
def store(storage: LmdbEventLogStorage, base_dir: Path, run_id: str) -> Path:
    """A store with thirty lines, an asset, and a line of another run."""
    storage.store_event_batch([log_line(run_id, f"line {number}") for number in range(30)])
    storage.store_event(planned(run_id, "an_asset", "a"))
    storage.store_event(materialization(run_id, "an_asset", "a"))
    storage.store_event(log_line(make_new_run_id(), "elsewhere"))
    return base_dir


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_sound_store_verifies(store: Path) -> None:
    result = call("verify", store)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("sound: ")


def test_verifying_changes_nothing(store: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in store.rglob("data*") if path.is_file()}

    before = contents()
    call("verify", store)
    assert contents() == before


def test_rebuilding_leaves_every_answer_as_it_was(
    store: Path, storage: LmdbEventLogStorage, run_id: str
) -> None:
    before = storage.get_records_for_run(run_id), storage.get_asset_records()
    result = call("rebuild", store)
    assert result.exit_code == 0, result.output
    assert (storage.get_records_for_run(run_id), storage.get_asset_records()) == before
    assert call("verify", store).exit_code == 0


def test_stat_has_a_form_for_people_and_one_for_programs(store: Path) -> None:
    facts = json.loads(call("stat", store, "--json").stdout)
    assert facts["head"] >= 33
    text = call("stat", store).stdout
    assert text.startswith(next(iter(facts)).replace("_", " "))
    assert len(text.splitlines()) >= len(facts)


def test_tail_shows_the_last_records(store: Path, run_id: str) -> None:
    lines = call("tail", store, "--limit", 3).stdout.splitlines()
    assert len(lines) == 3
    assert "elsewhere" in lines[-1]
    assert "ASSET_MATERIALIZATION" in lines[-2]
    assert run_id[:8] in lines[-2]
    assert len(call("tail", store).stdout.splitlines()) == 20
    assert call("tail", store, "--limit", 0).stdout == ""


def test_tail_shows_one_run(store: Path, run_id: str) -> None:
    lines = call("tail", store, "--run", run_id, "--limit", 1000, "--json").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["run_id"] for row in rows} == {run_id}
    messages = [row["event"]["user_message"] for row in rows if row["event"]]
    assert messages[:30] == [f"line {number}" for number in range(30)]
    sequences = [row["sequence"] for row in rows]
    assert sequences == sorted(sequences)
    assert len(call("tail", store, "--run", run_id, "-n", 2).stdout.splitlines()) == 2
    assert len(call("tail", store, "--run", run_id, "-n", 10**30).stdout.splitlines()) == len(rows)
    assert len(call("tail", store, "-n", 10**30).stdout.splitlines()) >= len(rows)


def test_tail_follows_until_it_is_interrupted(
    store: Path, storage: LmdbEventLogStorage, run_id: str
) -> None:
    command = [sys.executable, "-m", "dagster_lmdb", "tail", str(store), "-f", "-n", "1", "--json"]
    # What starts the tests may ignore the signal, and a program that it starts inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with started as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"]["user_message"] == "elsewhere"
        storage.store_event(log_line(run_id, "later"))
        assert json.loads(process.stdout.readline())["event"]["user_message"] == "later"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_store_is_resized(store: Path, storage: LmdbEventLogStorage, run_id: str) -> None:
    result = call("resize", store, "--map-size", "2TiB")
    assert result.exit_code == 0, result.output
    assert "2.0 TiB" in result.stdout
    storage.store_event(log_line(run_id, "after"))
    assert call("verify", store).exit_code == 0


VERBS = (
    "verify",
    "rebuild",
    "compact",
    "stat",
    "tail",
    "resize",
    "replay",
    "trace",
    "diff",
    "extract",
)


def arguments(verb: str, directory: Path) -> list[str]:
    needed = {
        "resize": ["--map-size", "2T"],
        "replay": ["a_run"],
        "trace": ["a_run", "-o", "-"],
        "diff": ["a_run", "another"],
        "extract": ["a_run", "-o", "never-written"],
    }
    return [verb, str(directory), *needed.get(verb, [])]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", ["missing", "empty", "other", "file"])
def test_what_is_no_store_ends_with_2_and_one_line(verb: str, kind: str, tmp_path: Path) -> None:
    directory = tmp_path / "no-store"
    if kind != "missing":
        directory.mkdir()
    if kind == "other":
        (directory / "notes.txt").write_text("not a store")
    if kind == "file":
        directory = directory / "file"
        directory.write_text("not a directory")
    result = call(*arguments(verb, directory))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "no-store" / "data.mdb").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_store_without_permission_ends_with_2_and_one_line(verb: str, store: Path) -> None:
    def refused() -> None:
        result = call(*arguments(verb, store))
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "permission" in result.stderr.splitlines()[-1]

    store.chmod(0)
    try:
        assert without_privileges(refused) == 0
    finally:
        store.chmod(0o700)


@pytest.fixture
def scan_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts another program in the place of the child that scans."""

    def put(program: str) -> None:
        path = tmp_path / "scan"
        path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(program))
        path.chmod(0o700)
        monkeypatch.setattr("sys.executable", str(path))

    return put


@pytest.mark.parametrize("name", ["SIGBUS", "SIGSEGV", "SIGKILL"])
def test_the_death_of_the_scan_is_a_finding(
    name: str, scan_is: Callable[[str], None], tmp_path: Path
) -> None:
    scan_is(
        f"""
        import os, signal
        print('["log", 7, 100]', flush=True)
        os.kill(os.getpid(), signal.{name})
        """
    )
    result = call("verify", tmp_path)
    assert result.exit_code == 1
    assert f"killed by {name} during: log, after 7 of 100" in result.stdout


def test_each_difference_is_a_line_and_many_are_cut(
    scan_is: Callable[[str], None], tmp_path: Path
) -> None:
    scan_is(
        """
        import json
        lines = [f"assets {number} differs" for number in range(60)]
        print(json.dumps({"differences": lines, "records": 9, "head": 9, "rows": 60}))
        """
    )
    result = call("verify", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.count("differs\n") == 50
    assert "and 10 more" in result.stdout
    assert "60 differences: 9 records" in result.stdout
    assert call("verify", tmp_path, "--all").stdout.count("differs\n") == 60


def test_a_scan_that_says_nothing_is_no_verdict(
    scan_is: Callable[[str], None], tmp_path: Path
) -> None:
    scan_is("raise SystemExit(3)")
    result = call("verify", tmp_path)
    assert result.exit_code == 2
    assert "without a result" in result.stderr


def test_a_truncated_store_does_not_verify(store: Path, storage: LmdbEventLogStorage) -> None:
    storage.dispose()
    # The file is larger than what is used of it.
    used = json.loads(call("stat", store, "--json").stdout)["used_bytes"]
    os.truncate(store / "data.mdb", used // 2)
    result = call("verify", store)
    assert result.exit_code == 1, result.output
    finding, summary = result.stdout.splitlines()
    assert finding.startswith(f"the data file of {store} is damaged: ")
    assert "verify" not in result.stdout, "it ran"
    assert "restore it from a backup" in finding
    assert summary == "Not compared: the store cannot be read through."


@pytest.mark.parametrize(
    "words",
    [
        ("tail", "STORE"),
        ("tail", "STORE", "--follow", "--json"),
        ("stat", "STORE"),
        ("compact", "STORE"),
        ("rebuild", "STORE"),
        ("tail", "--help"),
        ("--help",),
        ("--version",),
    ],
)
def test_a_command_that_nobody_reads_ends_quietly_as_by_sigpipe(
    words: tuple[str, ...], store: Path
) -> None:
    result = without_a_reader(*(store if word == "STORE" else word for word in words))
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")


NO_ROOM = "Error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "STORE"),
        ("rebuild", "STORE"),
        ("compact", "STORE"),
        ("stat", "STORE"),
        ("stat", "STORE", "--json"),
        ("tail", "STORE"),
        ("tail", "STORE", "--follow", "--json"),
        ("resize", "STORE", "--map-size", "2T"),
        ("fork", "STORE", "DEST", "--at", "3"),
        ("export", "STORE", "DEST"),
        ("tail", "--help"),
        ("--help",),
        ("--version",),
    ],
    ids=" ".join,
)
def test_no_room_for_what_a_command_prints_ends_with_2_and_one_line(
    words: tuple[str, ...], store: Path, tmp_path: Path
) -> None:
    places = {"STORE": store, "DEST": tmp_path / "made"}
    result = without_room(*(places.get(word, word) for word in words))
    assert (result.returncode, result.stderr) == (2, NO_ROOM)


def test_a_message_that_has_no_room_itself_leaves_the_status(store: Path, tmp_path: Path) -> None:
    assert without_room("stat", store, streams=["stdout", "stderr"]).returncode == 2
    assert without_room("stat", tmp_path / "none", streams=["stderr"]).returncode == 2


def test_an_output_that_is_not_for_writing_ends_with_2_and_one_line(store: Path) -> None:
    with open(os.devnull) as unwritable:
        result = subprocess.run(
            [sys.executable, "-m", "dagster_lmdb", "stat", str(store)],
            check=False,
            stdout=unwritable,
            stderr=subprocess.PIPE,
            text=True,
        )
    says = "Error: standard output cannot be written: Bad file descriptor\n"
    assert (result.returncode, result.stderr) == (2, says)


def test_what_more_than_a_pipe_holds_is_cut_off_quietly(
    storage: LmdbEventLogStorage, base_dir: Path, run_id: str
) -> None:
    storage.store_event_batch([log_line(run_id, "x" * 1000) for _ in range(300)])
    command = [sys.executable, "-m", "dagster_lmdb", "tail", str(base_dir), "-n", "300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert b"xxx" in child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 128 + signal.SIGPIPE


def test_the_status_of_verify_tells_of_the_store_whoever_reads(
    store: Path, storage: LmdbEventLogStorage, tmp_path: Path
) -> None:
    def status(directory: Path) -> int:
        result = without_a_reader("verify", directory)
        if result.returncode != 2:
            assert result.stderr == ""
        return result.returncode

    assert status(store) == 0
    assert status(tmp_path / "none") == 2
    assert without_a_reader("verify", tmp_path / "none", stream="stderr").returncode == 2
    storage.dispose()
    (store / "data.mdb").unlink()
    assert status(store) == 1


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", ["empty", "other"])
def test_who_reads_what_is_no_store_is_told_where_to_look(
    verb: str, kind: str, tmp_path: Path
) -> None:
    directory = tmp_path / "no-store"
    directory.mkdir()
    if kind == "other":
        (directory / "notes.txt").write_text("not a store")
    said = call(*arguments(verb, directory)).stderr
    assert "name the directory that dagster.yaml has as base_dir" in said
    assert "an empty directory" not in said


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example(verb: str) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0
    assert f"  dagster-lmdb {verb} /var/lib/dagster/history" in result.stdout


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1073741824", 1 << 30),
        ("1GiB", 1 << 30),
        ("1g", 1 << 30),
        ("1GB", 10**9),
        ("1.5 KiB", 1536),
        ("2T", 2 << 40),
        ("7B", 7),
    ],
)
def test_a_size_is_bytes_in_any_unit(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "big", "1X", "-1", "1 2", "GiB", "1e3"])
def test_what_is_no_size_is_refused(text: str, tmp_path: Path) -> None:
    result = call("resize", tmp_path, f"--map-size={text}")
    assert result.exit_code == 2
    assert "is not a size" in result.stderr


def test_sizes_are_readable() -> None:
    sizes = [0, 1023, 1024, 5 << 20, 3 << 30, 2 << 40, 5000 << 40]
    assert [readable(size) for size in sizes] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 GiB",
        "2.0 TiB",
        "5000.0 TiB",
    ]


def test_the_command_starts_without_dagster() -> None:
    code = "import sys, dagster_lmdb.cli; print('dagster' in sys.modules, 'rich' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout.split() == ["False", "False"]


def test_compacting_says_what_it_freed(
    store: Path, storage: LmdbEventLogStorage, run_id: str
) -> None:
    storage.delete_events(run_id)
    result = call("compact", store)
    assert result.exit_code == 0, result.output
    freed, whole = result.stdout.splitlines()
    assert freed.startswith("Freed 32 records, ")
    assert " of the log's content; in whole pages it takes " in freed
    head = json.loads(call("stat", store, "--json").stdout)["head"]
    assert f"whole from record {head + 1:,} on (fork --at {head} and later)" in whole
    assert call("verify", store).exit_code == 0
    assert call("compact", store).stdout.startswith("Freed 0 records, 0 B of ")


def test_compacting_keeps_what_it_is_told_to(
    store: Path, storage: LmdbEventLogStorage, run_id: str
) -> None:
    storage.delete_events(run_id)
    assert call("compact", store, "--keep", "1h").stdout.startswith("Freed 0 records, ")
    assert json.loads(call("stat", store, "--json").stdout)["whole_from"] == 1


def test_ages_are_read_with_their_units() -> None:
    for text, seconds in {
        "90s": 90,
        "30m": 1800,
        "12h": 43200,
        "7d": 604800,
        "1.5w": 907200,
    }.items():
        assert Age()(text) == seconds
    for text in ("", "7", "d", "-1d", "7y"):
        with pytest.raises(click.UsageError):
            Age()(text)
