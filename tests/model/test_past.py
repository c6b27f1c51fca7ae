"""An instance as of a record answers as the model did when that record was the last one.

The machine goes through random commands, but for those that take history away, and remembers the
model here and there. See ``instance.machine`` and ``profile``.
"""

import copy

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from dagster_lmdb import DagsterLmdbStorage
from model.drafts import Act
from model.instance import drawn
from model.instance.instance import Instance
from model.instance.machine import ALL, InstanceMachine, assert_alike
from model.instance.questions import ask, expected
from model.profile import SETTINGS, TIMEOUT


class PastMachine(InstanceMachine):
    """The machine, and what was once the case."""

    # These compact, so that what was is not all there any more.
    keep_house = at_once = kill = None  # type: ignore[assignment]

    def start(self) -> None:
        super().start()
        self.past: dict[int, Instance] = {}

    @rule()
    def remember(self) -> None:
        head = self.storage.event_log_storage._log.head()
        if head:
            self.past[head] = without_cache(self.instance)

    @precondition(lambda self: self.past)
    @rule(place=st.integers(0, 20))
    def look_back(self, place: int) -> None:
        head = list(self.past)[place % len(self.past)]
        past = DagsterLmdbStorage(self.directory, as_of=head)
        try:
            assert_alike(ask(past, ALL), expected(self.past[head], ALL), ALL)
        finally:
            past.dispose()

    @rule(by=st.integers(0, 3), act=drawn.store)
    def store_and_look_back(self, by: int, act: Act) -> None:
        """What comes after a record, and before the next that is remembered, does not show."""
        self.remember()
        self.do_act(by, act)
        if self.past:
            self.look_back(len(self.past) - 1)


def without_cache(instance: Instance) -> Instance:
    """The instance; what Dagster cached of assets is no part of history."""
    instance = copy.deepcopy(instance)
    for asset in instance.history.assets.values():
        asset.cached = None
    return instance


TestPast = PastMachine.TestCase
TestPast.settings = SETTINGS
TestPast = pytest.mark.timeout(TIMEOUT)(TestPast)
