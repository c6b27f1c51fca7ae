"""What the measurements share: which of them run, in which order, and on which storages."""

import gc
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from benches.datasets import Datasets, open_datasets
from benches.events import events_of_a_run
from benches.filling import Run, fill_storage
from benches.names import EVENT_LOGS, MEMORY, OURS
from benches.peers import close, sqlite_without_flushes
from benches.queries import furnish
from dagster import EventLogEntry
from dagster._core.storage.event_log import EventLogStorage
from pytest_benchmark.fixture import BenchmarkFixture

Storage = EventLogStorage[Any]


class Turn(NamedTuple):
    """One peer's turn at a row: all of them have one before the first has another."""

    number: int
    peer: str


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="fewer rounds, no history of a million")
    parser.addoption(
        "--rows",
        default="",
        help="only rows with one of these texts, parted by commas, in the name",
    )


def pytest_configure(config: pytest.Config) -> None:
    # The server that was started, and what was copied, go whoever ends the run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for marker in (
        "peers(*names): whose turns a row has",
        "turns(number): how many turns each has, for rows that take long; quick: one",
        "full: left out of the quick mode",
        "together(*names): rows of a file that are compared; they differ in function or these",
    ):
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "turn" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker
    quick = metafunc.config.getoption("--quick")
    peers = marker("peers").args if marker("peers") else EVENT_LOGS
    passes = marker("turns").args[0] if marker("turns") else 2 if quick else 3
    if quick and marker("turns"):
        passes = 1
    turns = [Turn(number, peer) for number in range(passes) for peer in peers]
    metafunc.parametrize("turn", turns, ids=[f"{turn.number}:{turn.peer}" for turn in turns])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Row by row, and in each turn all peers one after the other, every other time backwards.

    So a slow moment of the machine hits all. It hits both of two rows, too, that a goal compares:
    these have their turns together, a peer's at both one after the other.
    """
    rows: dict[Any, int] = {}

    def place(number: int, item: Any) -> tuple[int, ...]:
        params = dict(item.callspec.params)
        turn = params.pop("turn")
        row = item.nodeid.replace(f"{turn.number}:{turn.peer}", "")
        if together := item.get_closest_marker("together"):
            apart = {name: value for name, value in params.items() if name not in together.args}
            row = (item.path, *apart.items())
        direction = -1 if turn.number % 2 else 1
        order = peers_of[item.originalname].index(turn.peer)
        return (
            rows.setdefault(row, len(rows)), turn.number, direction * order, direction * number
        )  # fmt: skip

    peers_of: dict[str, list[str]] = {}
    for item in items:
        peers = peers_of.setdefault(item.originalname, [])
        if item.callspec.params["turn"].peer not in peers:
            peers.append(item.callspec.params["turn"].peer)
    places = {item: place(number, item) for number, item in enumerate(items)}
    wanted = [text.strip().lower() for text in config.getoption("--rows").split(",")]
    items[:] = [
        item
        for item in sorted(items, key=lambda item: places[item])
        if any(text in item.nodeid.replace("_", " ").lower() for text in wanted)
        and not (config.getoption("--quick") and item.get_closest_marker("full"))
    ]


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--quick")


@pytest.fixture(scope="session")
def run_events() -> Sequence[EventLogEntry]:
    return events_of_a_run()


@pytest.fixture(scope="session")
def datasets() -> Iterator[Datasets]:
    with open_datasets() as datasets:
        yield datasets


@pytest.fixture
def settled(datasets: Datasets) -> None:
    """For rows that write: what the turn before left to write is not flushed with theirs."""
    datasets.places.settle()


class Storages:
    """Event logs with histories, each opened once.

    Args:
        datasets: The histories.
    """

    def __init__(self, datasets: Datasets) -> None:
        self.datasets = datasets
        self._opened: dict[tuple[str, str, str], tuple[Storage, str]] = {}

    def to_read(self, peer: str, size: str) -> Storage:
        """An event log that holds a history, and is only read."""
        return self._open(peer, size, "", lambda: self.datasets.filled(peer, size))

    def to_write(self, peer: str, size: str) -> Storage:
        """An event log that held a history at first, and is stored into."""
        return self._open(peer, size, "w", lambda: self.datasets.copied(peer, size, "bench"))

    def place(self, peer: str, size: str) -> str:
        """Where the event log of ``to_write`` is."""
        return self._opened[peer, size, "w"][1]

    def _open(self, peer: str, size: str, purpose: str, find: Callable[[], str]) -> Storage:
        key = (peer, size, purpose)
        if key not in self._opened:
            place = "" if peer == MEMORY else find()
            storage = self.datasets.places.open(peer, place)
            if peer == MEMORY:
                self.fill(peer, storage, self.datasets.runs(size))
                furnish(storage)
            self._opened[key] = (storage, place)
        return self._opened[key][0]

    @staticmethod
    def fill(peer: str, storage: Storage, runs: Iterable[Run]) -> None:
        """Stores runs into an event log that is empty so far, without flushes."""
        with sqlite_without_flushes():
            fill_storage(peer, storage, runs)

    def close(self) -> None:
        """Closes them all."""
        for storage, _ in self._opened.values():
            close(storage)
        self._opened.clear()


@pytest.fixture(scope="module")
def storages(datasets: Datasets) -> Iterator[Storages]:
    storages = Storages(datasets)
    yield storages
    storages.close()


Goal = dict[str, Any]


def faster(than: str, at_least: float) -> Goal:
    """A goal: how many times our time a peer's is, at least."""
    return {"than": than, "at_least": at_least}


