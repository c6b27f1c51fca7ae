"""How long whole runs take, and how much of it is the storage."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from benches import share, whole_runs
from benches.conftest import Bench, Goal, faster, limit
from benches.datasets import Datasets
from benches.floors import FLUSH, Flush
from benches.names import MEMORY, OURS, POSTGRES, SQLITE
from benches.peers import use_pool
from benches.whole_runs import NOTHING, defs, instance_on, stores_nothing
from dagster import DagsterInstance, execute_job
from dagster._core.definitions.reconstruct import ReconstructableRepository

pytestmark = pytest.mark.usefixtures("settled")

#: Ours, and what a run takes beyond one with a storage that stores nothing.
IN_PROCESS: dict[str, list[Goal]] = {
    "hundred_ops": [
        faster(MEMORY, 1),
        {"than": SQLITE, "beyond": NOTHING, "at_least": 5},
    ],
    "hundred_assets": [faster(MEMORY, 1 / 0.9)],
}


class Instances:
    """Instances on the storages, each made once.

    Args:
        datasets: Where there is a disk and a Postgres server.
    """

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._stack = ExitStack()
        self._directory = datasets.scratch() / "instances"
        self.on = cache(self._open)

    def _open(self, peer: str) -> DagsterInstance:
        directory = self._directory / peer.replace(" ", "-")
        directory.mkdir(parents=True)
        if peer == NOTHING:
            return self._stack.enter_context(stores_nothing(directory))
        if peer == MEMORY:
            return self._stack.enter_context(DagsterInstance.ephemeral(str(directory)))
        storage = None
        if peer == OURS:
            block = {"module": "dagster_lmdb", "class": "DagsterLmdbStorage"}
            storage = {"custom": {**block, "config": {"base_dir": str(directory / "history")}}}
        elif peer == POSTGRES:
            self._datasets.places.postgres.create("instance")
            url = self._datasets.places.postgres.database("instance")
            storage = {"postgres": {"postgres_url": url}}
        instance = self._stack.enter_context(instance_on(storage, directory))
        if peer == POSTGRES:
            use_pool(instance)
        return instance

    def close(self) -> None:
        """Closes them all."""
        self._stack.close()
        self._datasets.places.postgres.drop("instance")
        shutil.rmtree(self._directory, ignore_errors=True)


@pytest.fixture(scope="module")
def instances(datasets: Datasets) -> Iterator[Instances]:
    instances = Instances(datasets)
    yield instances
    instances.close()


@pytest.mark.parametrize("job", IN_PROCESS)
@pytest.mark.peers(NOTHING, OURS, MEMORY, SQLITE, POSTGRES)
@pytest.mark.turns(3)
def bench_run_in_process(bench: Bench, instances: Instances, job: str) -> None:
    """A run of a job in this process, from creating the run to its end."""
    about = {
        "hundred_ops": "a run of 100 ops with 5 lines and output metadata each, in process",
        "hundred_assets": "100 assets with metadata materialized in process",
    }
    bench.note(about[job], *IN_PROCESS[job])
    instance = instances.on(bench.peer)
    definition = defs.resolve_job_def(job)

    def run(_: None) -> None:
        result = definition.execute_in_process(instance=instance)
        assert result.success

    bench.rounds(run, lambda: None, 1 if bench.quick else 3)


@pytest.mark.peers(FLUSH)
def bench_flush(bench: Bench, datasets: Datasets) -> None:
    """What a flush takes at that moment, of which an ephemeral instance pays none."""
    bench.note("one flush, beside the rows above")
    flush = Flush(datasets.scratch())
    bench.rounds(lambda _: flush(), lambda: None, 200)
    flush.close()


@pytest.mark.peers(OURS, SQLITE)
@pytest.mark.turns(2)
def bench_multiprocess_run(bench: Bench, instances: Instances) -> None:
    """A run of assets with the multiprocess executor, two steps at once."""
    job, count = ("few_assets", 4) if bench.quick else ("thirty_assets", 30)
    goals = [] if bench.quick else [faster(SQLITE, 1)]
    bench.note(f"a run of {count} assets on the multiprocess executor", *goals)
    instance = instances.on(bench.peer)
    repository = ReconstructableRepository.for_file(whole_runs.__file__, "defs")

    def run() -> None:
        with execute_job(repository.get_reconstructable_job(job), instance) as result:
            assert result.success

    bench.once(run)


@pytest.mark.full
@pytest.mark.peers(OURS)
@pytest.mark.turns(1)
def bench_share_of_multiprocess_run(bench: Bench) -> None:
    """What part of such a run is the storage's, by profile; what waits there counts."""
    bench.note("the storage's share of that run, by profile", limit(at_most=3))

    def part() -> float:
        _, everything = share.looks(sqlite=False, rate=100)
        storage, _ = share.looks(False, 100, "--idle")
        return 100 * storage / everything

    bench.value(part, "%")
