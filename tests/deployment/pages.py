"""Pages of Dagster's UI in a browser, and screenshots of them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

SCREENSHOTS = Path(__file__).parents[2] / ".artifacts" / "ui"
CHROMIUMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
REQUIRE = "DAGSTER_LMDB_REQUIRE_BROWSER"
PATIENCE = 90_000  # milliseconds


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium; skips the test where there is none, or fails it if one is required."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        missing = f"no Chromium on the PATH: {', '.join(CHROMIUMS)}"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{missing}, and {REQUIRE}=1")
        pytest.skip(missing)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def fresh_page(browser: Browser, url: str) -> Iterator[Page]:
    """A page in a fresh session, whose questions must all have been answered in the end.

    A browser forgets the answers to a page that goes elsewhere; a second page opens beside it.
    """
    answers: list[Response] = []
    with browser.new_context(base_url=url, viewport={"width": 1400, "height": 900}) as context:
        context.set_default_timeout(PATIENCE)
        context.on("response", lambda answer: answers.append(answer))
        yield context.new_page()
        asked = [answer for answer in answers if urlsplit(answer.url).path == "/graphql"]
        assert asked
        assert [body for answer in asked if "errors" in (body := answer.json())] == []


def keep(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
