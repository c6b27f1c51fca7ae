"""Puts Dagster's suites within reach, and holds every skip in them against the list of skips."""

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import dagster
import pytest
from dagster._core.test_utils import instance_for_test
from dagster._utils.env import environ

from contract.skips import is_listed
from contract.storages import APART, OURS, TOGETHER, UNDER_CONTRACT, storage_blocks
from contract.suites import fetch_suites

# Behind everything else, so that the suites never shadow an installed package.
sys.path.append(str(fetch_suites(dagster.__version__)))


@pytest.fixture(scope="session", autouse=True)
def defensive_checks() -> Iterator[None]:
    """Dagster's suites run with its record classes checking their fields."""
    with environ({"DAGSTER_RECORD_DEFENSIVE_CHECKS": "true"}):
        yield


@pytest.fixture(params=[TOGETHER, APART] if UNDER_CONTRACT == OURS else [TOGETHER])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dagster.DagsterInstance]:
    overrides = storage_blocks(tmp_path / "history", request.param)
    with instance_for_test(overrides, temp_dir=str(tmp_path)) as the_instance:
        yield the_instance


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if UNDER_CONTRACT != OURS or not item.get_closest_marker("dagsters_own"):
        return report
    listed = is_listed(item.cls, item.originalname)
    if report.skipped and not listed:
        report.outcome = "failed"
        report.longrepr = f"{item.name} skips and is not in skips.toml: {report.longrepr[2]}"
    elif report.passed and call.when == "call" and listed:
        report.outcome = "failed"
        report.longrepr = f"{item.name} runs; take it out of skips.toml"
    return report
