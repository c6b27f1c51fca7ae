"""The table of `make bench`: what its figures, ratios and verdicts are made of."""

from typing import Any

import pytest
from benches.names import MEMORY, OURS, POSTGRES, SQLITE
from benches.report import missed, table


def turn(
    peer: str, number: int, figure: float | None, *goals: dict[str, Any], **about: Any
) -> dict[str, Any]:
    """One turn as pytest-benchmark tells of it: a call of so many seconds, unless it has a unit."""
    noted = {"row": "a call", "goals": goals, "peer": peer, "turn": number, **about}
    if figure is None or "unit" in about:
        return {"extra_info": {"value": figure, **noted}, "stats": {"median": 0.0}}
    return {"extra_info": noted, "stats": {"median": figure}}


def cells(benchmarks: list[dict[str, Any]], row: int = 0) -> dict[str, str]:
    """A row of the table, by column."""
    lines = [line[1:-1].split("|") for line in table(benchmarks).splitlines()]
    return {head.strip(): cell.strip() for head, cell in zip(lines[0], lines[2 + row], strict=True)}


def test_a_ratio_is_the_median_of_the_turns_and_not_of_all_figures() -> None:
    # The second turn is slow for both, so the medians of all figures have another ratio.
    ours, theirs = [0.001, 0.009, 0.002], [0.004, 0.018, 0.020]
    benchmarks = [turn(OURS, number, figure) for number, figure in enumerate(ours)]
    benchmarks += [turn(SQLITE, number, figure) for number, figure in enumerate(theirs)]
    found = cells(benchmarks)
    assert found[OURS] == "2.00 ms"
    assert found[SQLITE] == "18.00 ms (4.0 x)"


def test_more_is_better_where_the_unit_is_a_rate() -> None:
    goals = ({"than": SQLITE, "at_least": 4}, {"at_least": 250})
    benchmarks = [
        turn(OURS, 0, 300.0, *goals, unit="events/s"),
        turn(SQLITE, 0, 100.0, *goals, unit="events/s"),
    ]
    found = cells(benchmarks)
    assert found[SQLITE] == "100 events/s (3.0 x)"
    assert found["goal"] == "4 x SQLite: **no, 3.0 x**; at least 250 events/s: yes"
    assert missed(benchmarks) == ["a call: 4 x SQLite: **no, 3.0 x**"]


@pytest.mark.parametrize(("figure", "met"), [(30.0, True), (30.1, False)])
def test_less_is_better_where_the_unit_is_none(figure: float, met: bool) -> None:
    benchmarks = [turn(OURS, 0, figure, {"at_most": 30}, unit="KiB")]
    assert cells(benchmarks)["goal"] == f"at most 30.0 KiB: {'yes' if met else '**no**'}"
    assert len(missed(benchmarks)) == (not met)


@pytest.mark.parametrize(("figure", "met"), [(0.010, True), (0.0099, False)])
def test_a_goal_beside_a_peer_is_its_time_over_ours(figure: float, met: bool) -> None:
    goal = {"than": POSTGRES, "at_least": 10}
    benchmarks = [turn(OURS, 0, 0.001, goal), turn(POSTGRES, 0, figure, goal)]
    assert (missed(benchmarks) == []) == met
    assert cells(benchmarks)["goal"].startswith(f"10 x Postgres: {'yes' if met else '**no, 9.9 x'}")


def test_a_peer_that_gave_up_once_has_no_ratio_though_it_had_figures() -> None:
    goal = {"than": SQLITE, "at_least": 2}
    benchmarks = [
        turn(OURS, 0, 0.001, goal),
        turn(SQLITE, 0, 50.0, goal),
        turn(SQLITE, 1, None, goal, why="over 60 s"),
    ]
    found = cells(benchmarks)
    assert found[SQLITE] == "over 60 s"
    assert found["goal"] == "2 x SQLite: over 60 s"


