"""A pytest plugin for inside the guest: each report of a test goes to the host as one line of JSON.

Loaded by ``-p vm.reports``; the host's half is `relay` in ``test_layouts.py``.
"""

import json
import os

import pytest


class Reporter:
    def __init__(self, config: pytest.Config, path: str) -> None:
        self._config = config
        self._channel = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115

    def _send(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        hook = self._config.hook
        data = hook.pytest_report_to_serializable(config=self._config, report=report)
        print(json.dumps(data), file=self._channel)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._send(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._send(report)

    def pytest_unconfigure(self) -> None:
        self._channel.close()


def pytest_configure(config: pytest.Config) -> None:
    if path := os.environ.get("NSBOX_GUEST_REPORT"):
        config.pluginmanager.register(Reporter(config, path))
