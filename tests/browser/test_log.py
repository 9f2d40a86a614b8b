"""The log of a task: found in it, and nothing but text."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console import Console
from tunesmith.wire import Task

pytestmark = pytest.mark.processes

NASTY = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\n"
    "\x1b[31mred\x1b[0m and \x1b]8;;https://example.com\x1b\\\\linked\x1b]8;;\x1b\\\\\n"
    "10%\r20%\r100% of a bar\n"
)


@pytest.fixture(scope="module")
def log(console: Console, done: Task) -> str:
    """The address of a log that has markup, colours and a progress bar at its end."""
    with console.log(done.id).open("a", encoding="utf-8") as file:
        file.write(NASTY)
    return f"/tasks/{done.id}/log"


def test_what_it_holds_is_text(page: Page, log: str) -> None:
    page.goto(log)
    lines = page.get_by_role("region", name="日志内容")
    expect(lines).to_contain_text("<img src=x onerror=")
    expect(lines).to_contain_text("</script>")
    assert lines.locator("img, script").count() == 0
    assert page.title() != "owned"
    red = lines.get_by_text("red", exact=True)
    colour = "(element) => getComputedStyle(element).color"
    assert red.evaluate(colour) != lines.get_by_text("<img").evaluate(colour)
    assert lines.locator("a[href*=example]").count() == 0


def test_a_progress_bar_is_shown_as_it_ended(page: Page, log: str) -> None:
    page.goto(log)
    lines = page.get_by_role("region", name="日志内容")
    expect(lines).to_contain_text("100% of a bar")
    expect(lines).not_to_contain_text("20%")


def test_it_is_searched_on_the_server(page: Page, console: Console, log: str, done: Task) -> None:
    page.goto(log)
    field = page.get_by_label("搜索日志")
    field.fill("STEP 1")
    text = console.log(done.id).read_text(encoding="utf-8")
    count = sum("step 1" in line for line in text.splitlines())
    expect(page.get_by_role("status").filter(has_text=f"/ {count} 处")).to_be_visible()
    hits = page.get_by_role("region", name="搜索结果")
    expect(hits.get_by_role("button")).to_have_count(count)
    field.press("Enter")
    expect(page.get_by_role("status").filter(has_text=f"第 2 / {count} 处")).to_be_visible()
    page.get_by_text("忽略大小写").click()
    expect(page.get_by_role("status").filter(has_text="没有找到")).to_be_visible()


def test_the_first_error_is_a_click_away(page: Page, failed: Task) -> None:
    page.goto(f"/tasks/{failed.id}/log")
    page.get_by_role("button", name="跳到首个错误").click()
    expect(page.get_by_role("region", name="搜索结果")).to_contain_text("Traceback")
    expect(page.get_by_role("region", name="日志内容")).to_contain_text("RunFailure")


def test_the_whole_of_it_can_be_downloaded(page: Page, console: Console, log: str) -> None:
    page.goto(log)
    with page.expect_download() as started:
        page.get_by_role("link", name="下载日志").click()
    content = started.value.path().read_bytes()
    id = int(re.findall(r"\d+", log)[0])
    assert content == console.log(id).read_bytes()
