"""Processes that hold a storage and do what they are asked over a pipe."""

import multiprocessing
import os
import signal
import traceback
from multiprocessing.connection import Connection
from typing import Any

from dagster_lmdb import LmdbEventLogStorage
from model.acts import perform
from model.drafts import Act


def serve(pipe: Connection, storage: LmdbEventLogStorage | None) -> None:
    """Does one act after the other; a directory instead of an act is the store to go on with.

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
            if isinstance(asked, str):
                if storage is not None:
                    storage.dispose()
                storage = LmdbEventLogStorage(asked)
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

    def __init__(self, storage: LmdbEventLogStorage) -> None:
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

    def __init__(self, storage: LmdbEventLogStorage | None) -> None:
        context = multiprocessing.get_context("spawn" if storage is None else "fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, storage), daemon=True)
        self._process.start()
        theirs.close()
        #: Answers that are yet to be read.
        self._owed = 0

    def open(self, directory: str) -> None:
        """Goes on with another store, whatever became of the acts on the last one."""
        while self._owed:
            self._owed -= 1
            self._pipe.recv()
        self._send(directory)
        self.end()

    def begin(self, act: Act) -> None:
        self._send(act)

    def _send(self, asked: Act | str) -> None:
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

    def stop(self) -> None:
        self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()
