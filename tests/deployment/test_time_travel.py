"""The past of a deployment in use, as Dagster's UI shows it: of a fork, and of ``as_of``."""

import json
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, expect

from deployment.deployment import LOCATION, Deployment
from deployment.pages import fresh_page, keep
from deployment.past import Past

PAGES = [
    "/overview/activity/timeline",
    "/runs",
    "/overview/backfills",
    "/assets/letters?view=partitions",
    "/assets/derived?view=automation",
    f"/locations/{LOCATION}/jobs/poem/playground",
    f"/locations/{LOCATION}/schedules/every_minute",
    f"/locations/{LOCATION}/sensors/automation",
    "/deployment/daemons",
    "/deployment/concurrency",
]


class Moment(NamedTuple):
    """What was the case at a record: the run had said one verse, and ``ledger`` was not there."""

    sequence: int
    run_id: str
    events: list[dict[str, Any]]
    cursor: str


def command(*arguments: object) -> str:
    """What ``dagster-lmdb`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "dagster_lmdb", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def head(store: Path) -> int:
    return json.loads(command("stat", store, "--json"))["head"]


@pytest.fixture(scope="module")
def moment(deployment: Deployment) -> Moment:
    """A moment that has passed: the run has ended since, and sensor and ``ledger`` are further."""
    run_id = deployment.launch("poem_at_gates")
    deployment.until(
        lambda: "verse 1" in [event["message"] for event in deployment.events(run_id)],
        "the run says its first verse",
    )

    def between_ticks() -> tuple[int, str] | None:
        before = deployment.cursor("counting")
        at = head(deployment.store)
        return (at, before) if before and deployment.cursor("counting") == before else None

    at, cursor = deployment.until(between_ticks, "the sensor has a cursor, and does not move it")
    events = deployment.events(run_id)
    deployment.go_past(run_id, 1, 2, 3)
    deployment.ended(run_id)
    deployment.ended(deployment.materialize("ledger"))
    deployment.until(lambda: deployment.cursor("counting") != cursor, "the sensor moves its cursor")
    return Moment(at, run_id, events, cursor)


@pytest.fixture(params=["fork", "as_of"])
def past(
    request: pytest.FixtureRequest, deployment: Deployment, moment: Moment, tmp_path: Path
) -> Iterator[Past]:
    """A webserver on the moment, while the deployment goes on."""
    if request.param == "fork":
        forked = tmp_path / "forked"
        said = command("fork", deployment.store, forked, "--at", moment.sequence)
        assert f"up to record {moment.sequence:,} to {forked}" in said
        storage: dict[str, Any] = {"base_dir": str(forked)}
    else:
        storage = {"base_dir": str(deployment.store), "as_of": moment.sequence}
    with Past(tmp_path / request.param, deployment, storage) as past:
        yield past


def test_the_ui_shows_the_instance_as_it_was(
    past: Past, deployment: Deployment, moment: Moment, browser: Browser
) -> None:
    kind = past.directory.name
    run = past.run(moment.run_id)
    assert (run["status"], run["stats"]["endTime"]) == ("STARTED", None)
    assert past.events(moment.run_id) == moment.events
    assert past.asset("ledger")["assetMaterializations"] == []
    assert past.cursor("counting") == moment.cursor
    with fresh_page(browser, past.url) as page:
        page.goto(f"/runs/{moment.run_id}")
        expect(page.get_by_text("Started", exact=True)).to_be_visible()
        expect(page.get_by_text("verse 1", exact=True)).to_be_visible()
        expect(page.get_by_text("verse 2", exact=True)).to_have_count(0)
        keep(page, f"{kind}_run_in_progress")

        asset = page.context.new_page()
        asset.goto("/assets/ledger")
        expect(asset.get_by_text("Never materialized")).to_be_visible()
        keep(asset, f"{kind}_asset_not_yet_materialized")

        sensor = page.context.new_page()
        sensor.goto(f"/locations/{LOCATION}/sensors/counting")
        rows = sensor.get_by_role("row")
        expect(rows.filter(has_text="Edit")).to_contain_text(moment.cursor)
        expect(rows.filter(has_text="View logs").first).to_contain_text(moment.cursor)
        keep(sensor, f"{kind}_cursor_of_a_sensor")
    assert "ReadOnlyInstanceError" not in past.log("webserver"), "it wrote while it read"
    # Today is another day.
    assert deployment.run(moment.run_id)["status"] == "SUCCESS"
    assert len(deployment.asset("ledger")["assetMaterializations"]) == 1
    assert deployment.cursor("counting") != moment.cursor


@pytest.mark.parametrize("past", ["as_of"], indirect=True)
def test_no_page_writes(past: Past, moment: Moment, browser: Browser) -> None:
    for path in PAGES:
        with fresh_page(browser, past.url) as page:
            page.goto(path)
            expect(page.get_by_text("Hide navigation")).to_be_visible()
            page.wait_for_timeout(2000)  # for what it asks once it stands
            assert page.get_by_text("as of record").count() == 0
    assert "ReadOnlyInstanceError" not in past.log("webserver")


@pytest.mark.parametrize("past", ["as_of"], indirect=True)
def test_what_is_wished_on_the_past_is_refused_with_the_reason(
    past: Past, moment: Moment, browser: Browser
) -> None:
    with fresh_page(browser, past.url) as page:
        page.goto(f"/locations/{LOCATION}/jobs/poem/playground")
        page.get_by_role("button", name="Launch Run").click()
        expect(page.get_by_text(f"as of record {moment.sequence:,}").first).to_be_visible()
        page.wait_for_timeout(500)  # until it has faded in
        keep(page, "as_of_launch_refused")
    runs = past.runs()
    for wish in (lambda: past.launch("poem"), lambda: past.backfill("letters", ["d"])):
        with pytest.raises(urllib.error.HTTPError) as refused:
            wish()
        assert "ReadOnlyInstanceError" in refused.value.read().decode()
    assert past.runs() == runs


def test_a_webserver_and_a_daemon_that_start_at_once_share_a_fork_and_leave_the_past_as_it_was(
    deployment: Deployment, moment: Moment, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    storage = {
        "base_dir": str(deployment.store),
        "as_of": f"run:{moment.run_id}",
        "as_of_cache_dir": str(cache),
    }
    with Past(tmp_path / "both", deployment, storage, daemon=True) as past:
        runs, ticks = past.runs(), past.ticks("counting")
        # Each part of the daemon has started, and was told why it has nothing to do.
        past.until(lambda: past.log("daemon").count("ReadOnlyInstanceError") > 10, "it is refused")
        [fork] = cache.iterdir()
        assert fork.suffix == ".fork"
        assert "Failed to add heartbeat" not in past.log("daemon")
        assert past.runs() == runs
        assert past.ticks("counting") == ticks
        assert past.run(moment.run_id)["status"] == "SUCCESS"
