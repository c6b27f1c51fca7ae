"""The table: one row a measure, each peer's figure beside ours, and how far a goal is reached."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from benches.names import CONSOLIDATED, MEMORY, OURS, POSTGRES, SQLITE

#: Peers with a column of their own; what else was measured stands in the last one.
COLUMNS = [SQLITE, CONSOLIDATED, POSTGRES, MEMORY]


class Row:
    """The figures of one row, by peer and turn.

    Args:
        name: What the row is about.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unit = "s"
        self.goals: list[dict[str, Any]] = []
        self.turns: dict[str, dict[int, float]] = defaultdict(dict)
        self.without: dict[str, str] = {}
        self.marks: dict[str, str] = {}

    def add(self, benchmark: dict[str, Any]) -> None:
        """Takes in pytest-benchmark's account of one turn."""
        about = benchmark["extra_info"]
        self.goals = self.goals or about["goals"]
        peer = about["peer"]
        if "mark" in about:
            self.marks[peer] = about["mark"]
        if "value" not in about:
            self.turns[peer][about["turn"]] = benchmark["stats"]["median"]
        elif about["value"] is None:
            self.without[peer] = about["why"]
        else:
            self.unit = about["unit"]
            self.turns[peer][about["turn"]] = about["value"]

    def figure(self, peer: str) -> float:
        """The median over a peer's turns."""
        return statistics.median(self.turns[peer].values())

    def ratio(self, peer: str) -> float | None:
        """How many times better than a peer's our figure is: the median of the turns' ratios.

        None for a peer that has no figure, in one turn or more.
        """
        ours, theirs = self.turns.get(OURS), self.turns.get(peer)
        if not ours or not theirs or peer in self.without:
            return None
        ratios = [theirs[turn] / ours[turn] for turn in ours.keys() & theirs if ours[turn]]
        if not ratios:
            return None
        ratio = statistics.median(ratios)
        return 1 / ratio if self.unit.endswith("/s") else ratio

    def growth(self, other: "Row") -> float:
        """How many times that of another row our figure is: the median of the turns' ratios."""
        ours, before = self.turns[OURS], other.turns[OURS]
        return statistics.median(ours[turn] / before[turn] for turn in ours.keys() & before)

    def beyond(self, base: str, peer: str) -> float | None:
        """How many times what ours takes beyond a base a peer takes.

        The median of the turns' ratios. None where one of the three has no figure, infinite where
        ours takes no more than the base.
        """
        ours, bases, theirs = (self.turns.get(each, {}) for each in (OURS, base, peer))
        ratios = [
            (theirs[turn] - bases[turn]) / (ours[turn] - bases[turn])
            if ours[turn] > bases[turn]
            else math.inf
            for turn in ours.keys() & bases.keys() & theirs.keys()
        ]
        return statistics.median(ratios) if ratios else None

    def cell(self, peer: str) -> str:
        """A peer's figure and the ratio to ours."""
        if peer in self.without:
            return self.without[peer]
        if peer not in self.turns:
            return ""
        ratio = self.ratio(peer) if peer != OURS else None
        text = amount(self.figure(peer), self.unit)
        mark = f" {self.marks[peer]}" if peer in self.marks else ""
        return text + mark + (f" ({times(ratio)})" if ratio is not None else "")


def cell(row: Row, peer: str, rows: dict[str, Row]) -> str:
    """A peer's figure and the ratio to ours.

    Of one that has no history of this size, or took too long there: its figure of the row that ours
    is compared with, and that row's size.
    """
    slow = row.without.get(peer, "").startswith("over")
    if not slow and (peer in row.turns or peer in row.without):
        return row.cell(peer)
    for goal in row.goals:
        smaller = rows.get(goal["row"]) if "at_most" in goal and "row" in goal else None
        if smaller and peer in smaller.without:
            return smaller.without[peer]
        if smaller and peer in smaller.turns:
            size = smaller.name.rpartition(", ")[2]
            if not size.startswith("at "):
                size = "empty"
            found = f"{amount(smaller.figure(peer), smaller.unit)} ({size})"
            return f"{row.without[peer]}; {found}" if slow else found
    return row.cell(peer)


