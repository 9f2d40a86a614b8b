"""What every run of the tests ends with: a word on what could not be tested."""

import pytest

from tests.browser.chromium import LACKING


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("skipped", []):
        if LACKING in str(report.longrepr):
            terminalreporter.write_sep("!", LACKING, red=True, bold=True)
            return
