"""Dagster's own command line on an instance with all of its storages on one store."""

from collections.abc import Iterator
from pathlib import Path

import click
import dagster as dg
import pytest
from click.testing import CliRunner, Result
from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._cli.asset import asset_cli
from dagster._cli.debug import debug_cli
from dagster._cli.instance import instance_cli
from dagster._cli.run import run_cli
from dagster._core.definitions.partitions.definition import StaticPartitionsDefinition
from dagster._core.storage.partition_status_cache import (
    get_and_update_asset_status_cache_value,
)
from dagster._core.test_utils import instance_for_test

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage
from dagster_lmdb.errors import ReadOnlyInstanceError
from python.entries import job_origin, materialization, run, status_event, whole_block
from python.test_schedules import sensor, tick

JOBS = str(Path(__file__).with_name("jobs.py"))

LETTERS = AssetKey(["some", "letters"])


def call(group: click.Group, *arguments: str, say: str | None = None) -> Result:
    """A command of Dagster's, which finds the instance by DAGSTER_HOME."""
    return CliRunner().invoke(group, list(arguments), input=say)


def said(group: click.Group, *arguments: str, say: str | None = None) -> str:
    """What a command says that ends well."""
    result = call(group, *arguments, say=say)
    assert result.exit_code == 0, result.output
    return result.output


def history(instance: DagsterInstance, job_name: str = "a_job") -> str:
    """A run that ended."""
    run_id = instance.add_run(run(job_name=job_name, remote_job_origin=job_origin())).run_id
    for event_type in (
        DagsterEventType.RUN_ENQUEUED,
        DagsterEventType.RUN_START,
        DagsterEventType.RUN_SUCCESS,
    ):
        instance.handle_new_event(status_event(run_id, event_type))
    return run_id


def differences(instance: DagsterInstance) -> list[str]:
    return instance.event_log_storage._log.verify().differences


class TestInstance:
    def test_names_its_storages(self, whole: DagsterInstance) -> None:
        output = said(instance_cli, "info")
        for storage in (whole.run_storage, whole.event_log_storage, whole.schedule_storage):
            assert f"storage: {type(storage).__name__}" in output

    def test_migrates_and_reindexes_nothing_and_loses_nothing(self, whole: DagsterInstance) -> None:
        run_id = history(whole)
        head = whole.run_storage._log.stat()["head"]
        for command in ("migrate", "reindex", "migrate"):
            said(instance_cli, command)
        assert whole.run_storage._log.stat()["head"] == head
        assert whole.get_run_by_id(run_id).status == DagsterRunStatus.SUCCESS

    def test_sets_limits(self, whole: DagsterInstance) -> None:
        said(instance_cli, "concurrency", "set", "pool", "3")
        assert whole.event_log_storage.get_concurrency_info("pool").slot_count == 3
        assert '"pool": 0 / 3' in said(instance_cli, "concurrency", "get", "--all")


class TestRun:
    def test_lists_the_newest_first(self, whole: DagsterInstance) -> None:
        assert said(run_cli, "list") == ""
        runs = [history(whole, f"job_{number}") for number in range(3)]
        lines = said(run_cli, "list", "--limit", "2").splitlines()
        assert lines == [
            f"Run: {runs[2]}",
            "     Job: job_2",
            f"Run: {runs[1]}",
            "     Job: job_1",
        ]

    @pytest.mark.parametrize(("flags", "say"), [(["--force"], None), ([], "DELETE\n")])
    def test_deletes_one(self, whole: DagsterInstance, flags: list[str], say: str | None) -> None:
        gone, kept = history(whole), history(whole)
        said(run_cli, "delete", *flags, gone, say=say)
        assert whole.get_run_ids() == [kept]
        assert whole.all_logs(gone) == []
        assert len(whole.all_logs(kept)) == 3
        assert differences(whole) == []

    def test_deletes_nothing_without_the_word_or_the_run(self, whole: DagsterInstance) -> None:
        kept = history(whole)
        for arguments in (["delete", kept], ["wipe"]):
            assert call(run_cli, *arguments, say="yes\n").exit_code == 1
        unknown = call(run_cli, "delete", "--force", "unknown")
        assert "No run found" in unknown.output
        assert whole.get_run_ids() == [kept]
        assert len(whole.all_logs(kept)) == 3

    @pytest.mark.parametrize(("flags", "say"), [(["--force"], None), ([], "DELETE\n")])
    def test_wipes_runs_and_events_and_keeps_the_rest(
        self, whole: DagsterInstance, flags: list[str], say: str | None
    ) -> None:
        run_id = history(whole)
        whole.event_log_storage.store_event(materialization(run_id, "an_asset"))
        whole.run_storage.set_cursor_values({"a": "b"})
        whole.schedule_storage.add_instigator_state(sensor())
        whole.schedule_storage.create_tick(tick(1.0))
        said(run_cli, "wipe", *flags, say=say)
        assert whole.get_runs() == []
        assert whole.all_logs(run_id) == []
        assert whole.all_asset_keys() == []
        assert whole.run_storage.get_cursor_values({"a"}) == {"a": "b"}
        assert len(whole.all_instigator_state()) == 1
        assert len(whole.get_ticks("an_origin", "a_selector")) == 1
        assert differences(whole) == []

    def test_is_moved_to_another_repository_without_the_command_line(
        self, whole: DagsterInstance
    ) -> None:
        """Dagster's command asks for a SQL storage; what it would call is there."""
        run_id = history(whole, "launched_job")
        label = {".dagster/repository": "a_repository@a_location"}
        where = ["-f", JOBS, "-a", "a_repository", "--job", "launched_job"]
        result = call(
            run_cli, "migrate-repository", "--from", *label.values(), *where, say="MIGRATE\n"
        )
        assert result.exit_code == 2
        assert "only applies to SQL-based run storage" in result.output
        [stored] = whole.get_runs(RunsFilter(job_name="launched_job", tags=label))
        whole.run_storage.replace_job_origin(stored, job_origin("other"))
        assert whole.get_run_ids(RunsFilter(tags=label)) == []
        label = {".dagster/repository": "other@a_location"}
        assert whole.get_run_ids(RunsFilter(tags=label)) == [run_id]


