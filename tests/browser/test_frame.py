"""What is round every page: language, theme, sizes, the keyboard, a server that goes away."""

import re

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.console import Console, visit

pytestmark = pytest.mark.processes

LIMIT = 300_000  # bytes of scripts, compressed


def test_what_the_first_page_loads_is_small_and_draws_no_charts(page: Page) -> None:
    scripts: list[Request] = []
    page.on("requestfinished", lambda request: scripts.append(request))
    page.goto("/tasks")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    scripts = [request for request in scripts if request.resource_type == "script"]
    assert scripts
    sizes = {request.url: request.sizes()["responseBodySize"] for request in scripts}
    assert sum(sizes.values()) <= LIMIT, sizes
    assert not [url for url in sizes if "echarts" in page.request.get(url).text()]


def test_it_speaks_chinese_unless_the_browser_prefers_english(
    browser: Browser, console: Console
) -> None:
    for locale, lang, title in (
        ("zh-CN", "zh-CN", "帮助"),
        ("en-GB", "en", "Help"),
        ("fr-FR", "zh-CN", "帮助"),
    ):
        with visit(browser, console, locale=locale) as page:
            page.goto("/help")
            expect(page.locator("html")).to_have_attribute("lang", lang)
            expect(page).to_have_title(re.compile(title))


def test_the_language_that_was_chosen_stays(page: Page) -> None:
    page.goto("/tasks")
    expect(page.get_by_role("heading", level=1)).to_have_text("微调任务")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tasks")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tasks")


def test_the_theme_that_was_chosen_is_there_before_any_module(page: Page) -> None:
    page.goto("/help")
    expect(page.locator("html")).not_to_have_class(re.compile("dark"))
    page.get_by_role("button", name="外观").click()
    page.get_by_role("menuitem", name="深色").click()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.route(re.compile(r"/assets/.*\.js"), lambda route: route.abort())
    page.reload(wait_until="commit")
    page.wait_for_function("() => document.readyState === 'complete'")
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    expect(page.locator("html")).to_have_css("background-color", "rgb(18, 20, 26)")


def test_the_system_decides_where_nobody_has(browser: Browser, console: Console) -> None:
    with visit(browser, console, theme="dark") as page:
        page.goto("/help")
        expect(page.locator("html")).to_have_class(re.compile("dark"))
        page.emulate_media(color_scheme="light")
        expect(page.locator("html")).not_to_have_class(re.compile("dark"))


def test_the_keyboard_can_skip_the_navigation_and_sees_where_it_is(page: Page) -> None:
    page.goto("/help")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="跳到正文")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    entry = page.get_by_role("navigation", name="主导航").get_by_role("link", name="微调任务")
    expect(entry).to_be_focused()
    expect(entry).to_have_css("outline-width", "2px")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_another_page_has_the_focus_at_its_beginning(page: Page) -> None:
    page.goto("/help")
    page.get_by_role("navigation", name="主导航").get_by_role("link", name="微调任务").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("微调任务")
    expect(page.get_by_role("main")).to_be_focused()
