"""What changed between two runs.

Everything is compared by name: config by its paths, tags by their keys, steps by their keys,
metadata by what it is about and its label. Where both runs are of one partition of an asset, these
partitions are each other's counterparts.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from dagster import MetadataValue
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
)
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX
from dagster._serdes import serialize_value

from dagster_lmdb._progress import Report
from dagster_lmdb.debug.flat import ABSENT, Change, changes, nested_changes, same
from dagster_lmdb.debug.lines import own_error
from dagster_lmdb.debug.noise import Noise, durations, noise
from dagster_lmdb.debug.runs import RunHistory, Source
from dagster_lmdb.debug.timeline import Outcome, Step, Timeline
from dagster_lmdb.debug.traits import Facts, Trait, cause_of, facts_of, lanes, own_tags, packed

Lanes: TypeAlias = Mapping[str | None, Sequence[Trait]]

_VERSION_TAGS = (DATA_VERSION_TAG, CODE_VERSION_TAG)


@dataclass(frozen=True)
class Side:
    """A run in short."""

    run_id: str
    job_name: str
    status: str | None
    #: Unix seconds, and seconds; None before it started, and before it ended.
    started: float | None
    seconds: float | None


@dataclass(frozen=True)
class Duration:
    """A step that took longer or shorter, beyond noise; seconds of its last attempt."""

    step: str
    a: float
    b: float
    noise: Noise


@dataclass(frozen=True)
class Parting:
    """The first event that one run has and the other has not, or has otherwise."""

    step: str | None
    a: Trait | None
    b: Trait | None

    @property
    def differing(self) -> Sequence[str]:
        """What one of two events of the same kind says otherwise; metadata by its label."""
        if self.a is None or self.b is None:
            return []
        found = self.a.differing(self.b)
        return [] if "(type)" in found else found


@dataclass(frozen=True)
class Diff:
    """What changed from a run A to a run B."""

    a: Side
    b: Side
    config: Sequence[Change]
    tags: Sequence[Change]
    code: Sequence[Change]
    selection: Sequence[Change]
    #: Steps that only one of the runs has, with how they ended, or that ended otherwise.
    steps: Sequence[Change]
    retries: Sequence[Change]
    #: What the first cause of a step's failure says, or of the run's own.
    errors: Sequence[Change]
    durations: Sequence[Duration]
    metadata: Sequence[Change]
    data_versions: Sequence[Change]
    parting: Parting | None

    @property
    def alike(self) -> bool:
        """Whether nothing changed."""
        lists = (
            self.config,
            self.tags,
            self.code,
            self.selection,
            self.steps,
            self.retries,
            self.errors,
            self.durations,
            self.metadata,
            self.data_versions,
        )
        return self.parting is None and not any(lists)


def diff(source: Source, a: RunHistory, b: RunHistory, report: Report | None = None) -> Diff:
    """Compares two runs.

    Cost: the events of both, and those of up to 20 runs of the job that tell of steps.

    Args:
        source (Source): The store, for the history of durations.
        a (RunHistory): One run.
        b (RunHistory): The other.
        report (Optional[Report]): Is told how many runs of the history have been read.
    """
    timelines = [_timeline(history) for history in (a, b)]
    steps_a, steps_b = (timeline.steps for timeline in timelines)
    run_a, run_b = a.run, b.run
    histories = durations(source, b.job_name, {a.run_id, b.run_id}, report)
    blind = _blind_to(a.run_id, b.run_id)
    said_a, said_b = _Said(a), _Said(b)
    metadata, versions = _subjects(said_a, said_b, blind)
    return Diff(
        a=_side(a, timelines[0]),
        b=_side(b, timelines[1]),
        config=nested_changes(run_a and run_a.run_config, run_b and run_b.run_config, blind),
        tags=changes(_tags(run_a), _tags(run_b), blind),
        code=nested_changes(_code(run_a), _code(run_b)),
        selection=changes(_selection(run_a), _selection(run_b)),
        steps=changes(_outcomes(steps_a), _outcomes(steps_b)),
        retries=changes(_retries(steps_a, steps_b), _retries(steps_b, steps_a)),
        errors=changes(_errors(a, timelines[0]), _errors(b, timelines[1]), blind),
        durations=list(_durations(steps_a, steps_b, histories)),
        metadata=metadata,
        data_versions=versions,
        parting=_parting(
            lanes(a, blind, said_a.versions_of),
            lanes(b, blind, said_b.versions_of),
        ),
    )


def _blind_to(*run_ids: str) -> Callable[[Any], Any]:
    """What is compared of a value: in a text the ids of the runs are all the same."""

    def blind(value: Any) -> Any:
        if isinstance(value, str):
            for run_id in run_ids:
                value = value.replace(run_id, "(run)")
        return value

    return blind


def _timeline(history: RunHistory) -> Timeline:
    timeline = Timeline(history.created)
    for _, entry in history.events:
        timeline.fold(entry)
    return timeline


def _side(history: RunHistory, timeline: Timeline) -> Side:
    running = timeline.phases[-1] if timeline.phases else None
    return Side(
        run_id=history.run_id,
        job_name=history.job_name,
        status=history.run.status.value if history.run else None,
        started=running.start if running else None,
        seconds=running.end - running.start if running and running.end is not None else None,
    )


def _tags(run: DagsterRun | None) -> Mapping[str, str]:
    """A run's tags but those that Dagster hides, which are its own bookkeeping."""
    tags = run.tags if run else {}
    return {key: tag for key, tag in tags.items() if not key.startswith(HIDDEN_TAG_PREFIX)}


