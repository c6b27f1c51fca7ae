"""Stores of real runs for tests that only read them, capsules of such runs, and runs to compare."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.test_utils import instance_for_test

from debug.capsules import TICK, again, backfill, extracted
from debug.diffs import Measured
from debug.history import Store, execute
from python.entries import whole_block


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    home = tmp_path_factory.mktemp("debug")
    with instance_for_test(whole_block(home), temp_dir=str(home)) as instance:
        instance.event_log_storage.set_concurrency_slots("lane", 1)
        runs = {
            "everything": execute(instance, "everything_job", tags={"team": "blue"}),
            "failing": execute(instance, "failing_job"),
            "letters": execute(instance, "letters_job", tags={"dagster/partition": "a"}),
        }
        yield Store(home / "history", instance, runs)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance of the test's own, with all of its storages on one store."""
    with instance_for_test(whole_block(tmp_path), temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with runs of every kind, among them one that a tick and a backfill caused."""
    home = tmp_path_factory.mktemp("origin")
    with instance_for_test(whole_block(home), temp_dir=str(home)) as instance:
        instance.event_log_storage.set_concurrency_slots("lane", 1)
        tick = instance.create_tick(TICK)
        instance.add_backfill(backfill(BulkActionStatus.COMPLETED_SUCCESS))
        caused = {"dagster/tick": str(tick.tick_id), "dagster/backfill": "a_backfill"}
        runs = {
            "everything": execute(instance, "everything_job", tags={"team": "blue"}),
            "failing": execute(instance, "failing_job"),
            "letters": execute(instance, "letters_job", tags={"dagster/partition": "a", **caused}),
        }
        runs["again"] = again(instance, runs["failing"])
        yield Store(home / "history", instance, runs)


@pytest.fixture
def capsule(origin: Store, tmp_path: Path) -> Path:
    """All of the runs, in a file."""
    return extracted(origin, tmp_path / "run.capsule", *origin.runs)


@pytest.fixture
def target(instance: DagsterInstance, tmp_path: Path) -> Path:
    """The directory of the test's own store, which is not made before it is used."""
    return tmp_path / "history"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    home, told = tmp_path_factory.mktemp("diff"), tmp_path_factory.mktemp("told")
    with (
        pytest.MonkeyPatch.context() as patch,
        instance_for_test(whole_block(home), temp_dir=str(home)) as instance,
    ):
        patch.setenv("DEBUG_TOLD", str(told))
        yield Measured(home, told, instance)


@pytest.fixture
def told(instance: DagsterInstance) -> Callable[..., str]:
    """Runs an op in a job of its own, and returns the run's id."""

    def execute_op(*says: Any, hooks: Any = frozenset(), **options: Any) -> str:
        @dg.op(out=dg.Out(is_required=False), **options)
        def speaks(context: dg.OpExecutionContext) -> Iterator[Any]:
            for each in says:
                if isinstance(each, BaseException):
                    raise each
                if isinstance(each, dg.Output):
                    yield each
                else:
                    context.log_event(each)

        @dg.job(hooks=hooks)
        def saying() -> None:
            speaks()

        return saying.execute_in_process(instance=instance, raise_on_error=False).run_id

    return execute_op
