"""Watches on runs: callbacks that are given each new event of a run.

One thread per process and store follows the commits of all processes. It sleeps in the engine
until there is one, and then gives each watch its run's events after the watch's own place. The
thread starts with the first watch on a store and ends with the last; a child that is forked begins
without either.

Invariants: ``_lock`` guards the set of followers and what each of them watches, and is never held
while a callback runs or the engine is called. Only the follower's thread moves a watch's place.
"""

import atexit
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import overload

from dagster._core.event_api import EventHandlerFn, EventLogCursor

from dagster_lmdb._arguments import sequence_bound
from dagster_lmdb._core import EventLog, UndecodableEventError
from dagster_lmdb._rows import Event

_LOG = logging.getLogger(__name__)

# A wake that gets lost is made good after this many seconds.
_SAFETY_TIMEOUT = 1.0
# Seconds from one round to the next, so that a busy store is followed in pages and not in events.
_PACE = 0.005
# Events of one run that are read and given before another run has its turn.
_PAGE = 1000

# Reentrant, since the garbage collector may run somebody's end_watch while it is held.
_lock = threading.RLock()
_followers: dict[str, "_Follower"] = {}


class Watcher:
    """The watches of one storage object."""

    def watch(
        self,
        store_id: str,
        open_log: Callable[[], EventLog],
        run_id: str,
        cursor: str | None,
        callback: EventHandlerFn,
    ) -> None:
        """Begins a watch; its callback is first called from the follower's thread.

        Args:
            store_id: The store, as ``EventLog.store_id`` names it.
            open_log: Opens a handle on it for the follower to keep.
            run_id: The run.
            cursor: The cursor to begin after; None for the run's first event.
            callback: Called with the entry and the cursor of each event.
        """
        watch = _Watch(self, run_id, cursor, callback)
        follower = _join(store_id, watch)
        if follower is None:
            spare = _Follower(store_id, open_log())
            follower = _join(store_id, watch, spare)
            if follower is not spare:
                spare.close()
        follower.wake()

    def end(self, run_id: str, callback: EventHandlerFn) -> None:
        """Ends this object's watches of a run that call this function; no call begins after it."""
        _end(
            lambda watch: (
                watch.owner is self and watch.run_id == run_id and watch.callback == callback
            )
        )

    def end_all(self) -> None:
        """Ends all of this object's watches; no call begins after it."""
        _end(lambda watch: watch.owner is self)


class _Watch:
    """A callback and its place in a run: after a sequence, or after so many of its events."""

    def __init__(
        self, owner: Watcher, run_id: str, cursor: str | None, callback: EventHandlerFn
    ) -> None:
        self.owner = owner
        self.run_id = run_id
        self.callback = callback
        self.after: int | None = None
        self.offset = 0
        self.ended = False
        if cursor is not None:
            place = EventLogCursor.parse(cursor)
            if place.is_offset_cursor():
                self.offset = place.offset()
            else:
                self.after = sequence_bound(place.storage_id())

    @property
    def place(self) -> tuple[str, int | None, int]:
        return self.run_id, self.after, self.offset

    def move_after(self, sequence: int) -> None:
        self.after, self.offset = sequence, 0

    def give(self, sequence: int, event: Event, cursor: str) -> None:
        """Calls the callback, whatever becomes of it."""
        # Moved first: an event whose callback raises is not given again.
        self.move_after(sequence)
        try:
            self.callback(event[1], cursor)
        except BaseException:
            _LOG.exception("Exception in callback for event watch on run %s.", self.run_id)


