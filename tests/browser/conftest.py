"""One Chromium and one server for all tests of the console."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from hatch_build import SKIP
from hatch_build import Console as Build
from tests.browser import chromium
from tests.browser.console import FLAGS, Console, visit
from tunesmith.wire import Task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="package")
def executable() -> str:
    """The browser, and something to show in it."""
    if not Build(ROOT).is_built():
        if os.environ.get(SKIP):
            pytest.skip("the web console is not built, as wished")
        pytest.fail("the web console is not built of these sources: run `make console`")
    found = chromium.find()
    if found is None:
        if os.environ.get("CI") == "true" and chromium.can_install():
            pytest.fail(chromium.LACKING)
        pytest.skip(chromium.LACKING)
    return found


@pytest.fixture(scope="package")
def playwright(executable: str) -> Iterator[Playwright]:
    # Ends with this package: while it runs, its thread has an event loop that is not other tests'.
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright, executable: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def console(tmp_path_factory: pytest.TempPathFactory, executable: str) -> Iterator[Console]:
    """A server; two short trainings of it begin at once, and are there when a test asks."""
    console = Console(tmp_path_factory.mktemp("console")).start()
    console.begin()
    yield console
    console.server.close()


@pytest.fixture(scope="package")
def done(console: Console) -> Task:
    """A completed task with curves; its name looks like markup."""
    return console.wait(console.done, "completed")


@pytest.fixture(scope="package")
def failed(console: Console) -> Task:
    """A task whose samples have no room for an answer."""
    return console.wait(console.failed, "failed")


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    """A page of somebody who is signed in and reads Chinese."""
    with visit(browser, console) as page:
        yield page
