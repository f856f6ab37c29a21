"""A pytest plugin that writes the outcome of each of autograd's tests, and how much it checked, to a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", help="the JSON file to write the outcomes to")
    parser.addoption("--with-complex", action="store_true", help="check at complex points too")


class Outcomes:
    def __init__(self, config: pytest.Config, counts: dict[str, int]) -> None:
        self.path = Path(config.getoption("--outcomes"))
        self.counts = counts
        self.tests: list[dict[str, Any]] = []
        self.broken: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.counts.update(checked=0, complex=0)
        self.tests.append({"file": item.path.name, "name": item.name, "outcome": "passed", "reason": ""})
        result = yield
        self.tests[-1].update(self.counts)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report = yield
        if report.outcome != "passed":
            error = call.excinfo.value if call.excinfo is not None else ""
            message = (str(error).strip().splitlines() or [""])[0]
            self.tests[-1].update(outcome=report.outcome, reason=f"{type(error).__name__}: {message}")
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed":
            self.broken.append(f"{report.nodeid}: {report.longreprtext.strip().splitlines()[-1]}")

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps({"tests": self.tests, "broken": self.broken}))


def pytest_configure(config: pytest.Config) -> None:
    from autograd import test_util

    test_util.settings.with_complex = config.getoption("--with-complex")
    config.pluginmanager.register(Outcomes(config, test_util.counts), "outcomes of autograd's tests")