def amount(value: float, unit: str) -> str:
    """A figure with its unit; seconds in the unit that suits them."""
    if unit != "s":
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
        return f"{value:,.{digits}f} {unit}"
    for factor, name in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:,.2f} {name}"
    return f"{value * 1e6:,.1f} us"


def times(ratio: float) -> str:
    """A ratio, as exact as it is of use."""
    return (
        f"{ratio:,.0f} x" if ratio >= 20 else f"{ratio:.1f} x" if ratio >= 2 else f"{ratio:.2f} x"
    )


def verdict(row: Row, goal: dict[str, Any], rows: dict[str, Row]) -> str | None:
    """A goal, and what was reached; None where the run has no figure for it."""
    if OURS not in row.turns:
        return None
    if "beyond" in goal:
        reached = row.beyond(goal["beyond"], goal["than"])
        if reached is None:
            return None
        wanted = f"{goal['at_least']:g} x {goal['than']} beyond what {goal['beyond']}"
        if math.isinf(reached):
            return f"{wanted}: yes, ours takes no time beyond it that shows"
        return f"{wanted}: {'yes' if reached >= goal['at_least'] else '**no**'}, {times(reached)}"
    if "than" in goal:
        wanted = f"{goal['at_least']:g} x {goal['than']}"
        reached = row.ratio(goal["than"])
        if reached is None:
            why = row.without.get(goal["than"])
            return f"{wanted}: {why}" if why else None
        met = reached >= goal["at_least"]
        return f"{wanted}: {'yes' if met else f'**no, {times(reached)}**'}"
    if "row" in goal:
        other = rows.get(goal["row"])
        if other is None or OURS not in other.turns:
            return None
        growth = row.growth(other)
        if "at_least" in goal:
            met = growth >= goal["at_least"]
            return f"{goal['at_least']:g} x the row before: {'yes' if met else '**no**'}, {times(growth)}"  # noqa: E501
        met = growth <= goal["at_most"]
        return f"at most {goal['at_most']:g} x the row before: {'yes' if met else '**no**'}, {times(growth)}"  # noqa: E501
    figure = row.figure(OURS)
    if "at_least" in goal:
        met, wanted = figure >= goal["at_least"], f"at least {amount(goal['at_least'], row.unit)}"
    else:
        met, wanted = figure <= goal["at_most"], f"at most {amount(goal['at_most'], row.unit)}"
    return f"{wanted}: {'yes' if met else '**no**'}"


def rows_of(benchmarks: Sequence[dict[str, Any]]) -> dict[str, Row]:
    """The rows of a run of the benches, in order, by name."""
    rows: dict[str, Row] = {}
    for benchmark in benchmarks:
        name = benchmark["extra_info"]["row"]
        rows.setdefault(name, Row(name)).add(benchmark)
    return rows


def table(benchmarks: Sequence[dict[str, Any]]) -> str:
    """The Markdown table."""
    rows = rows_of(benchmarks)
    header = ["", OURS, *COLUMNS, "beside it", "goal"]
    lines = [header, ["---"] + ["---:"] * (len(COLUMNS) + 1) + ["---", "---"]]
    for row in rows.values():
        others = [peer for peer in [*row.turns, *row.without] if peer not in (OURS, *COLUMNS)]
        beside = "; ".join(f"{peer} {row.cell(peer)}" for peer in others)
        goals = [verdict(row, goal, rows) for goal in row.goals]
        cells = [cell(row, peer, rows) for peer in (OURS, *COLUMNS)]
        lines.append([row.name, *cells, beside, "; ".join(goal for goal in goals if goal)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def missed(benchmarks: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each goal that was not reached."""
    rows = rows_of(benchmarks)
    verdicts = ((row.name, verdict(row, goal, rows)) for row in rows.values() for goal in row.goals)
    return [f"{name}: {text}" for name, text in verdicts if text and "**no" in text]
