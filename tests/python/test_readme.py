"""What the README tells users to paste works as it stands."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.instance import InstanceRef

import dagster_lmdb
from dagster_lmdb.cli import main
from python.entries import run, status_event

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]


def settings(block: dict[str, Any]) -> dict[str, Any]:
    """The module, class and config of a block."""
    [(name, inner)] = block.items()
    return inner["custom"] if name == "storage" else inner


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: next(iter(block)))
def test_a_block_of_the_readme_makes_an_instance(block: dict[str, Any], tmp_path: Path) -> None:
    given = settings(block)
    assert Path(given["config"]["base_dir"]).is_absolute()
    given["config"]["base_dir"] = str(tmp_path / "store")
    (tmp_path / "dagster.yaml").write_text(yaml.dump(block))
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path))) as instance:
        assert type(instance.event_log_storage).__module__.startswith("dagster_lmdb")
        run_id = instance.add_run(run()).run_id
        instance.handle_new_event(status_event(run_id, DagsterEventType.RUN_START))
        assert instance.get_runs()[0].status == DagsterRunStatus.STARTED
        assert len(instance.all_logs(run_id)) == 1
        is_whole = isinstance(instance.run_storage, dagster_lmdb.LmdbRunStorage)
    assert is_whole == ("storage" in block)
    assert (tmp_path / "store" / "data.mdb").exists()


def test_the_readme_has_a_block_for_everything_and_one_for_the_event_log_alone() -> None:
    assert [next(iter(block)) for block in BLOCKS] == ["storage", "event_log_storage"]


def test_the_readme_names_every_class_that_dagster_yaml_takes() -> None:
    for name in (name for name in dagster_lmdb.__all__ if name.endswith("Storage")):
        assert name in README, name


def test_the_readme_lists_every_verb_and_every_page() -> None:
    verbs = set(re.findall(r"^\| `dagster-lmdb (\w+)", README, re.MULTILINE))
    assert verbs == set(main.commands)
    for verb in verbs:
        assert CliRunner().invoke(main, [verb, "--help"]).exit_code == 0
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert pages == set(re.findall(r"\[docs/(\w+\.md)\]\(docs/\w+\.md\)", README))


@pytest.mark.parametrize("verb", sorted(main.commands))
def test_the_pages_name_every_option_of_a_verb(verb: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    options = [each for each in main.commands[verb].params if isinstance(each, click.Option)]
    assert options
    for option in options:
        names = "|".join(map(re.escape, option.opts))
        assert re.search(rf"(?<![\w-])({names})(?![\w-])", text), option.opts


def test_the_picture_of_a_trace_shows_what_the_readme_says_of_traces() -> None:
    picture = (ROOT / "docs" / "pictures" / "trace.svg").read_text()
    shown = re.findall(r"<title>([^<,]+)[^<]*</title>|<text[^>]*>([^<]+)</text>", picture)
    said = " ".join(title or text for title, text in shown)
    for wanted in ("queue wait", "start-up", "slot wait", "retry wait", "load input"):
        assert wanted in said
    assert "handle output" in said
    assert len(re.findall(r"forecast [0-9a-f]{8}", said)) == 2