def _code(run: DagsterRun | None) -> Mapping[str, Any]:
    """Where a run's code came from, and the snapshots of its job and plan."""
    if run is None:
        return {}
    origins = {"origin": run.remote_job_origin, "code": run.job_code_origin}
    return {
        "job snapshot": run.job_snapshot_id,
        "execution plan": run.execution_plan_snapshot_id,
        **{
            name: _without_classes(json.loads(serialize_value(origin)))
            for name, origin in origins.items()
            if origin is not None
        },
    }


def _without_classes(packed: Any) -> Any:
    if isinstance(packed, dict):
        return {key: _without_classes(each) for key, each in packed.items() if key != "__class__"}
    return [_without_classes(each) for each in packed] if isinstance(packed, list) else packed


def _selection(run: DagsterRun | None) -> Mapping[str, Any]:
    if run is None:
        return {}
    assets = run.asset_selection and sorted(
        key.to_escaped_user_string() for key in run.asset_selection
    )
    checks = run.asset_check_selection and sorted(
        f"{key.asset_key.to_escaped_user_string()}:{key.name}" for key in run.asset_check_selection
    )
    chosen = {
        "job": run.job_name,
        "assets": assets,
        "asset checks": checks,
        "ops": run.op_selection and list(run.op_selection),
        "steps": run.step_keys_to_execute and list(run.step_keys_to_execute),
    }
    return {name: each for name, each in chosen.items() if each is not None}


def _outcomes(steps: Mapping[str, Step]) -> Mapping[str, str]:
    return {key: step.outcome.value for key, step in steps.items() if step.outcome is not None}


def _retries(steps: Mapping[str, Step], others: Mapping[str, Step]) -> Mapping[str, int]:
    return {key: step.retries for key, step in steps.items() if key in others}


def _errors(history: RunHistory, timeline: Timeline) -> Mapping[str, str]:
    """What failed each step, and the run itself where no step's failure did."""
    found = {
        key: message
        for key, step in timeline.steps.items()
        for attempt in step.attempts[-1:]
        if attempt.outcome is Outcome.FAILURE and (message := cause_of(attempt.error))
    }
    for _, entry in history.events:
        event = entry.dagster_event
        if event is not None and event.event_type_value == DagsterEventType.RUN_FAILURE.value:
            message = cause_of(own_error(entry))
            if message:
                found["(run)"] = message
    return found


def _durations(
    a: Mapping[str, Step], b: Mapping[str, Step], histories: Mapping[str, Sequence[float]]
) -> Sequence[Duration]:
    found = []
    for key in a.keys() & b.keys():
        ends = [step.attempts[-1] for step in (a[key], b[key]) if step.attempts]
        if len(ends) < 2 or any(end.outcome is not Outcome.SUCCESS for end in ends):
            continue
        seconds_a, seconds_b = (end.seconds(end.start) for end in ends)
        usual = noise(seconds_a, seconds_b, histories.get(key, []))
        if abs(seconds_b - seconds_a) > usual.seconds:
            found.append(Duration(key, seconds_a, seconds_b, usual))
    return sorted(found, key=lambda each: (-abs(each.b - each.a), each.step))


