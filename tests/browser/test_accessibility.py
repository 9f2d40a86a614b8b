"""axe finds nothing serious or critical on any page, light or dark."""

from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import Console, Theme, visit

pytestmark = pytest.mark.processes

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ['violations'] })
  return found.violations
    .filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `${one.id}: ${one.help}\\n` +
      one.nodes.map((node) => `  ${node.target} ${node.failureSummary}`).join('\\n'))
}"""


def serious(page: Page) -> list[str]:
    """Return what axe holds against the page as it is shown."""
    # Not a script element: the content security policy of the page stays as it is.
    page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")
    found: list[str] = page.evaluate(RUN)
    return found


@pytest.mark.parametrize("theme", get_args(Theme))
@pytest.mark.parametrize("path", ["/tasks", "/tasks/new", "/compare", "/machine", "/help"])
def test_pages(browser: Browser, console: Console, theme: Theme, path: str) -> None:
    with visit(browser, console, theme=theme) as page:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        assert serious(page) == []


@pytest.mark.parametrize("theme", get_args(Theme))
def test_sign_in(browser: Browser, console: Console, theme: Theme) -> None:
    with visit(browser, console, theme=theme, signed_in=False) as page:
        page.goto("/sign-in")
        page.get_by_role("button", name="登录", exact=True).click()
        expect(page.get_by_role("alert")).to_be_visible()
        assert serious(page) == []
