"""What holds for all tests: Hypothesis profiles, and no skipped test where CI=true."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, print_blob=True)
settings.register_profile(  # under emulation each example is some ten times slower
    "emulated", deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow]
)
IS_CI = os.environ.get("CI") == "true"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IS_CI else "default"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:  # type: ignore[misc]
    """Turn a skip into a failure where every tier has to run."""
    report: pytest.TestReport = yield  # type: ignore[misc]
    if IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as a failure under CI=true: {report.longrepr}"
    return report