class _Said:
    """What the events of a run say, by subject."""

    def __init__(self, history: RunHistory) -> None:
        self.run_id = history.run_id
        self.by_subject: dict[str, list[tuple[str | None, Facts]]] = defaultdict(list)
        #: Data versions that Dagster made of the run's id, or of such versions.
        self.made_up: set[str] = set()
        for _, entry in history.events:
            facts = facts_of(entry)
            if facts is not None:
                self.by_subject[facts.subject].append((entry.step_key, facts))
                self._learn(facts.tags)

    def _learn(self, tags: Mapping[str, str]) -> None:
        if tags.get(DATA_VERSION_IS_USER_PROVIDED_TAG) == "true":
            return
        # Where code has no version, Dagster takes the run's id for it.
        is_made_up = tags.get(CODE_VERSION_TAG) == self.run_id or any(
            version in self.made_up
            for key, version in tags.items()
            if key.startswith(INPUT_DATA_VERSION_TAG_PREFIX)
        )
        if is_made_up and DATA_VERSION_TAG in tags:
            self.made_up.add(tags[DATA_VERSION_TAG])

    def named(self, alone: set[str], of_several: set[str]) -> dict[str, Facts]:
        """What is said by name.

        The name of a subject that stands alone has no partition; that of one of which several steps
        tell has the step, since it is chance which of them comes first.
        """
        found: dict[str, Facts] = {}
        #: How often each name was met: one may be told of as often as there are events.
        met: Counter[str] = Counter()
        for subject, said in self.by_subject.items():
            for step, facts in said:
                name = subject
                if facts.partition is not None and subject not in alone:
                    name = f"{subject} [{facts.partition}]"
                if subject in of_several and step is not None:
                    name = f"{name} by {step}"
                met[name] += 1
                numbered = name if met[name] == 1 else f"{name} #{met[name]}"
                # A subject may have such a name of its own.
                while numbered in found:
                    met[name] += 1
                    numbered = f"{name} #{met[name]}"
                found[numbered] = facts
        return found

    @property
    def alone(self) -> set[str]:
        """The subjects of which one partition is told, once."""
        return {subject for subject, said in self.by_subject.items() if len(said) == 1}

    @property
    def of_several(self) -> set[str]:
        """The subjects of which several steps tell."""
        return {
            subject
            for subject, said in self.by_subject.items()
            if len({step for step, _ in said}) > 1
        }

    def versions_of(self, facts: Facts) -> Mapping[str, str]:
        """What is compared of the versions that an event tells of."""
        return self.compared(_versions(facts))

    def compared(self, versions: Mapping[str, str]) -> Mapping[str, str]:
        """Versions, of which those that follow from the run's id are all the same."""
        return {
            key: self.run_id if version in self.made_up else version
            for key, version in versions.items()
        }


def _subjects(
    said_a: _Said, said_b: _Said, blind: Callable[[Any], Any]
) -> tuple[Sequence[Change], Sequence[Change]]:
    """What changed in metadata, and in data versions."""
    alone = said_a.alone & said_b.alone
    of_several = said_a.of_several | said_b.of_several
    named_a, named_b = (said.named(alone, of_several) for said in (said_a, said_b))
    metadata: list[Change] = []
    versions: list[Change] = []
    for name in sorted({**named_a, **named_b}):
        facts_a, facts_b = named_a.get(name), named_b.get(name)
        # Where a partition is no part of the name, it is compared like a value.
        subjects = {facts.subject for facts in (facts_a, facts_b) if facts is not None}
        values_a, values_b = (_values(facts, subjects <= alone) for facts in (facts_a, facts_b))
        for change in changes(_keyed(values_a, facts_a), _keyed(values_b, facts_b), blind):
            sides = [values_a.get(change.path, change.a), values_b.get(change.path, change.b)]
            if same(*sides):
                # A path and a text, say: what they are is what differs.
                sides = [json.loads(side) for side in (change.a, change.b)]
            metadata.append(Change(f"{name} {change.path}", *sides))
        versions_a, versions_b = _versions(facts_a), _versions(facts_b)
        for change in changes(said_a.compared(versions_a), said_b.compared(versions_b), blind):
            key = change.path
            sides = [versions_a.get(key, ABSENT), versions_b.get(key, ABSENT)]
            versions.append(Change(f"{name} {key}", *sides))
    return metadata, versions


def _values(facts: Facts | None, with_partition: bool) -> dict[str, Any]:
    """Metadata values as people know them, and tags."""
    if facts is None:
        return {}
    shown = {label: _shown(value) for label, value in facts.metadata.items()}
    shown |= {f"(tag) {key}": tag for key, tag in own_tags(facts.tags).items()}
    if with_partition and facts.partition is not None:
        shown["(partition)"] = facts.partition
    return shown


def _shown(value: MetadataValue[Any]) -> Any:
    plain = value.value
    if plain is None or isinstance(plain, (str, int, float, bool)):
        return plain
    return _without_classes(json.loads(packed(value)))


def _keyed(values: Mapping[str, Any], facts: Facts | None) -> Mapping[str, str]:
    """What is compared of metadata: its serialized form."""
    metadata = facts.metadata if facts else {}
    return {
        label: packed(metadata[label]) if label in metadata else str(value)
        for label, value in values.items()
    }


def _versions(facts: Facts | None) -> Mapping[str, str]:
    tags = facts.tags if facts else {}
    return {
        key.removeprefix("dagster/"): tag
        for key, tag in tags.items()
        if key in _VERSION_TAGS or key.startswith(INPUT_DATA_VERSION_TAG_PREFIX)
    }


def _parting(lanes_a: Lanes, lanes_b: Lanes) -> Parting | None:
    """The earliest of the lanes' first differences, by the time since the run's first moment."""
    found: list[tuple[float, Parting]] = []
    for key in {**lanes_a, **lanes_b}:
        lane_a, lane_b = lanes_a.get(key, ()), lanes_b.get(key, ())
        for place in range(max(len(lane_a), len(lane_b))):
            one = lane_a[place] if place < len(lane_a) else None
            other = lane_b[place] if place < len(lane_b) else None
            if one is None or other is None or one.content != other.content:
                times = [each.moment.elapsed for each in (one, other) if each is not None]
                found.append((min(times), Parting(key, one, other)))
                break
    return min(found, key=lambda each: each[0])[1] if found else None