class TestAsset:
    @pytest.fixture
    def materialized(self, whole: DagsterInstance) -> DagsterInstance:
        letters = StaticPartitionsDefinition(["a", "b"])

        @dg.asset(key=LETTERS, partitions_def=letters)
        def some_letters() -> None: ...

        @dg.asset
        def number() -> int:
            return 1

        dg.materialize([some_letters], instance=whole, partition_key="a")
        dg.materialize([number], instance=whole)
        assert get_and_update_asset_status_cache_value(whole, LETTERS, letters)
        assert cached(whole)
        return whole

    def test_lists_what_is_defined(self, whole: DagsterInstance) -> None:
        listed = said(asset_cli, "list", "-f", JOBS, "-a", "a_repository")
        assert "letters" in listed.splitlines()

    def test_is_materialized(self, whole: DagsterInstance) -> None:
        where = ["-f", JOBS, "-a", "a_repository"]
        said(asset_cli, "materialize", "--select", "letters", "--partition", "b", *where)
        assert whole.get_materialized_partitions(AssetKey("letters")) == {"b"}
        [ended] = whole.get_runs()
        assert ended.status == DagsterRunStatus.SUCCESS

    @pytest.mark.parametrize(
        ("arguments", "left"),
        [
            (["--all", "--noprompt"], set()),
            (["number", "--noprompt"], {LETTERS}),
            (['["some", "letters"]', "--noprompt"], {AssetKey("number")}),
        ],
    )
    def test_wipes(
        self, materialized: DagsterInstance, arguments: list[str], left: set[AssetKey]
    ) -> None:
        said(asset_cli, "wipe", *arguments)
        assert set(materialized.all_asset_keys()) == left
        for key in (LETTERS, AssetKey("number")):
            event = materialized.get_latest_materialization_event(key)
            assert (event is not None) == (key in left)
        assert cached(materialized) == (LETTERS in left)
        assert differences(materialized) == []

    def test_wipes_when_the_word_is_given_and_not_before(
        self, materialized: DagsterInstance
    ) -> None:
        assert "Exiting" in said(asset_cli, "wipe", "--all", say="yes\n")
        assert len(materialized.all_asset_keys()) == 2
        said(asset_cli, "wipe", "--all", say="DELETE\n")
        assert materialized.all_asset_keys() == []

    @pytest.mark.parametrize("which", ["--all", '["some", "letters"]'])
    def test_wipes_the_cached_status_alone(self, materialized: DagsterInstance, which: str) -> None:
        head = materialized.run_storage._log.stat()["head"]
        command = ["wipe-partitions-status-cache", which]
        assert "Exiting" in said(asset_cli, *command, say="no\n")
        assert cached(materialized)
        said(asset_cli, *command, "--noprompt")
        assert not cached(materialized)
        assert len(materialized.all_asset_keys()) == 2
        assert materialized.get_materialized_partitions(LETTERS) == {"a"}
        assert materialized.run_storage._log.stat()["head"] == head


def cached(instance: DagsterInstance) -> bool:
    """Whether the status of ``LETTERS`` is cached."""
    records = instance.get_asset_records([LETTERS])
    return any(record.asset_entry.cached_status for record in records)


