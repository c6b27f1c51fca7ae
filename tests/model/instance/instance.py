"""The model of a whole instance: its events, runs and schedules, and what one does to another.

Each command of ``acts`` is a method here. It is given the clock and what the storage replied, and
returns what it has to reply.
"""

from collections.abc import Sequence
from typing import Any

from model.drafts import Act, Draft
from model.history import History
from model.instance.objects import BackfillDraft, RunDraft, StateDraft, Tags, TickDraft
from model.instance.runs import Refused, Runs
from model.instance.schedules import Schedules


class Instance:
    def __init__(self) -> None:
        self.history = History()
        self.runs = Runs()
        self.schedules = Schedules()

    def apply(self, act: Act, reply: Any) -> Any:
        return getattr(self, act.name)(act.now, reply, **act.arguments)

    # Events

    def store(self, now: int, reply: list[int], drafts: Sequence[Draft]) -> list[int]:
        """``reply`` is the events' ids."""
        self.history.store(drafts, reply, now)
        self.runs.stored(drafts)
        return reply

    def delete_events(self, now: int, reply: Any, run: str) -> None:
        self.history.delete_events(run, now)

    def claim(self, now: int, reply: Any, run: str, step: str) -> bool:
        self.history.set_limit("pool-1", 1, now)
        return self.history.claim("pool-1", run, step, 0, now)

    def wipe_events(self, now: int, reply: Any) -> None:
        self.history.wipe()

    # Runs

    def add_run(
        self, now: int, reply: Any, draft: RunDraft, created: int | None = None
    ) -> Refused | None:
        return self.runs.add_run(now, draft, created)

    def handle_run_event(self, now: int, reply: Any, event: Draft) -> None:
        logged = any(
            (stored.draft.type, stored.draft.time) == (event.type, event.time)
            for stored in self.history.of_run(event.run)
        )
        self.runs.handle_run_event(event, logged)

    def add_run_tags(self, now: int, reply: Any, run: str, tags: Tags) -> Refused | None:
        return self.runs.add_run_tags(now, run, tags)

    def replace_job_origin(self, now: int, reply: Any, run: str, repository: str) -> None:
        self.runs.replace_job_origin(run, repository)

    def delete_run(self, now: int, reply: Any, run: str) -> None:
        self.runs.delete_run(run)
        self.history.delete_events(run, now)

    def add_snapshot(self, now: int, reply: Any, name: str, plan: bool) -> None:
        (self.runs.plans if plan else self.runs.snapshots).add(name)

    def add_telemetry(self, now: int, reply: Any, run: str, value: float) -> None:
        self.runs.telemetry[run] = value

    def add_backfill(self, now: int, reply: Any, draft: BackfillDraft) -> Refused | None:
        return self.runs.add_backfill(draft)

    def update_backfill(self, now: int, reply: Any, draft: BackfillDraft) -> Refused | None:
        return self.runs.update_backfill(draft)

    def beat(self, now: int, reply: Any, daemon: str) -> None:
        self.runs.heartbeats[daemon] = now

    def wipe_heartbeats(self, now: int, reply: Any) -> None:
        self.runs.heartbeats.clear()

    def set_cursors(self, now: int, reply: Any, values: dict[str, str]) -> None:
        self.runs.cursors.update(values)

    def wipe_runs(self, now: int, reply: Any) -> None:
        self.runs.wipe()

    # Schedules

    def add_state(self, now: int, reply: Any, draft: StateDraft) -> Refused | None:
        return self.schedules.add_state(draft)

    def update_state(self, now: int, reply: Any, draft: StateDraft) -> Refused | None:
        return self.schedules.update_state(draft)

    def delete_state(self, now: int, reply: Any, draft: StateDraft) -> Refused | None:
        return self.schedules.delete_state(draft)

    def create_tick(self, now: int, reply: int, draft: TickDraft) -> int:
        """``reply`` is the tick's id."""
        self.schedules.create_tick(reply, draft)
        return reply

    def update_tick(self, now: int, reply: Any, tick_id: int, draft: TickDraft) -> None:
        self.schedules.update_tick(tick_id, draft)

    def purge_ticks(
        self,
        now: int,
        reply: Any,
        origin: str,
        selector: str,
        before: int,
        statuses: Sequence[str],
    ) -> None:
        self.schedules.purge_ticks(origin, selector, before, statuses)

    def evaluate(
        self, now: int, reply: Any, number: int, found: Sequence[tuple[str, bool]]
    ) -> None:
        self.schedules.evaluate(now, number, found)

    def purge_evaluations(self, now: int, reply: Any, before: int) -> None:
        self.schedules.purge_evaluations(before)

    def wipe_schedules(self, now: int, reply: Any) -> None:
        self.schedules = Schedules()

    # What changes nothing that anybody can ask

    def compact(self, now: int, reply: Any, keep_since: int | None) -> None:
        """What later records supersede goes, and shows nowhere."""

    def rebuild(self, now: int, reply: Any) -> None:
        """The projections are made anew, and are what they were."""

    def husk(self, now: int, reply: Any, share: int, place: int) -> None:
        """What may go goes, and shows nowhere."""

    def reopen(self, now: int, reply: Any) -> None:
        """The store is closed, and opened at its next use."""