def test_a_slow_peer_has_the_figure_of_the_size_it_finishes() -> None:
    goal = {"row": "a call, at 10 thousand", "at_most": 1.5}
    benchmarks = [
        turn(OURS, 0, 0.001, row="a call, at 10 thousand"),
        turn(SQLITE, 0, 1.2, row="a call, at 10 thousand"),
        turn(POSTGRES, 0, None, row="a call, at 10 thousand", why="not supported"),
        turn(OURS, 0, 0.001, goal, row="a call, at 1 million"),
        turn(SQLITE, 0, None, goal, row="a call, at 1 million", why="over 60 s"),
        turn(POSTGRES, 0, None, goal, row="a call, at 1 million", why="not supported"),
    ]
    found = cells(benchmarks, row=1)
    assert found[SQLITE] == "over 60 s; 1.20 s (at 10 thousand)"
    assert found[POSTGRES] == "not supported"


def test_a_row_is_held_against_the_same_at_another_size() -> None:
    goal = {"row": "a call, at 10 thousand", "at_most": 1.5}
    benchmarks = [
        turn(OURS, 0, 0.001, row="a call, at 10 thousand"),
        turn(MEMORY, 0, 0.004, row="a call, at 10 thousand"),
        turn(OURS, 0, 0.0016, goal, row="a call, at 1 million"),
    ]
    found = cells(benchmarks, row=1)
    assert found["goal"] == "at most 1.5 x the row before: **no**, 1.60 x"
    assert found[MEMORY] == "4.00 ms (at 10 thousand)"  # no ratio: it has no history of that size
    assert missed(benchmarks) == [
        "a call, at 1 million: at most 1.5 x the row before: **no**, 1.60 x"
    ]
    assert missed(benchmarks[1:]) == []  # without the other row nothing is said


def test_growth_is_the_median_of_the_turns() -> None:
    goal = {"row": "small", "at_most": 1.5}
    small, large = [0.001, 0.004, 0.002], [0.001, 0.005, 0.005]
    benchmarks = [turn(OURS, number, figure, row="small") for number, figure in enumerate(small)]
    benchmarks += [
        turn(OURS, number, figure, goal, row="large") for number, figure in enumerate(large)
    ]
    assert cells(benchmarks, row=1)["goal"] == "at most 1.5 x the row before: yes, 1.25 x"


@pytest.mark.parametrize(("rate", "verdict"), [(600, "yes, 6.0 x"), (590, "**no**, 5.9 x")])
def test_many_are_held_against_one(rate: float, verdict: str) -> None:
    goal = {"row": "1 process", "at_least": 6}
    benchmarks = [
        turn(OURS, 0, 100.0, row="1 process", unit="events/s"),
        turn(OURS, 0, rate, goal, row="16 processes", unit="events/s"),
    ]
    assert cells(benchmarks, row=1)["goal"] == f"6 x the row before: {verdict}"


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        # Turn by turn 4, 8 and 8 times; of the medians it would be 4.
        ([2.0, 1.5, 6.5], "yes, 8.0 x"),
        ([1.5, 1.9, 6.9], "**no**, 4.4 x"),
        ([2.0, 0.9, 5.9], "yes, ours takes no time beyond it that shows"),
    ],
)
def test_what_a_run_takes_beyond_one_that_stores_nothing(ours: list[float], verdict: str) -> None:
    goal = {"beyond": "nothing", "than": SQLITE, "at_least": 5}
    benchmarks = [turn(OURS, number, figure, goal) for number, figure in enumerate(ours)]
    for peer, figures in ((SQLITE, [5.0, 5.0, 10.0]), ("nothing", [1.0, 1.0, 6.0])):
        benchmarks += [turn(peer, number, figure, goal) for number, figure in enumerate(figures)]
    found = cells(benchmarks)
    assert found["goal"] == f"5 x SQLite beyond what nothing: {verdict}"
    assert found["beside it"].startswith("nothing 1.00 s")  # has no column of its own