def flat(row: str, at_most: float = 1.5) -> Goal:
    """A goal: how many times our time of another row ours of this one is, at most."""
    return {"row": row, "at_most": at_most}


def limit(**bound: float) -> Goal:
    """A goal for our own figure: ``at_least`` or ``at_most``."""
    return bound


class Bench:
    """One turn of a row: measures it, and notes the figure for the table.

    Args:
        benchmark: pytest-benchmark's fixture.
        turn: Whose turn it is.
        quick: Whether few rounds will do.
    """

    def __init__(self, benchmark: BenchmarkFixture, turn: Turn, quick: bool) -> None:
        self._benchmark = benchmark
        self.turn = turn
        self.peer = turn.peer
        self.ours = turn.peer == OURS
        self.quick = quick
        self.row = ""

    def note(self, row: str, *goals: Goal, **about: Any) -> None:
        """Names the row, and what is to be reached."""
        self.row = row
        self._benchmark.extra_info.update(
            row=row, turn=self.turn.number, peer=self.peer, goals=goals, **about
        )

    def rounds(self, act: Callable[[Any], Any], inputs: Callable[[], Any], rounds: int) -> None:
        """Times an act on a new input each round; the row's figure is the median."""
        self._pedantic(act, setup=lambda: ((inputs(),), {}), rounds=rounds, warmup_rounds=1)

    def once(self, act: Callable[[], Any]) -> None:
        """Times an act that is too long to be repeated within a turn."""
        self._pedantic(act, rounds=1)

    def each(self, act: Callable[[], Any], iterations: int) -> None:
        """Times an act that is too short to be timed alone."""
        rounds = 3 if self.quick else 10
        self._pedantic(act, rounds=rounds, iterations=iterations, warmup_rounds=1)

    def repeat(self, act: Callable[[], Any], seconds: float = 0.5, at_most: int = 300) -> Any:
        """Times an act as often as it fits into some seconds, and gives what it returned."""
        seconds = seconds / 4 if self.quick else seconds
        took = self._benchmark._timer
        first = took()
        result = act()
        second = took()
        if second - first < seconds:  # only the first call waits for the disk
            first = second
            act()
            second = took()
        once = max(second - first, 1e-6)
        rounds = max(1 if once > seconds else 3, min(at_most, int(seconds / once)))
        self._pedantic(act, rounds=rounds, iterations=max(1, int(2e-5 / once)))
        return result

    def value(self, measure: Callable[[], float], unit: str) -> float:
        """Notes a figure that is not the time of a call; the more the better if it is /s."""
        figure = self._pedantic(measure, rounds=1)
        self._benchmark.extra_info.update(value=figure, unit=unit)
        return figure

    def gave_up(self, why: str) -> None:
        """Notes that a peer has no figure here, and why."""
        self._pedantic(lambda: None, rounds=1)
        self._benchmark.extra_info.update(value=None, unit="", why=why)

    def _pedantic(self, act: Callable[..., Any], **rounds: Any) -> Any:
        """Times an act while Python collects garbage, but not that of what was done before."""
        gc.collect()
        gc.freeze()
        return self._benchmark.pedantic(act, **rounds)


@pytest.fixture
def bench(benchmark: BenchmarkFixture, turn: Turn, quick: bool) -> Bench:
    return Bench(benchmark, turn, quick)


FAILED = pytest.StashKey[set[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        item.session.stash.setdefault(FAILED, set()).add(item.nodeid)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    # One that failed was not timed, or what it gave is not what it should be.
    failed = session.stash.get(FAILED, set())
    measured = session.config._benchmarksession
    measured.benchmarks = [
        each for each in measured.benchmarks if each.stats.data and each.fullname not in failed
    ]
