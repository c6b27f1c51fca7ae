"""One deployment for all tests, and its processes' logs beside each failure."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from deployment.deployment import Deployment
from deployment.pages import chromium

BACKFILLED = ["a", "b", "c"]
LAST_LINES = 60

_DEPLOYMENT = pytest.StashKey[Deployment]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # It ends the processes that all others use.
    items.sort(key=lambda item: item.path.name == "test_ending.py")


@pytest.fixture(scope="session")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    request.config.stash[_DEPLOYMENT] = deployment
    with deployment:
        yield deployment


@pytest.fixture(scope="session", autouse=True)
def backfill(deployment: Deployment) -> str:
    """A backfill's id. It and all that ticks begin before the first test: they wait for a clock."""
    deployment.start_schedule("every_minute")
    for sensor in ("counting", "automation"):
        deployment.start_sensor(sensor)
    return deployment.backfill("letters", BACKFILLED)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed and (deployment := item.config.stash.get(_DEPLOYMENT, None)):
        for log in sorted(deployment.logs.glob("*.log")):
            lines = deployment.log(log.stem).splitlines()[-LAST_LINES:]
            report.sections.append((f"end of {log.name}", "\n".join(lines)))
    return report
