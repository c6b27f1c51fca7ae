"""A difference is shown as tables, and as JSON."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

from debug.diffs import Measured, change, diff_of
from debug.history import call
from engine.children import without_a_reader


def test_the_table_says_what_the_object_says(measured: Measured) -> None:
    two = measured.run("fail", tags={"team": "b"}, rows=7)
    result = call("diff", measured.directory, measured.plain, two)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.replace("│", " ").split()) for line in result.stdout.splitlines()]
    assert "+ ops.measure.config.rows 7" in lines
    assert "+ team b" in lines
    assert "~ measure success failure" in lines
    assert "- report success" in lines
    assert "+ measure RuntimeError: told to fail" in lines
    assert any(line.startswith("B") and "STEP_FAILURE measure" in line for line in lines)
    assert "\x1b" not in result.stdout


def test_floats_that_json_has_no_number_for_are_named(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    floats = [float(name) for name in ("nan", "inf", "-inf")]
    one, two = (
        told(dg.AssetMaterialization("a", metadata={"x": x, "all": {"of": floats, "and": y}}))
        for x, y in ((floats[0], 1), (floats[1], 2))
    )
    found = diff_of(instance, one, two)
    named = ["NaN", "Infinity", "-Infinity"]
    assert found["metadata"] == [
        change(
            "asset a all",
            **{side: {"data": {"of": named, "and": y}} for side, y in (("a", 1), ("b", 2))},
        ),
        change("asset a x", a="NaN", b="Infinity"),
    ]
    assert diff_of(instance, one, one)["alike"] is True
    directory = Path(instance.run_storage._base_dir)
    for words in (["tail", directory, "--run", one], ["replay", directory, one]):
        for line in call(*words, "--json").stdout.splitlines():
            json.loads(line, parse_constant=pytest.fail)


def test_a_table_shows_of_long_texts_where_they_differ(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    values = ["x" * 50_000 + end + "y" * 50_000 for end in ("first", "second")]
    values[0] = "a\nb\n" + values[0]
    values[1] = "a\nb\n" + values[1]
    runs = [told(dg.AssetMaterialization("a", metadata={"text": value})) for value in values]
    shown = call("diff", Path(instance.run_storage._base_dir), *runs).stdout
    assert len(shown) < 20_000
    for wanted in ("first", "second", "(49,904 characters)", "(49,105 more characters)"):
        assert wanted in shown
    lines = [told(dg.AssetMaterialization("a", metadata={"t": f"{n}\n" * 900})) for n in (1, 2)]
    shown = call("diff", Path(instance.run_storage._base_dir), *lines).stdout
    assert len(shown.splitlines()) < 60


def test_what_a_value_holds_does_not_reach_the_terminal(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    obeyed = "clear\x1b[2J bell\x07 half\ud800"
    runs = [
        told(
            dg.AssetMaterialization("a", metadata={obeyed: f"{obeyed} {number}"}),
            RuntimeError(f"{obeyed} {number}"),
        )
        for number in (1, 2)
    ]
    words = ["diff", Path(instance.run_storage._base_dir), *runs]
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout.count(r"clear\x1b[2J bell\x07 half\ud800") >= 4
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout


def test_a_table_that_nobody_reads_ends_quietly_as_by_sigpipe(measured: Measured) -> None:
    two = measured.run("fail", tags={"team": "b"})
    for options in ([], ["--json"]):
        words = ["diff", measured.directory, measured.plain, two, *options]
        result = without_a_reader(*words)
        assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")