class TestDebug:
    """An exported run is imported at every commit as it was when it was exported."""

    @pytest.fixture
    def exported(self, tmp_path: Path) -> tuple[Path, str, list[dg.EventLogEntry]]:
        there = tmp_path / "there"
        there.mkdir()

        @dg.op
        def one() -> int:
            return 1

        @dg.job(tags={"team": "a"})
        def a_job() -> None:
            one()

        file = tmp_path / "run.gz"
        with instance_for_test(whole_block(there), str(there)) as instance:
            run_id = a_job.execute_in_process(instance=instance).run_id
            assert run_id in said(debug_cli, "export", run_id, str(file))
            return file, run_id, list(instance.all_logs(run_id))

    def test_every_commit_of_an_import_shows_the_runs_end(
        self,
        exported: tuple[Path, str, list[dg.EventLogEntry]],
        whole: DagsterInstance,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        file, run_id, events = exported
        seen: list[tuple[int, list[str], list[str]]] = []
        reader = LmdbRunStorage(whole.run_storage._base_dir)

        def after(command: str, storage: type) -> None:
            original = getattr(storage, command)

            def observed(self: object, *arguments: object, **options: object) -> object:
                reply = original(self, *arguments, **options)
                found = [
                    (status, reader.get_run_ids(RunsFilter(statuses=[status])))
                    for status in DagsterRunStatus
                ]
                seen.append(
                    (
                        reader._log.stat()["head"],
                        [each.status.value for each in reader.get_runs()],
                        [status.value for status, ids in found for _ in ids],
                    )
                )
                return reply

            monkeypatch.setattr(storage, command, observed)

        for command in ("add_run", "add_snapshot"):
            after(command, LmdbRunStorage)
        for command in ("store_event", "store_event_batch"):
            after(command, LmdbEventLogStorage)
        said(debug_cli, "import", str(file))
        heads = [head for head, _, _ in seen]
        assert heads == sorted(heads)
        shown = [statuses for _, statuses, _ in seen]
        first = shown.index(["SUCCESS"])
        assert shown == [[]] * first + [["SUCCESS"]] * (len(events) + 1)
        assert [found for _, _, found in seen] == shown
        records, _ = reader._log.tail()
        assert "run_state_set" not in [kind for _, kind, *_ in records]
        reader.dispose()
        assert whole.all_logs(run_id) == events
        record = whole.get_run_record_by_id(run_id)
        assert record.dagster_run.tags["team"] == "a"
        assert whole.get_job_snapshot(record.dagster_run.job_snapshot_id).name == "a_job"
        assert differences(whole) == []

    def test_a_second_import_changes_nothing(
        self, exported: tuple[Path, str, list[dg.EventLogEntry]], whole: DagsterInstance
    ) -> None:
        file, _, _ = exported
        said(debug_cli, "import", str(file))
        head = whole.run_storage._log.stat()["head"]
        said(debug_cli, "import", str(file))
        assert whole.run_storage._log.stat()["head"] == head

    def test_an_unknown_run_is_not_exported(self, whole: DagsterInstance, tmp_path: Path) -> None:
        failed = history(whole)
        whole.handle_new_event(status_event(failed, DagsterEventType.RUN_FAILURE, timestamp=4e9))
        result = call(debug_cli, "export", "unknown", str(tmp_path / "none.gz"))
        assert result.exit_code == 2
        assert failed in result.output
        assert not (tmp_path / "none.gz").exists()


class TestAsOf:
    """The command line on an instance as of a moment."""

    @pytest.fixture
    def run_id(self, tmp_path: Path) -> Iterator[str]:
        """A run that is in progress there, and has been deleted since."""
        with instance_for_test(whole_block(tmp_path), temp_dir=str(tmp_path)) as present:
            run_id = present.add_run(run(remote_job_origin=job_origin())).run_id
            present.handle_new_event(status_event(run_id, DagsterEventType.RUN_START))
            present.event_log_storage.store_event(materialization(run_id, "an_asset"))
            at = present.event_log_storage._log.head()
            present.delete_run(run_id)
        block = whole_block(tmp_path)
        block["storage"]["custom"]["config"]["as_of"] = at
        with instance_for_test(block):
            yield run_id

    def test_reads_and_has_nothing_to_migrate(self, run_id: str) -> None:
        assert "run_storage: LmdbRunStorage" in said(instance_cli, "info")
        for command in ("migrate", "reindex"):
            said(instance_cli, command)
        assert f"Run: {run_id}" in said(run_cli, "list")

    @pytest.mark.parametrize(
        ("group", "arguments"),
        [
            (run_cli, ["delete", "--force"]),
            (run_cli, ["wipe", "--force"]),
            (asset_cli, ["wipe", "an_asset", "--noprompt"]),
            (instance_cli, ["concurrency", "set", "pool", "3"]),
        ],
        ids=lambda each: " ".join(each) if isinstance(each, list) else each.name,
    )
    def test_is_refused_what_it_would_change(
        self, group: click.Group, arguments: list[str], run_id: str
    ) -> None:
        if arguments[0] == "delete":
            arguments = ["delete", run_id, *arguments[1:]]
        done = call(group, *arguments, say="DELETE")
        assert done.exit_code != 0
        error = done.exception
        while error is not None and not isinstance(error, ReadOnlyInstanceError):
            error = error.__cause__ or error.__context__
        assert isinstance(error, ReadOnlyInstanceError), done.output
        assert f"Run: {run_id}" in said(run_cli, "list")
