"""The model of states, ticks and evaluations, in lists and dictionaries."""

from collections.abc import Sequence
from dataclasses import dataclass

from model.instance.objects import StateDraft, TickDraft
from model.instance.runs import Refused

UNKNOWN = Refused("DagsterInvariantViolationError")


@dataclass
class Tick:
    id: int
    draft: TickDraft


@dataclass
class Evaluation:
    number: int
    key: str
    requested: bool
    created: int
    #: Set once the storage has said it.
    id: int | None = None


class Schedules:
    def __init__(self) -> None:
        #: Origins that were added, and the selector of those that were updated since.
        self.origins: dict[str, str | None] = {}
        #: States by selector, in the order in which selectors were added.
        self.states: dict[str, StateDraft] = {}
        self.ticks: list[Tick] = []
        #: In the order in which they were added.
        self.evaluations: list[Evaluation] = []

    # Instigators

    def add_state(self, draft: StateDraft) -> Refused | None:
        state = draft.state()
        if state.instigator_origin_id in self.origins:
            return UNKNOWN
        self.origins[state.instigator_origin_id] = None
        self.states[state.selector_id] = draft
        return None

    def update_state(self, draft: StateDraft) -> Refused | None:
        state = draft.state()
        if state.selector_id not in self.states:
            return UNKNOWN
        if state.instigator_origin_id in self.origins:
            self.origins[state.instigator_origin_id] = state.selector_id
        self.states[state.selector_id] = draft
        return None

    def delete_state(self, draft: StateDraft) -> Refused | None:
        """A state stays while another origin that was updated has its selector."""
        state = draft.state()
        if state.selector_id not in self.states:
            return UNKNOWN
        self.origins.pop(state.instigator_origin_id, None)
        if state.selector_id not in self.origins.values():
            del self.states[state.selector_id]
        return None

    # Ticks

    def create_tick(self, tick_id: int, draft: TickDraft) -> None:
        self.ticks.append(Tick(tick_id, draft))

    def tick(self, tick_id: int) -> Tick | None:
        return next((tick for tick in self.ticks if tick.id == tick_id), None)

    def update_tick(self, tick_id: int, draft: TickDraft) -> None:
        tick = self.tick(tick_id)
        if tick is not None:
            tick.draft = draft

    def ticks_of(
        self,
        origin: str | None,
        selector: str,
        before: int | None = None,
        after: int | None = None,
        statuses: Sequence[str] = (),
    ) -> list[Tick]:
        """The ticks of a selector, and those of an origin that have no selector; newest first."""
        found = [
            tick
            for tick in self.ticks
            if (
                tick.draft.selector == selector
                or (tick.draft.selector is None and tick.draft.origin == origin)
            )
            and (before is None or tick.draft.time < before)
            and (after is None or tick.draft.time > after)
            and (not statuses or tick.draft.status in statuses)
        ]
        return sorted(found, key=lambda tick: (tick.draft.time, tick.id), reverse=True)

    def purge_ticks(self, origin: str, selector: str, before: int, statuses: Sequence[str]) -> None:
        gone = self.ticks_of(origin, selector, before, statuses=statuses)
        self.ticks = [tick for tick in self.ticks if tick not in gone]

    # Evaluations

    def evaluate(self, now: int, number: int, found: Sequence[tuple[str, bool]]) -> None:
        for key, requested in found:
            known = [each for each in self.evaluations if (each.number, each.key) == (number, key)]
            if known:
                known[0].requested = requested
            else:
                self.evaluations.append(Evaluation(number, key, requested, now))

    def purge_evaluations(self, before: int) -> None:
        self.evaluations = [each for each in self.evaluations if each.created >= before]

    def of_key(self, key: str, before: int | None) -> list[Evaluation]:
        found = [
            each
            for each in self.evaluations
            if each.key == key and (before is None or each.number < before)
        ]
        return sorted(found, key=lambda each: -each.number)

    def of_number(self, number: int) -> list[Evaluation]:
        return [each for each in self.evaluations if each.number == number]
