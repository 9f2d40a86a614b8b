"""A log of more lines than a browser can lay out: each is reached, and few are held."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.console import Console, visit
from tests.integration.server import until
from tunesmith.wire import Task

pytestmark = pytest.mark.processes

LINES = 2_000_000  # 40 million pixels, were they all laid out
NEEDLE = 1_234_567
AT_MOST = 200  # rows and megabytes


@pytest.fixture(scope="module")
def task(console: Console, done: Task) -> Iterator[Task]:
    """A completed task with a large log in place of its own."""
    path = console.log(done.id)
    large, own = path.with_name("large.log"), path.with_name("own.log")
    with large.open("w", encoding="utf-8") as file:
        for begin in range(1, LINES, 100_000):
            file.write("".join(f"line {number}\n" for number in range(begin, begin + 100_000)))
            if begin <= NEEDLE < begin + 100_000:
                file.write("\x1b[31mRuntimeError: needle 针\x1b[0m\n" * 2)
    # A file of its own: what the server knows of the old one's lines does not hold for it.
    path.replace(own)
    large.replace(path)
    yield done
    own.replace(path)


def numbers(page: Page) -> list[int]:
    """Return the numbers of the lines that are seen now, from the top."""
    found: list[int] = page.evaluate("""() => {
      const view = document.querySelector('[aria-label="日志内容"]').getBoundingClientRect()
      return [...document.querySelectorAll('[data-line]')]
        .filter((row) => {
          const { top, bottom } = row.getBoundingClientRect()
          return bottom > view.top + 1 && top < view.bottom - 1
        })
        .map((row) => Number(row.dataset.line) + 1)
    }""")
    assert found == [found[0] + place for place in range(len(found))]
    assert page.locator("[data-line]").count() < AT_MOST
    return found


def top(page: Page) -> int:
    """Return the number of the first line that is seen now; 0 if none is."""
    return next(iter(numbers(page)), 0)


def settled(page: Page) -> list[int]:
    """Return the numbers of the lines that are seen when they no longer move."""
    seen: list[int] = []

    def stand() -> bool:
        before = list(seen)
        seen[:] = numbers(page)
        return bool(seen) and before == seen

    until(stand, "the lines stand")
    return seen


def lines_of(page: Page) -> Locator:
    return page.get_by_role("region", name="日志内容")


def test_an_address_leads_to_its_line(page: Page, task: Task) -> None:
    page.goto(f"/tasks/{task.id}/log?line=1000000")
    expect(lines_of(page)).to_contain_text("line 1000000")
    page.get_by_label("跳到行号").fill("77,777")
    page.get_by_label("跳到行号").press("Enter")
    expect(lines_of(page)).to_contain_text("line 77777")
    expect(page).to_have_url(f"/tasks/{task.id}/log?line=77777")
    until(lambda: 77777 in numbers(page), "line 77777 is seen")


def test_the_wheel_passes_no_line(page: Page, task: Task) -> None:
    page.goto(f"/tasks/{task.id}/log?line=1000000")
    expect(lines_of(page)).to_contain_text("line 1000000")
    before = settled(page)
    lines_of(page).hover()
    page.mouse.wheel(0, 400)
    after = before[0] + 20
    # Rows out of sight are there before they are seen, so their text says nothing.
    until(lambda: abs(top(page) - after) <= 1, "the wheel has turned by 20 lines")


def test_its_ends_are_reached_by_keys_and_by_the_bar(page: Page, task: Task) -> None:
    page.goto(f"/tasks/{task.id}/log")
    expect(lines_of(page)).to_contain_text(f"line {LINES}")
    last = LINES + 2
    until(lambda: last in numbers(page), "the last line is seen")
    lines_of(page).press("Home")
    expect(lines_of(page)).to_contain_text("line 2\n")
    until(lambda: top(page) == 1, "the first line is seen")
    lines_of(page).press("PageDown")
    until(lambda: top(page) > 20, "a page further down is seen")
    lines_of(page).evaluate("(view) => { view.scrollTop = view.scrollHeight / 2 }")
    expect(lines_of(page)).to_contain_text(f"line {LINES // 200}")  # its first digits
    lines_of(page).evaluate("(view) => { view.scrollTop = view.scrollHeight }")
    expect(lines_of(page)).to_contain_text(f"line {LINES}")
    until(lambda: last in numbers(page), "the last line is seen again")


def test_a_search_finds_its_line_among_them(page: Page, task: Task) -> None:
    page.goto(f"/tasks/{task.id}/log")
    page.get_by_label("搜索日志").fill("NEEDLE 针")
    expect(page.get_by_role("status").filter(has_text="第 1 / 2 处")).to_be_visible()
    expect(lines_of(page).locator("mark").first).to_have_text("needle 针")
    first = set(settled(page))
    page.get_by_label("搜索日志").fill("")
    lines_of(page).press("End")
    expect(lines_of(page)).to_contain_text(f"line {LINES}")
    page.get_by_role("button", name="跳到首个错误").click()
    expect(lines_of(page)).to_contain_text("RuntimeError: needle 针")
    until(lambda: first.intersection(numbers(page)), "the same lines are seen")


def test_lines_out_of_sight_are_copied_too(browser: Browser, console: Console, task: Task) -> None:
    with visit(browser, console, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(f"/tasks/{task.id}/log?line=500000")
        expect(lines_of(page)).to_contain_text("line 500000")
        lines_of(page).get_by_text("line 500000", exact=True).click(click_count=3)
        lines_of(page).hover()
        for _ in range(10):
            page.mouse.wheel(0, 600)
            page.wait_for_timeout(50)
        until(lambda: 500_300 in settled(page), "line 500300 is seen")
        lines_of(page).get_by_text("line 500300", exact=True).click(modifiers=["Shift"])
        page.wait_for_function("document.getSelection().toString().includes('line 500300')")
        page.keyboard.press("Control+c")
        wanted = [f"line {number}" for number in range(500_000, 500_300)]

        def copied() -> list[str]:
            text: str = page.evaluate("navigator.clipboard.readText()")
            return text.splitlines()[:300]

        # Lines that have to be asked for come later than the key.
        until(lambda: copied() == wanted, "the lines are copied")


def test_little_memory_is_taken(page: Page, task: Task) -> None:
    page.goto(f"/tasks/{task.id}/log")
    expect(lines_of(page)).to_contain_text(f"line {LINES}")
    for part in range(40):
        lines_of(page).evaluate(f"(view) => {{ view.scrollTop = view.scrollHeight * {part / 40} }}")
        page.wait_for_timeout(20)
    expect(lines_of(page)).to_contain_text(f"line {LINES * 39 // 40 // 100}")
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    assert heap < AT_MOST
