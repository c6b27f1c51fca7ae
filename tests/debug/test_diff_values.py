"""What two runs say of assets, outputs, inputs and checks: metadata, versions, partitions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.definitions.events import (
    AssetMaterializationFailure,
    AssetMaterializationFailureReason,
    AssetMaterializationFailureType,
)
from dagster._core.events import (
    AssetFailedToMaterializeData,
    StepMaterializationData,
)
from dagster._core.utils import make_new_run_id

from debug.diffs import change, changed, diff_of
from debug.history import call, execute
from python.entries import event, run


def test_partitions_that_stand_for_each_other_are_compared(instance: DagsterInstance) -> None:
    one, two = (
        execute(instance, "letters_job", tags={"dagster/partition": partition})
        for partition in ("a", "b")
    )
    result = call("diff", Path(instance.run_storage._base_dir), one, two, "--json")
    found = json.loads(result.stdout)
    assert found["tags"] == [change("dagster/partition", a="a", b="b")]
    metadata = {each["path"]: (each.get("a"), each.get("b")) for each in found["metadata"]}
    assert metadata["asset letters letter"] == ("a", "b")
    assert metadata["asset letters (partition)"] == ("a", "b")
    # One version of several partitions, each of which has one that its run's id went into.
    assert [each["path"] for each in found["data_versions"]] == [
        "asset words input_data_version/letters"
    ]
    # The metadata of a result is told with the output first.
    assert found["parting"]["a"]["event_type"] == "STEP_OUTPUT"
    assert found["parting"]["step"] == "letters"


def test_versions_that_dagster_makes_of_the_runs_id_are_no_change(
    instance: DagsterInstance,
) -> None:
    @dg.asset
    def unversioned() -> int:
        return 1

    @dg.asset(code_version="1")
    def beneath(unversioned: int) -> int:
        return unversioned

    @dg.asset
    def said() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(data_version=dg.DataVersion(next(versions)))

    versions = iter(["one", "one", "two"])
    assets = [unversioned, beneath, said]
    runs = [dg.materialize(assets, instance=instance).run_id for _ in range(3)]
    directory = Path(instance.run_storage._base_dir)
    same, other = (
        json.loads(call("diff", directory, *runs[place : place + 2], "--json").stdout)
        for place in (0, 1)
    )
    assert changed(same) == set()
    assert same["parting"] is None
    assert changed(other) == {"data_versions"}
    assert other["data_versions"] == [change("asset said data_version", a="one", b="two")]


def test_ids_of_both_runs_are_one_text_wherever_they_stand(instance: DagsterInstance) -> None:
    """As where a run that was executed again reads what the first one has written."""
    one, two = make_new_run_id(), make_new_run_id()
    for run_id, wrote in ((one, one), (two, one)):
        config = {"ops": {"load": {"config": {"to": f"/tmp/{run_id}/f", "from": f"/tmp/{wrote}"}}}}
        instance.add_run(run(run_id=run_id, run_config=config, tags={"out": f"s3://{run_id}"}))
        made = dg.AssetMaterialization("a", metadata={"path": dg.MetadataValue.path(f"/{wrote}/a")})
        instance.event_log_storage.store_event(
            event(
                run_id,
                DagsterEventType.ASSET_MATERIALIZATION,
                StepMaterializationData(made),
                step_key="load",
            )
        )
    directory = Path(instance.run_storage._base_dir)
    found = json.loads(call("diff", directory, one, two, "--json").stdout)
    assert changed(found) == set()
    assert found["parting"] is None


def test_what_steps_say_of_one_asset_is_compared_step_by_step(instance: DagsterInstance) -> None:
    def speaking(name: str) -> dg.OpDefinition:
        @dg.op(name=name, ins={"after": dg.In(dg.Nothing)})
        def speaks(context: dg.OpExecutionContext) -> None:
            context.log_event(dg.AssetMaterialization("shared", metadata={"by": name}))

        return speaks

    def in_order(first: str, second: str) -> dg.JobDefinition:
        @dg.job(name="orderly")
        def orderly() -> None:
            speaking(second)(speaking(first)())

        return orderly

    one, two = (
        in_order(*names).execute_in_process(instance=instance).run_id
        for names in (("x", "y"), ("y", "x"))
    )
    result = call("diff", Path(instance.run_storage._base_dir), one, two, "--json")
    assert json.loads(result.stdout)["metadata"] == []


def test_metadata_of_any_kind_is_shown(instance: DagsterInstance) -> None:
    @dg.op(config_schema={"rows": int})
    def table(context: dg.OpExecutionContext) -> None:
        columns = [dg.TableColumn("a"), dg.TableColumn("b")][: context.op_config["rows"]]
        context.log_event(
            dg.AssetMaterialization(
                "a_table", metadata={"schema": dg.TableSchema(columns), "none": None}
            )
        )

    @dg.job
    def tables() -> None:
        table()

    one, two = (
        tables.execute_in_process(
            {"ops": {"table": {"config": {"rows": rows}}}}, instance=instance
        ).run_id
        for rows in (1, 2)
    )
    result = call("diff", Path(instance.run_storage._base_dir), one, two, "--json")
    [found] = json.loads(result.stdout)["metadata"]
    assert found["path"] == "asset a_table schema"
    assert [each["name"] for each in found["b"]["schema"]["columns"]] == ["a", "b"]


def failed(rows: int) -> dg.Failure:
    return dg.Failure("no rows", metadata={"rows": rows})


def check(rows: int = 1, **fields: Any) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        dg.AssetKey("a"), "c", fields.pop("passed", True), {"rows": rows}, **fields
    )


@pytest.mark.parametrize(
    ("make", "path", "event_type"),
    [
        (failed, "failure speaks rows", "STEP_FAILURE"),
        (
            lambda rows: dg.AssetMaterialization("a", metadata={"rows": rows}),
            "asset a rows",
            "ASSET_MATERIALIZATION",
        ),
        (
            lambda rows: dg.AssetObservation("a", metadata={"rows": rows}),
            "observation a rows",
            "ASSET_OBSERVATION",
        ),
        (
            lambda rows: dg.ExpectationResult(True, "few", metadata={"rows": rows}),
            "expectation speaks.few rows",
            "STEP_EXPECTATION_RESULT",
        ),
        (check, "check a:c rows", "ASSET_CHECK_EVALUATION"),
        (
            lambda rows: dg.Output(0, metadata={"rows": rows}),
            "output speaks.result rows",
            "STEP_OUTPUT",
        ),
    ],
)
def test_metadata_is_all_that_changed(
    instance: DagsterInstance,
    told: Callable[..., str],
    make: Callable[[int], Any],
    path: str,
    event_type: str,
) -> None:
    found = diff_of(instance, told(make(1)), told(make(2)))
    assert changed(found) == {"metadata"}
    assert found["metadata"] == [change(path, a=1, b=2)]
    for side in ("a", "b"):
        assert found["parting"][side]["event_type"] == event_type


@pytest.mark.parametrize(
    ("says", "path", "values"),
    [
        (
            [dg.AssetMaterialization("a", description=text) for text in ("one", "two")],
            "asset a (description)",
            ("one", "two"),
        ),
        (
            [check(severity=each) for each in dg.AssetCheckSeverity],
            "check a:c (severity)",
            ("WARN", "ERROR"),
        ),
        ([check(passed=each) for each in (True, False)], "check a:c (passed)", (True, False)),
        (
            [dg.ExpectationResult(each, "few") for each in (True, False)],
            "expectation speaks.few (success)",
            (True, False),
        ),
    ],
)
def test_what_an_event_says_beside_its_metadata_is_compared(
    instance: DagsterInstance,
    told: Callable[..., str],
    says: Sequence[Any],
    path: str,
    values: tuple[Any, Any],
) -> None:
    found = diff_of(instance, *map(told, says))
    assert found["metadata"] == [change(path, a=values[0], b=values[1])]


def test_metadata_of_inputs_outputs_and_their_types_is_compared(instance: DagsterInstance) -> None:
    class Manager(dg.IOManager):
        def __init__(self, rows: int) -> None:
            self.rows = rows

        def handle_output(self, context: dg.OutputContext, obj: object) -> None:
            context.add_output_metadata({"written": self.rows})

        def load_input(self, context: dg.InputContext) -> int:
            context.add_input_metadata({"read": self.rows})
            return self.rows

    rows_type = dg.DagsterType(
        lambda _, rows: dg.TypeCheck(True, metadata={"checked": rows}), name="Rows"
    )

    @dg.op(out=dg.Out(rows_type))
    def one() -> int:
        return 5

    @dg.op(ins={"number": dg.In(rows_type)})
    def two(number: int) -> None: ...

    @dg.job
    def both() -> None:
        two(one())

    runs = [
        both.execute_in_process(instance=instance, resources={"io_manager": Manager(rows)}).run_id
        for rows in (1, 2)
    ]
    found = diff_of(instance, *runs)
    expected = {
        "input two.number read",
        "handled one.result written",
        "type of input two.number (type) checked",
    }
    assert {each["path"] for each in found["metadata"]} == expected


def test_what_a_lost_asset_says_is_compared(instance: DagsterInstance) -> None:
    def loses(rows: int) -> str:
        made = instance.add_run(run()).run_id
        lost = AssetMaterializationFailure(
            dg.AssetKey("a"),
            AssetMaterializationFailureType.FAILED,
            AssetMaterializationFailureReason.FAILED_TO_MATERIALIZE,
            metadata={"rows": rows},
        )
        of_type = DagsterEventType.ASSET_FAILED_TO_MATERIALIZE
        data = AssetFailedToMaterializeData(lost)
        instance.handle_new_event(event(made, of_type, data, step_key="a"))
        return made

    found = diff_of(instance, loses(1), loses(2))
    assert found["metadata"] == [change("failed asset a rows", a=1, b=2)]
    assert found["parting"]["step"] == "a"


def test_values_of_other_kinds_that_look_alike_are_told_apart(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    values = ("/srv", dg.MetadataValue.path("/srv"))
    runs = [told(dg.AssetMaterialization("a", metadata={"at": value})) for value in values]
    [found] = diff_of(instance, *runs)["metadata"]
    assert found["a"] == {"__class__": "TextMetadataEntryData", "text": "/srv"}
    assert found["b"] == {"__class__": "PathMetadataEntryData", "path": "/srv"}


def test_keys_that_read_alike_are_two_assets(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    def says(nested: int, flat: int) -> str:
        keys = {("a", "b"): nested, ("a/b",): flat}
        return told(
            *(
                dg.AssetMaterialization(dg.AssetKey(key), metadata={"rows": rows})
                for key, rows in keys.items()
            ),
            *(
                dg.AssetCheckEvaluation(dg.AssetKey(key), "c", True, {"rows": rows})
                for key, rows in keys.items()
            ),
        )

    assert diff_of(instance, says(1, 2), says(1, 2))["alike"] is True
    one, two = says(1, 2), says(1, 3)
    assert diff_of(instance, one, two)["metadata"] == [
        change(r"asset a\/b rows", a=2, b=3),
        change(r"check a\/b:c rows", a=2, b=3),
    ]
    shown = call("diff", Path(instance.run_storage._base_dir), one, two).stdout
    assert r"asset a\/b rows" in shown
    alone = [told(dg.AssetMaterialization(dg.AssetKey(key))) for key in (("a", "b"), ("a/b",))]
    parting = diff_of(instance, *alone)["parting"]
    assert (parting["step"], parting["differing"]) == ("speaks", ["(subject)"])
    assert [parting[side]["subject"] for side in "ab"] == ["asset a/b", r"asset a\/b"]
    shown = call("diff", Path(instance.run_storage._base_dir), *alone).stdout
    assert "(asset a/b)" in shown
    assert r"(asset a\/b)" in shown


def test_runs_part_where_code_has_another_version(instance: DagsterInstance) -> None:
    def made(version: str) -> str:
        @dg.asset(code_version=version)
        def versioned() -> dg.MaterializeResult:
            return dg.MaterializeResult(metadata={"rows": 1})

        return dg.materialize([versioned], instance=instance).run_id

    one, again, two = made("1"), made("1"), made("2")
    assert diff_of(instance, one, again)["parting"] is None
    found = diff_of(instance, one, two)
    assert changed(found) >= {"data_versions"}
    parting = found["parting"]
    assert parting["a"]["event_type"] == "ASSET_MATERIALIZATION"
    assert sorted(parting["differing"]) == ["(version) code_version", "(version) data_version"]
    shown = call("diff", Path(instance.run_storage._base_dir), one, two).stdout
    assert "differ in" in shown


def test_what_is_told_often_is_numbered(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    def says(rows: int) -> str:
        keys = map(dg.AssetKey, ["a", "a #3", "a", "a", "b", "b"])
        return told(
            *(
                dg.AssetMaterialization(key, metadata={"rows": rows if place in (1, 5) else 0})
                for place, key in enumerate(keys)
            )
        )

    found = diff_of(instance, says(1), says(2))
    assert found["metadata"] == [
        change("asset a #3 #2 rows", a=1, b=2),
        change("asset b #2 rows", a=1, b=2),
    ]
    assert found["parting"]["differing"] == ["rows"]


def test_a_selection_tells_keys_that_read_alike_apart(instance: DagsterInstance) -> None:
    runs = [
        instance.add_run(run(asset_selection=frozenset([dg.AssetKey(key)]))).run_id
        for key in (["a", "b"], ["a/b"])
    ]
    assert diff_of(instance, *runs)["selection"] == [change("assets", a=["a/b"], b=[r"a\/b"])]


@pytest.mark.parametrize(
    ("make", "subject", "event_type"),
    [
        (dg.AssetMaterialization, "asset", "ASSET_MATERIALIZATION"),
        (dg.AssetObservation, "observation", "ASSET_OBSERVATION"),
    ],
)
def test_tags_of_assets_are_compared_by_asset_and_partition(
    instance: DagsterInstance,
    told: Callable[..., str],
    make: Callable[..., Any],
    subject: str,
    event_type: str,
) -> None:
    one, two = (
        told(
            make("a", partition="p", tags={"team": team}),
            make("a", partition="q", tags={"team": "same", **more}),
        )
        for team, more in (("blue", {}), ("red", {"new": "n"}))
    )
    found = diff_of(instance, one, two)
    assert changed(found) == {"metadata"}
    assert found["metadata"] == [
        change(f"{subject} a [p] (tag) team", a="blue", b="red"),
        change(f"{subject} a [q] (tag) new", b="n"),
    ]
    assert found["parting"]["b"]["event_type"] == event_type


def test_tags_that_dagster_gives_an_asset_are_no_change(instance: DagsterInstance) -> None:
    """Among them are ids of events and of backfills, and the id of the run itself."""
    parts = dg.MultiPartitionsDefinition(
        {"x": dg.StaticPartitionsDefinition(["1"]), "y": dg.StaticPartitionsDefinition(["2"])}
    )

    @dg.asset
    def above() -> int:
        return 1

    @dg.asset(partitions_def=parts, deps=[above])
    def beneath(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(tags={"by": context.run.run_id, "team": "blue"})

    runs = [
        dg.materialize(
            [above, beneath],
            instance=instance,
            partition_key=dg.MultiPartitionKey({"x": "1", "y": "2"}),
            tags={"dagster/backfill": backfill},
        ).run_id
        for backfill in ("one", "two")
    ]
    given = [
        event.dagster_event.event_specific_data.materialization.tags
        for event in instance.all_logs(runs[1], of_type=DagsterEventType.ASSET_MATERIALIZATION)
        if event.dagster_event
    ]
    assert any(key.startswith("dagster/input_event_pointer") for tags in given for key in tags)
    found = diff_of(instance, *runs)
    assert changed(found) == {"tags"}
    assert found["parting"] is None
