"""What holds on every page, in both languages and themes, at every size."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import Console, Language, Theme, visit
from tunesmith.wire import Task

pytestmark = pytest.mark.processes

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ['violations'] })
  return found.violations
    .filter((one) => one.impact !== 'minor')
    .map((one) => `${one.id}: ${one.help}\\n` +
      one.nodes.map((node) => `  ${node.target} ${node.failureSummary}`).join('\\n'))
}"""
LOOKS: list[tuple[Language, Theme]] = [("zh", "light"), ("en", "dark")]
STILL = {"reduced_motion": "reduce"}  # a dialog that fades in has its contrast at the end only
OURS = ("/tasks/new", "/compare", "/machine", "/help", "/nowhere")  # all text is the console's


@pytest.fixture
def addresses(done: Task, failed: Task) -> list[str]:
    tasks = [f"/tasks/{id}{page}" for id in (done.id, failed.id) for page in ("", "/log")]
    return ["/tasks", *tasks, f"/compare?ids={done.id},{failed.id}", *OURS]


def open_page(page: Page, address: str) -> None:
    """Open it, and wait until it has asked the server for what it shows."""
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text(re.compile("^(正在加载|Loading)…$"))).to_have_count(0)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def faults(page: Page) -> list[str]:
    """Return what axe holds against the page as it is shown."""
    # Not as a script element: the page's content security policy stays as it is.
    page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")
    found: list[str] = page.evaluate(RUN)
    return found


@pytest.mark.parametrize(("language", "theme"), LOOKS)
def test_it_can_be_read_and_used_by_everybody(
    browser: Browser, console: Console, addresses: list[str], language: Language, theme: Theme
) -> None:
    with visit(browser, console, language, theme, **STILL) as page:
        for address in addresses:
            open_page(page, address)
            expect(page.get_by_role("heading", level=1)).to_have_count(1)
            assert faults(page) == [], address
            # A text that is missing is shown as its key.
            text = page.inner_text("body")
            keys = (
                r"\b(common|nav|status|list|create|detail|log|compare|machine|help|time)\.[a-z]\w+"
            )
            assert not re.search(keys, text), (address, re.search(keys, text))
            if language == "en" and address in OURS:
                assert not re.search(r"[\u4e00-\u9fff]", page.inner_text("main")), address


@pytest.mark.parametrize(("language", "theme"), LOOKS)
def test_so_can_the_way_in_and_the_questions(
    browser: Browser, console: Console, done: Task, language: Language, theme: Theme
) -> None:
    with visit(browser, console, language, theme, False, **STILL) as page:
        page.goto("/sign-in")
        page.locator("button[type=submit]").click()
        expect(page.get_by_role("alert")).to_be_visible()
        assert faults(page) == []
    with visit(browser, console, language, theme, **STILL) as page:
        open_page(page, f"/tasks/{done.id}")
        page.get_by_role("button", name=re.compile("^(删除|Delete)$")).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert faults(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        open_page(page, "/tasks/new")
        page.get_by_role("button", name=re.compile("^(浏览|Browse)")).first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert faults(page) == []


def test_none_is_wider_than_the_window(
    browser: Browser, console: Console, addresses: list[str]
) -> None:
    with visit(browser, console, "en", **STILL) as page:
        for address in addresses:
            open_page(page, address)
            for width in (1920, 1280, 768):
                page.set_viewport_size({"width": width, "height": 900})
                page.wait_for_function(
                    "(width) => document.documentElement.scrollWidth <= width", arg=width
                )
