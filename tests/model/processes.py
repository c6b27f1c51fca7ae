"""Processes that hold a storage and do what they are asked over a pipe."""

import multiprocessing
import os
import signal
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from dagster_lmdb import DagsterLmdbStorage, LmdbEventLogStorage
from model import acts
from model.drafts import Act
from model.instance import acts as instance_acts

Storage = LmdbEventLogStorage | DagsterLmdbStorage


@dataclass
class Opening:
    """What a process is asked to go on with: a storage of this kind on a store."""

    kind: type[Storage]
    directory: str


def perform(storage: Storage, act: Act) -> Any:
    if isinstance(storage, DagsterLmdbStorage):
        return instance_acts.perform(storage, act)
    return acts.perform(storage, act)


def serve(pipe: Connection, storage: Storage | None) -> None:
    """Does one act after the other; an opening instead of an act is what to go on with.

    None is the end, and so is that of the process that asks.
    """
    asking = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whoever started the tests may ignore it, and a daemon process ends by it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        while not pipe.poll(1):
            if os.getppid() != asking:
                return
        try:
            asked = pipe.recv()
        except EOFError:
            return
        if asked is None:
            return
        try:
            if isinstance(asked, Opening):
                if storage is not None:
                    storage.dispose()
                storage = asked.kind(asked.directory)
                answer = None
            else:
                assert storage is not None
                answer = perform(storage, asked)
            pipe.send((answer, None))
        except Exception as error:
            pipe.send((None, told(error)))


def told(error: Exception) -> str:
    """The type and the message, and where it comes from."""
    where = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}: {error}\n{where}"


class ActError(Exception):
    """An act raised this in the process that did it."""


class Here:
    """This very process."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._answer: Any = None
        self._error: str | None = None

    def begin(self, act: Act) -> None:
        self._answer = self._error = None
        try:
            self._answer = perform(self.storage, act)
        except Exception as error:
            self._error = told(error)

    def end(self) -> Any:
        if self._error is not None:
            raise ActError(self._error)
        return self._answer

    def do(self, act: Act) -> Any:
        self.begin(act)
        return self.end()


class Elsewhere:
    """Another process: forked with a storage open, or spawned without one."""

    def __init__(self, storage: Storage | None) -> None:
        context = multiprocessing.get_context("spawn" if storage is None else "fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, storage), daemon=True)
        self._process.start()
        theirs.close()
        #: Answers that are yet to be read.
        self._owed = 0

    def open(self, kind: type[Storage], directory: str) -> None:
        """Goes on with another store, whatever became of the acts on the last one."""
        while self._owed:
            self._owed -= 1
            self._pipe.recv()
        self._send(Opening(kind, directory))
        self.end()

    def begin(self, act: Act) -> None:
        self._send(act)

    def _send(self, asked: Act | Opening) -> None:
        self._pipe.send(asked)
        self._owed += 1

    def end(self) -> Any:
        answer, error = self._pipe.recv()
        self._owed -= 1
        if error is not None:
            raise ActError(error)
        return answer

    def do(self, act: Act) -> Any:
        self.begin(act)
        return self.end()

    def kill(self) -> None:
        """Ends in the middle of whatever it does."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def stop(self) -> None:
        self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


# A process that is spawned imports Dagster, so it serves one example after the other.
_spawned: list[Elsewhere] = []


def spawned(kind: type[Storage], directory: str) -> Elsewhere:
    """A process that shares nothing with this one, with a storage on a store."""
    if not _spawned:
        _spawned.append(Elsewhere(None))
    _spawned[0].open(kind, directory)
    return _spawned[0]