class _Follower:
    """The thread that follows one store, and the watches on it."""

    def __init__(self, store_id: str, log: EventLog) -> None:
        self.watches: Sequence[_Watch] = ()
        self._store_id = store_id
        self._log = log
        # What was last wrong with each run that cannot be read.
        self._trouble: dict[str, str] = {}
        self._thread = threading.Thread(
            target=self._follow, name="dagster-lmdb-event-watch", daemon=True
        )

    def add(self, watch: _Watch) -> None:
        """Gives the thread another watch to serve, the first of which starts it. Locked."""
        self.watches = (*self.watches, watch)
        if self._thread.ident is None:
            self._thread.start()

    def wake(self) -> None:
        """Lets the thread see what has changed, if it sleeps."""
        self._log.wake()

    def close(self) -> None:
        self._log.close()

    def join(self, timeout: float) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _follow(self) -> None:
        trouble = ""
        while not self._is_done():
            began = time.monotonic()
            try:
                # Read before the events are: a commit or a wake from here on ends the wait.
                seen = self._log.commit_word()
                if not self._round():
                    self._log.wait_for_commit(seen, _SAFETY_TIMEOUT)
                trouble = ""
            except BaseException as error:
                if trouble != str(error):
                    _LOG.exception("The watch on events goes on after an error of the store.")
                trouble = str(error)
                time.sleep(_SAFETY_TIMEOUT)
            time.sleep(max(0.0, began + _PACE - time.monotonic()))
        self._log.close()

    def _is_done(self) -> bool:
        with _lock:
            if self.watches:
                return False
            if _followers.get(self._store_id) is self:
                del _followers[self._store_id]
            return True

    def _round(self) -> bool:
        """Gives each watch a page of what is new to it; whether any run has more."""
        together: dict[tuple[str, int | None, int], list[_Watch]] = defaultdict(list)
        for watch in self.watches:
            together[watch.place].append(watch)
        more = [self._try_page(*place, watches) for place, watches in together.items()]
        return any(more)

    def _try_page(
        self, run_id: str, after: int | None, offset: int, watches: Sequence[_Watch]
    ) -> bool:
        """As ``_give_page``; a run that cannot be read does not keep others from being given."""
        try:
            more = self._give_page(run_id, after, offset, watches)
        # A panic of the engine is no Exception.
        except BaseException as error:
            if self._trouble.get(run_id) != str(error):
                _LOG.exception("The watch on run %s goes on after an error of the store.", run_id)
            self._trouble[run_id] = str(error)
            return False
        self._trouble.pop(run_id, None)
        return more

    def _give_page(
        self, run_id: str, after: int | None, offset: int, watches: Sequence[_Watch]
    ) -> bool:
        undecodable = None
        try:
            page = self._log.run_events(run_id, after=after, offset=offset, limit=_PAGE)
        except UndecodableEventError as error:
            undecodable = error.sequence
            page = self._log.run_events(run_id, after=after, offset=offset, before=undecodable)
        for event in page:
            sequence = event[0]
            cursor = EventLogCursor.from_storage_id(sequence).to_string()
            for watch in watches:
                if not watch.ended:
                    watch.give(sequence, event, cursor)
        if undecodable is not None:
            _LOG.warning("Could not parse event record id `%s`.", undecodable)
            for watch in watches:
                watch.move_after(undecodable)
        return undecodable is not None or len(page) == _PAGE


@overload
def _join(store_id: str, watch: _Watch) -> _Follower | None: ...
@overload
def _join(store_id: str, watch: _Watch, spare: _Follower) -> _Follower: ...
def _join(store_id: str, watch: _Watch, spare: _Follower | None = None) -> _Follower | None:
    """Adds a watch to the store's follower; where it has none, the spare one becomes it."""
    with _lock:
        follower = _followers.get(store_id)
        if follower is None and spare is not None:
            follower = _followers[store_id] = spare
        if follower is not None:
            follower.add(watch)
    return follower


def _end(is_over: Callable[[_Watch], bool]) -> None:
    idle = []
    with _lock:
        for follower in _followers.values():
            kept = []
            for watch in follower.watches:
                if is_over(watch):
                    watch.ended = True
                else:
                    kept.append(watch)
            if len(kept) < len(follower.watches):
                follower.watches = tuple(kept)
                if not kept:
                    idle.append(follower)
    for follower in idle:
        follower.wake()


def _end_at_exit() -> None:
    # A thread that comes back from the engine to an interpreter that is gone would take the
    # process down with it.
    with _lock:
        followers = list(_followers.values())
    _end(lambda watch: True)
    for follower in followers:
        follower.join(2 * _SAFETY_TIMEOUT)


def _begin_anew_in_child() -> None:
    """Forgets the parent's followers, whose threads the child does not have, and their lock."""
    global _lock, _followers
    _lock = threading.RLock()
    _followers = {}


atexit.register(_end_at_exit)
os.register_at_fork(after_in_child=_begin_anew_in_child)
