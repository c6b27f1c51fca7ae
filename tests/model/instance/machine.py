"""The machine: commands to an instance from several processes, held against the model after each.

A command is an ``Act`` by name. The model applies it too and says what it replies, so one rule does
for many commands, and commands of several processes at once are those of one of their orders.
"""

import copy
import dataclasses
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dagster_lmdb import DagsterLmdbStorage
from model.drafts import Act, Draft
from model.instance import drawn
from model.instance.instance import Instance
from model.instance.objects import TickDraft
from model.instance.questions import Probe, ask, expected
from model.instance.questions.schedules import NUMBERS
from model.instance.runs import Refused
from model.processes import ActError, Elsewhere, Here, spawned

ALL = Probe()


class InstanceMachine(RuleBasedStateMachine):
    """One store, its processes, and the instance on it as it should be."""

    @initialize()
    def begin(self) -> None:
        self.start()
        self.processes.append(spawned(DagsterLmdbStorage, self.directory))

    def start(self) -> None:
        """Begins with this process alone."""
        self.directory = tempfile.mkdtemp(prefix="dagster-lmdb-model-")
        self.storage = DagsterLmdbStorage(self.directory)
        self.processes: list[Here | Elsewhere] = [Here(self.storage)]
        self.forked: list[Elsewhere] = []
        self.instance = Instance()
        self.probe = ALL
        self.numbers = 0
        self.seen = 0
        #: Ids of all ticks that there have been.
        self.ticks: list[int] = []
        self.storage_id = self.storage.run_storage.get_run_storage_id()
        #: Whether the last rule came to its end.
        self.sound = True

    def teardown(self) -> None:
        if not hasattr(self, "storage"):
            return
        try:
            if self.sound:
                self.compare(ALL)
                self.verify()
        finally:
            for process in self.forked:
                process.stop()
            self.storage.dispose()
            shutil.rmtree(self.directory)

    # Commands

    def do(self, by: int, name: str, now: int = 0, /, **arguments: Any) -> None:
        """Has a process do something; it replies as the model says."""
        act = self.numbered(Act(name, arguments, now))
        self.sound = False
        process = self.processes[by % len(self.processes)]
        process.begin(act)
        reply = self.reply(process, act, self.new_ids)
        truth = self.instance.apply(act, reply)
        assert reply == truth, f"{act}:\n{reply}\n!=\n{truth}"
        self.note(act, reply)

    def numbered(self, act: Act) -> Act:
        """The act with drafts of events that are told apart."""
        if act.name != "store":
            return act
        drafts = []
        for draft in act.arguments["drafts"]:
            self.numbers += 1
            drafts.append(dataclasses.replace(draft, number=self.numbers))
        return Act(act.name, {"drafts": drafts}, act.now)

    def reply(self, process: Here | Elsewhere, act: Act, ids: Any) -> Any:
        """What the act replied; of a stored batch, the ids that its events have."""
        try:
            reply = process.end()
        except ActError as error:
            refusal = str(error).partition(":")[0]
            return Refused(refusal)
        return ids(act.arguments["drafts"]) if act.name == "store" else reply

    def new_ids(self, drafts: Sequence[Draft]) -> list[int]:
        """The ids of events, which are all that were stored since the last call.

        One that is gone already, with its run, has 0, which no event that can be seen has.
        """
        new = self.storage.event_log_storage.get_logs_for_all_runs_by_log_id(self.seen)
        ids = {entry.user_message: number for number, entry in new.items()}
        own = [ids.pop(f"message {draft.number}", 0) for draft in drafts]
        assert not ids
        self.seen = max([self.seen, *own])
        return own

    def note(self, act: Act, reply: Any) -> None:
        if act.name == "create_tick":
            assert not self.ticks or reply > max(self.ticks), "ids ascend"
            self.ticks.append(reply)

    @precondition(lambda self: len(self.forked) < 2)
    @rule()
    def fork(self) -> None:
        self.storage.run_storage.get_runs_count()
        child = Elsewhere(self.storage)
        self.forked.append(child)
        self.processes.append(child)

    @rule(by=st.integers(0, 3), act=drawn.store)
    def store(self, by: int, act: Act) -> None:
        self.do_act(by, act)

    @rule(by=st.integers(0, 3), act=drawn.of_runs)
    def runs(self, by: int, act: Act) -> None:
        self.do_act(by, act)

    @rule(by=st.integers(0, 3), act=drawn.kept_with_runs)
    def keep(self, by: int, act: Act) -> None:
        self.do_act(by, act)

    @rule(by=st.integers(0, 3), act=drawn.of_schedules)
    def schedules(self, by: int, act: Act) -> None:
        self.do_act(by, act)

    @rule(by=st.integers(0, 3), act=drawn.of_log)
    def keep_house(self, by: int, act: Act) -> None:
        self.do_act(by, act)
        self.verify(by)

    @rule(by=st.integers(0, 3), name=drawn.wipes, often=st.integers(0, 3))
    def wipe(self, by: int, name: str, often: int) -> None:
        """Now and then, since little is left to ask about then."""
        if often == 0:
            self.do(by, name)

    def do_act(self, by: int, act: Act) -> None:
        self.do(by, act.name, act.now, **act.arguments)

    @rule(by=st.integers(0, 3), place=st.integers(0, 20), draft=drawn.tick_drafts, now=drawn.times)
    def update_tick(self, by: int, place: int, draft: TickDraft, now: int) -> None:
        """Any tick that there has been, also one that is gone. Its owner stays."""
        tick_id = self.tick_near(place)
        tick = self.instance.schedules.tick(tick_id)
        if tick is not None:
            own = tick.draft
            draft = dataclasses.replace(draft, origin=own.origin, selector=own.selector)
        self.do(by, "update_tick", now, tick_id=tick_id, draft=draft)

    def tick_near(self, place: int) -> int:
        """The id of a tick, or one that no tick has. What is drawn does not depend on the ids."""
        ids = [-1, *self.ticks]
        return ids[place % len(ids)]

    @rule(by=st.integers(0, 3), event=drawn.status_events, now=drawn.times)
    def report(self, by: int, event: Draft, now: int) -> None:
        """Stores an event, and has another process told of it, as Dagster does."""
        self.do(by, "store", now, drafts=[event])
        self.do(by + 1, "handle_run_event", now, event=event)

    # Several at once, and some that come to no end

    @rule(found=st.lists(drawn.racing, min_size=2, max_size=3))
    def at_once(self, found: list[Act]) -> None:
        compactions = [act for act in found if act.name == "compact"]
        # One compaction refuses another beside it.
        found = [act for act in found if act not in compactions[1:]]
        acts = [self.numbered(act) for act in found[: len(self.processes)]]
        # This process comes last, since it does not wait in between.
        doers = self.processes[::-1][: len(acts)]
        self.sound = False
        for process, act in zip(doers, acts, strict=True):
            process.begin(act)
        stored = [draft for act in acts if act.name == "store" for draft in act.arguments["drafts"]]
        ended = [self.reply(*each, lambda drafts: None) for each in zip(doers, acts, strict=True)]
        ids = dict(zip([draft.number for draft in stored], self.new_ids(stored), strict=True))
        replies = [
            [ids[draft.number] for draft in act.arguments["drafts"]] if act.name == "store" else end
            for act, end in zip(acts, ended, strict=True)
        ]
        done = list(zip(acts, replies, strict=True))
        self.settle(itertools.permutations(done))
        ticks = [reply for act, reply in done if act.name == "create_tick"]
        assert not ticks or not self.ticks or min(ticks) > max(self.ticks)
        self.ticks.extend(sorted(ticks))

    @rule(act=drawn.victims, after=st.integers(0, 40))
    def kill(self, act: Act, after: int) -> None:
        """A process is killed a moment after it was asked; all of what it does shows, or none."""
        act = self.numbered(act)
        self.sound = False
        victim = Elsewhere(self.storage)
        try:
            victim.begin(act)
            # No condition to wait for: every moment is as good.
            time.sleep(after / 10_000)
        finally:
            victim.kill()
        if act.name == "store":
            drafts = act.arguments["drafts"]
            new = self.storage.event_log_storage.get_logs_for_all_runs_by_log_id(self.seen)
            self.settle([[(act, self.new_ids(drafts))]] if new else [[]])
        else:
            self.settle([[], [(act, None)]])

    def settle(self, orders: Iterable[Sequence[tuple[Act, Any]]]) -> None:
        """Goes on with the model after one of these orders, by which the storages agree with it."""
        answers = ask(self.storage, ALL)
        differences = []
        for order in orders:
            instance = copy.deepcopy(self.instance)
            try:
                for act, reply in order:
                    truth = instance.apply(act, reply)
                    # Whoever was killed replied nothing.
                    assert reply in (truth, None), f"{act}:\n{reply}\n!=\n{truth}"
                assert_alike(answers, expected(instance, ALL), ALL)
            except AssertionError as difference:
                differences.append(f"{order}: {difference}")
            else:
                self.instance = instance
                return
        raise AssertionError("\n\n".join(differences))

    # Questions

    @rule(by=st.integers(0, 3), probe=drawn.probes, ids=st.lists(st.integers(0, 20), max_size=4))
    def ask_something(self, by: int, probe: Probe, ids: list[int]) -> None:
        """Other arguments from here on, and another process that answers."""
        found = tuple(self.tick_near(place) for place in ids)
        schedules = dataclasses.replace(probe.schedules, ids=found)
        self.probe = dataclasses.replace(probe, schedules=schedules)
        self.sound = False
        process = self.processes[by % len(self.processes)]
        answers = process.do(Act("ask", {"probe": self.probe}))
        assert_alike(answers, expected(self.instance, self.probe), self.probe)

    def verify(self, by: int = 0) -> None:
        assert self.processes[by % len(self.processes)].do(Act("differences")) == []

    def compare(self, probe: Probe) -> None:
        assert_alike(ask(self.storage, probe), expected(self.instance, probe), probe)

    @invariant()
    def every_answer_is_the_models(self) -> None:
        if hasattr(self, "storage"):
            self.compare(self.probe)
            self.ids_ascend_and_stay()
            self.sound = True

    def ids_ascend_and_stay(self) -> None:
        """Of runs and evaluations. What is added after another has the greater id, and keeps it."""
        runs = self.storage.run_storage
        records = runs.get_run_records(ascending=True)
        keep_ids(self.instance.runs.runs, [record.storage_id for record in records])
        schedules = self.storage.schedule_storage
        ids = [
            record.id
            for number in NUMBERS
            for record in schedules.get_auto_materialize_evaluations_for_evaluation_id(number)
        ]
        keep_ids(self.instance.schedules.evaluations, sorted(ids))
        assert runs.get_run_storage_id() == self.storage_id


def keep_ids(found: Sequence[Any], ids: Sequence[int]) -> None:
    assert sorted(set(ids)) == list(ids)
    for each, number in zip(found, ids, strict=True):
        assert each.id in (None, number)
        each.id = number


def assert_alike(answers: dict[str, Any], truths: dict[str, Any], probe: Probe) -> None:
    for name, truth in truths.items():
        assert answers[name] == truth, f"{name} of {probe}:\n{answers[name]}\n!=\n{truth}"
