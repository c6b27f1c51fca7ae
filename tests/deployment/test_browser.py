"""What Dagster's UI shows in a browser. A screenshot of each page is kept in ``.artifacts/ui``."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from deployment.deployment import Deployment
from deployment.pages import fresh_page, keep


@pytest.fixture
def page(browser: Browser, deployment: Deployment) -> Iterator[Page]:
    with fresh_page(browser, deployment.url) as page:
        yield page


def launch(page: Page, job: str) -> str:
    """Launches a job in its launchpad, and returns the run's id from the page that opens."""
    page.goto(f"/locations/location/jobs/{job}/playground")
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
    return re.search(r"/runs/([0-9a-f-]{36})", page.url)[1]


def test_a_run_is_launched_from_the_launchpad(page: Page, deployment: Deployment) -> None:
    run_id = launch(page, "poem")
    expect(page.get_by_text("Success", exact=True)).to_be_visible()
    expect(page.get_by_text('Finished execution of run for "poem".')).to_be_visible()
    expect(page.get_by_text("Succeeded (1)")).to_be_visible()
    keep(page, "launched_run")
    assert deployment.run(run_id)["status"] == "SUCCESS"


def test_the_page_of_a_run_streams_its_log_while_it_goes(
    page: Page, deployment: Deployment
) -> None:
    run_id = launch(page, "poem_at_gates")
    page.evaluate("window.sameDocument = true")
    for verse in (1, 2, 3):
        expect(page.get_by_text(f"verse {verse}", exact=True)).to_be_visible()
        expect(page.get_by_text(f"verse {verse + 1}", exact=True)).to_have_count(0)
        expect(page.get_by_text("Started", exact=True)).to_be_visible()
        keep(page, f"run_at_verse_{verse}")
        assert deployment.run(run_id)["status"] == "STARTED"
        deployment.go_past(run_id, verse)
    expect(page.get_by_text("Success", exact=True)).to_be_visible()
    assert page.evaluate("window.sameDocument") is True, "the page was loaded again"
    keep(page, "run_at_its_end")


def test_the_page_of_an_asset_shows_its_partitions(page: Page, deployment: Deployment) -> None:
    run_id = deployment.materialize("panes", "north", "east")
    deployment.ended(run_id)
    page.goto("/assets/panes?view=partitions")
    expect(page.get_by_text("Materialized (2)")).to_be_visible()
    expect(page.get_by_text("Missing (2)")).to_be_visible()
    page.get_by_text("east", exact=True).first.click()
    expect(page.locator(f'a[href*="/runs/{run_id}"]').first).to_be_visible()
    keep(page, "partitions_of_an_asset")


def test_the_list_of_runs_is_filtered_by_a_tag(page: Page, deployment: Deployment) -> None:
    wanted = deployment.launch("poem", {"season": "winter"})
    other = deployment.launch("poem", {"season": "summer"})
    for run_id in (wanted, other):
        deployment.ended(run_id)
    page.goto("/runs")
    for run_id in (wanted, other):
        expect(links_to_runs(page).filter(has_text=run_id[:8])).to_be_visible()
    filtered = page.context.new_page()
    filtered.goto("/runs?q[0]=tag%3Aseason%3Dwinter")
    expect(filtered.get_by_text("season=winter")).to_be_visible()
    expect(links_to_runs(filtered)).to_have_text([wanted[:8]])
    keep(filtered, "runs_with_a_tag")


def links_to_runs(page: Page) -> Locator:
    """Those in a list of runs that have the beginning of an id for their text."""
    return page.locator('a[href^="/runs/"]').filter(has_text=re.compile(r"^[0-9a-f]{8}$"))


def test_the_automation_pages_show_what_ticks(page: Page, deployment: Deployment) -> None:
    deployment.until(lambda: len(deployment.ticks("counting")) >= 3, "the sensor ticks three times")
    location = "/locations/location"
    page.goto("/automation")
    for path, kind in (
        ("schedules/every_minute", "Scheduled Every minute"),
        ("sensors/automation", "Automation condition sensor"),
        ("sensors/counting", "Standard sensor"),
    ):
        expect(page.locator(f'a[href="{location}/{path}"]')).to_contain_text(kind)
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(3)
    keep(page, "automation")

    page.locator(f'a[href="{location}/sensors/counting"]').click()
    rows = page.get_by_role("row").filter(has_text="View logs")
    for tick in deployment.ticks("counting")[:3]:
        row = rows.filter(has=page.get_by_text(tick["cursor"], exact=True))
        expect(row).to_contain_text(f"{len(tick['runIds'])} run")
    keep(page, "ticks_of_a_sensor")
    page.get_by_text("Runs", exact=True).last.click()
    requested = deployment.runs(pipelineName="counted")
    expect(links_to_runs(page)).to_have_text([run["runId"][:8] for run in requested])
    keep(page, "runs_of_a_sensor")
