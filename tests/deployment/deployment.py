"""A Dagster deployment on one LMDB store: code server, webserver and daemon, each a process.

What a test wants of it goes through Dagster's GraphQL API, as the UI's wishes do.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from deployment import queries

HERE = Path(__file__).parent
LOCATION = "location"
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
FINISHED = {"SUCCESS", "FAILURE", "CANCELED"}
LISTEN = ("-h", "127.0.0.1", "-p")
PR_SET_PDEATHSIG = 1

T = TypeVar("T")


class Deployment:
    """Processes on one instance; a context, which ends them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "history"
        self.gates = directory / "gates"
        self.logs = directory / "process_logs"  # logs/ is Dagster's
        self.code_port, self.web_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.web_port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Deployment":
        for made in (self.gates, self.logs):
            made.mkdir()
        for name, settings in (
            ("dagster.yaml", self._instance()),
            ("workspace.yaml", self._code()),
        ):
            (self.directory / name).write_text(yaml.safe_dump(settings, sort_keys=False))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _instance(self) -> dict[str, Any]:
        limits = [{"key": "lane", "value": "narrow", "limit": 1}]
        return {
            "storage": {
                "custom": {
                    "module": "dagster_lmdb",
                    "class": "DagsterLmdbStorage",
                    "config": {"base_dir": str(self.store)},
                }
            },
            "run_launcher": {"module": "deployment.launcher", "class": "WatchfulRunLauncher"},
            "run_coordinator": {
                "module": "dagster.core.run_coordinator",
                "class": "QueuedRunCoordinator",
                "config": {"dequeue_interval_seconds": 1},
            },
            "concurrency": {
                "runs": {"max_concurrent_runs": 6, "tag_concurrency_limits": limits},
                "pools": {"default_limit": 1, "granularity": "op", "op_granularity_run_buffer": 4},
            },
            "run_retries": {"enabled": True, "max_retries": 0},
            "run_monitoring": {
                "enabled": True,
                "poll_interval_seconds": 1,
                "max_resume_run_attempts": 1,
            },
            "auto_materialize": {"minimum_interval_seconds": 1},
            "telemetry": {"enabled": False},
            "nux": {"enabled": False},
        }

    def _code(self) -> dict[str, Any]:
        server = {"host": "127.0.0.1", "port": self.code_port, "location_name": LOCATION}
        return {"load_from": [{"grpc_server": server}]}

    def _start(self) -> None:
        self._start_code_server()
        self._start_webserver()
        self._start_daemon()
        self.until(self._answers, "the webserver answers")
        self.until(self.daemons_healthy, "every daemon is healthy")

    def _start_code_server(self) -> None:
        definitions = ["-f", str(HERE / "definitions.py"), "--location-name", LOCATION]
        self._run(
            "code-server",
            "dagster",
            "api",
            "grpc",
            *LISTEN,
            str(self.code_port),
            "--use-python-environment-entry-point",
            *definitions,
        )
        self.until(self._code_server_listens, "the code server listens")

    def _start_webserver(self) -> None:
        port = str(self.web_port)
        self._run("webserver", "dagster_webserver", *LISTEN, port, *self._workspace)

    def _start_daemon(self) -> None:
        self._run("daemon", "dagster._daemon", "run", *self._workspace)

    @property
    def _workspace(self) -> tuple[str, str]:
        return "-w", str(self.directory / "workspace.yaml")

    def _run(self, name: str, module: str, *arguments: str) -> None:
        tests = str(HERE.parent)
        environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.directory),
            "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",
            "DEPLOYMENT_GATES": str(self.gates),
            "PYTHONPATH": os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
        }
        with (self.logs / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def stop(self) -> None:
        """Ends the processes and what they started; a second time does nothing."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            # Each leads a group of its own, which holds its run workers.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()

    # What is said

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def verify(self) -> subprocess.CompletedProcess[str]:
        """What ``dagster-lmdb verify`` says of the store."""
        return subprocess.run(
            [sys.executable, "-m", "dagster_lmdb", "verify", str(self.store)],
            capture_output=True,
            text=True,
        )

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The answer of the GraphQL API.

        Raises:
            AssertionError: If it is an error.
        """
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def ask_one(self, query: str, wanted: str, **variables: Any) -> dict[str, Any]:
        """The one field of the answer, which must have the wanted type."""
        (field,) = self.ask(query, **variables).values()
        assert field["__typename"] == wanted, field
        return field

    def until(self, condition: Callable[[], T], what: str, seconds: float = 150) -> T:
        """The condition's first answer that is true.

        Raises:
            AssertionError: If there is none in time, or a process has ended.
        """
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
            time.sleep(0.1)
        return answer

    def _code_server_listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.code_port)) == 0

    def _answers(self) -> bool:
        try:
            answer = self.ask(queries.WORKSPACE)
        except urllib.error.URLError:
            return False
        entry = answer["workspaceLocationEntryOrError"]
        location = entry and entry["locationOrLoadError"]
        return bool(location) and location["__typename"] == "RepositoryLocation"

    def daemons_healthy(self) -> bool:
        statuses = self.ask(queries.DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(status["healthy"] for status in statuses if status["required"])

    # What is wished

    def launch(
        self, job: str, tags: Mapping[str, str] | None = None, assets: Sequence[str] = ()
    ) -> str:
        """Puts a run of a job into the queue, and returns its id."""
        selector: dict[str, Any] = {**REPOSITORY, "jobName": job}
        if assets:
            selector["assetSelection"] = [{"path": [asset]} for asset in assets]
        parameters = {
            "selector": selector,
            "executionMetadata": {
                "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]
            },
        }
        launched = self.ask_one(queries.LAUNCH, "LaunchRunSuccess", parameters=parameters)
        return launched["run"]["runId"]

    def materialize(self, asset: str, *partitions: str) -> str:
        """Launches a run that materializes an asset, or partitions of it, first to last."""
        tags = {}
        if len(partitions) == 1:
            tags["dagster/partition"] = partitions[0]
        elif partitions:
            tags["dagster/asset_partition_range_start"] = partitions[0]
            tags["dagster/asset_partition_range_end"] = partitions[-1]
        return self.launch("__ASSET_JOB", tags, [asset])

    def backfill(self, asset: str, partitions: Sequence[str]) -> str:
        """Asks for a backfill of an asset's partitions, and returns its id."""
        parameters = {
            "assetSelection": [{"path": [asset]}],
            "partitionNames": list(partitions),
        }
        launched = self.ask_one(queries.BACKFILL, "LaunchBackfillSuccess", parameters=parameters)
        return launched["backfillId"]

    def backfill_state(self, backfill: str) -> dict[str, Any]:
        return self.ask_one(queries.BACKFILL_STATE, "PartitionBackfill", id=backfill)

    def wipe(self, asset: str, first: str, last: str) -> None:
        """Wipes an asset's partitions from the first to the last."""
        ranges = [
            {
                "assetKey": {"path": [asset]},
                "partitions": {"range": {"start": first, "end": last}},
            }
        ]
        self.ask_one(queries.WIPE, "AssetWipeSuccess", ranges=ranges)

    def start_schedule(self, name: str) -> None:
        selector = {**REPOSITORY, "scheduleName": name}
        self.ask_one(queries.START_SCHEDULE, "ScheduleStateResult", selector=selector)

    def start_sensor(self, name: str) -> None:
        selector = {**REPOSITORY, "sensorName": name}
        self.ask_one(queries.START_SENSOR, "Sensor", selector=selector)

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """The ticks of a schedule or sensor that have ended, the newest first."""
        state = self.ask_one(
            queries.TICKS, "InstigationState", selector={**REPOSITORY, "name": name}
        )
        return [tick for tick in state["ticks"] if tick["status"] != "STARTED"]

    def cursor(self, sensor: str) -> str | None:
        """A sensor's cursor."""
        state = self.ask_one(
            queries.CURSOR, "InstigationState", selector={**REPOSITORY, "name": sensor}
        )
        return state["typeSpecificData"]["lastCursor"]

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        """The runs that a filter of the API finds, the newest first."""
        return self.ask_one(queries.RUNS, "Runs", filter=filters)["results"]

    def runs_with(self, **tags: str) -> list[dict[str, Any]]:
        return self.runs(tags=[{"key": key, "value": value} for key, value in tags.items()])

    def run(self, run_id: str) -> dict[str, Any]:
        return self.ask_one(queries.RUN, "Run", id=run_id)

    def ended(self, run_id: str, status: str = "SUCCESS") -> dict[str, Any]:
        """The run, once it has ended, which must be with the given status."""
        run = self.until(
            lambda: (run := self.run(run_id))["status"] in FINISHED and run,
            f"the run {run_id} ends",
        )
        assert run["status"] == status, self.events(run_id)
        return run

    def started(self, run_id: str) -> None:
        self.until(lambda: self.run(run_id)["status"] == "STARTED", f"the run {run_id} starts")

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """The events of a run, page by page."""
        events, cursor, more = [], None, True
        while more:
            page = self.ask_one(queries.EVENTS, "EventConnection", id=run_id, cursor=cursor)
            events += page["events"]
            cursor, more = page["cursor"], page["hasMore"]
        return events

    def asset(self, key: str) -> dict[str, Any]:
        return self.ask_one(queries.ASSET, "AssetNode", key={"path": [key]})

    def pool(self, key: str) -> dict[str, Any]:
        return self.ask(queries.POOL, key=key)["instance"]["concurrencyLimit"]

    def open_gate(self, name: str) -> None:
        (self.gates / name).touch()

    def go_past(self, run_id: str, *verses: int) -> None:
        """Opens the gates behind verses, where a run of the job ``poem_at_gates`` waits."""
        for verse in verses:
            self.open_gate(f"{run_id} {verse}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def end_with_parent() -> None:
    """Has the kernel end this process once the tests' own is gone, however that came about."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
