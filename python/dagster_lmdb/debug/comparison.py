"""A difference of two runs as tables for people, and as an object for programs."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dagster_lmdb._texts import printable
from dagster_lmdb.debug.diff import Diff, Duration, Parting, Side
from dagster_lmdb.debug.flat import ABSENT, Change
from dagster_lmdb.debug.lines import clock, length, message_of, own_error
from dagster_lmdb.debug.runs import shown_type
from dagster_lmdb.debug.traits import Trait, cause_of

#: The lists of changes, and what each is called.
_SECTIONS = (
    ("config", "Config"),
    ("tags", "Tags"),
    ("code", "Code"),
    ("selection", "Selection"),
    ("steps", "Steps"),
    ("retries", "Retries"),
    ("errors", "Errors"),
    ("metadata", "Metadata"),
    ("data_versions", "Data versions"),
)
#: How much of a text a cell shows, in characters and lines, and how much of it that is the same.
_LONGEST, _LINES, _BEFORE = 1000, 20, 100

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


def as_object(found: Diff) -> dict[str, Any]:
    """A difference for programs; a side that a change does not have is left out of it."""
    return {
        "alike": found.alike,
        "runs": {"a": _side_object(found.a), "b": _side_object(found.b)},
        **{name: [change.as_object() for change in getattr(found, name)] for name, _ in _SECTIONS},
        "durations": [
            {
                "step": each.step,
                "a": each.a,
                "b": each.b,
                "noise": each.noise.seconds,
                "noise_by": each.noise.by,
                "history": {"runs": each.noise.runs, "median": each.noise.median},
            }
            for each in found.durations
        ],
        "parting": None
        if found.parting is None
        else {
            "step": found.parting.step,
            "differing": list(found.parting.differing),
            "a": _trait_object(found.parting.a),
            "b": _trait_object(found.parting.b),
        },
    }


def tables(found: Diff) -> Iterator[RenderableType]:
    """A difference for people: both runs, then a table for each thing that changed."""
    yield _runs(found.a, found.b)
    if found.alike:
        yield Text("Nothing else changed: the runs are alike.", "green")
        return
    if found.parting is not None:
        yield _parting(found.parting)
    for name, title in _SECTIONS:
        changes: Sequence[Change] = getattr(found, name)
        if changes:
            yield _changes(title, changes)
    if found.durations:
        yield _durations(found.durations)


def _runs(a: Side, b: Side) -> Table:
    table = Table(title="Runs", title_justify="left", title_style="bold")
    for column in ("", "run", "job", "status", "started", "took"):
        table.add_column(column, overflow="fold")
    for name, side in (("A", a), ("B", b)):
        table.add_row(
            name,
            Text(printable(side.run_id)),
            Text(printable(side.job_name)),
            side.status or "",
            clock(side.started) if side.started else "",
            length(side.seconds) if side.seconds is not None else "",
        )
    return table


def _table(title: str, rows: Sequence[tuple[str, str, Text]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for sign, style, text in rows:
        table.add_row(Text(sign, style), text)
    return table


def _parting(parting: Parting) -> Table:
    rows = [
        (name, style, _event(trait, parting))
        for name, style, trait in (("A", "red", parting.a), ("B", "green", parting.b))
    ]
    if parting.differing:
        # What the values are, the tables of metadata and versions tell.
        rows.append(("~", "yellow", Text(printable(f"differ in {', '.join(parting.differing)}"))))
    return _table("They part at", rows)


def _changes(title: str, changes: Sequence[Change]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("", "what", "A", "B"):
        table.add_column(column, overflow="fold")
    for change in changes:
        sign, style = _SIGNS[change.kind]
        table.add_row(Text(sign, style), Text(printable(change.path)), *_cells(change.a, change.b))
    return table


def _durations(found: Sequence[Duration]) -> Table:
    table = Table(title="Durations beyond noise", title_justify="left", title_style="bold")
    table.add_column("step", overflow="fold")
    for column in ("A", "B", "B - A", "noise", "median"):
        table.add_column(column, justify="right")
    table.add_column("noise by", overflow="fold")
    for each in found:
        slower = each.b > each.a
        sign = "+" if slower else "-"
        table.add_row(
            Text(printable(each.step)),
            length(each.a),
            length(each.b),
            Text(f"{sign}{length(abs(each.b - each.a))}", "red" if slower else "green"),
            length(each.noise.seconds),
            "" if each.noise.median is None else length(each.noise.median),
            each.noise.basis,
        )
    return table


def _cells(a: Any, b: Any) -> tuple[Text, Text]:
    """Both sides of a change; of long texts the part in which they begin to differ."""
    one, other = _text(a), _text(b)
    if one == other:
        # 1 and "1", say.
        one, other = _text(a, quoted=True), _text(b, quoted=True)
    begin = 0
    if one and other and (_is_long(one) or _is_long(other)):
        begin = max(_common(one, other) - _BEFORE, 0)
    return _part(one, begin), _part(other, begin)


def _text(value: Any, *, quoted: bool = False) -> str:
    if value is ABSENT:
        return ""
    if isinstance(value, str) and not quoted:
        return value
    return json.dumps(value, default=str)


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with that are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    differing = (place for place, (a, b) in pairs if a != b)
    return next(differing, min(len(one), len(other)))


def _is_long(text: str) -> bool:
    return len(text) > _LONGEST or text.count("\n") >= _LINES


def _part(text: str, begin: int = 0) -> Text:
    """As much of a text as a cell takes, and how much more there is before and after it."""
    part = "\n".join(text[begin : begin + _LONGEST].split("\n")[:_LINES])
    left = len(text) - begin - len(part)
    return Text.assemble(
        (f"({begin:,} characters)\n" if begin else "", "dim"),
        printable(part),
        (f"\n({left:,} more characters)" if left > 0 else "", "dim"),
    )


def _event(trait: Trait | None, parting: Parting) -> Text:
    step = parting.step
    if trait is None:
        return Text(printable(f"nothing more of {'the run' if step is None else f'step {step}'}"))
    entry = trait.moment.entry
    said = [shown_type(entry), entry.step_key or "", message_of(entry)]
    if "(subject)" in parting.differing:
        # Messages show keys of assets alike that are not.
        said.append(f"({trait.subject})")
    line = f"{length(trait.moment.elapsed)}: {'  '.join(filter(None, said))}"
    return Text("\n").join(map(_part, filter(None, [line, cause_of(own_error(entry))])))


def _side_object(side: Side) -> dict[str, Any]:
    return {
        "run_id": side.run_id,
        "job": side.job_name,
        "status": side.status,
        "started": side.started,
        "seconds": side.seconds,
    }


def _trait_object(trait: Trait | None) -> dict[str, Any] | None:
    if trait is None:
        return None
    entry = trait.moment.entry
    return {
        "sequence": trait.moment.sequence,
        "elapsed": trait.moment.elapsed,
        "event_type": entry.dagster_event.event_type_value if entry.dagster_event else None,
        "step_key": entry.step_key,
        "message": entry.message,
        "subject": trait.subject,
        "error": cause_of(own_error(entry)),
    }
