"""A task that runs: followed, refreshed, left and found again, stopped and deleted."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, expect

from tests.browser.console import FLAGS, TRAINING, Console, sign_in
from tests.integration.server import until

pytestmark = pytest.mark.processes

LONG = {"num_train_epochs": 5000, "logging_steps": 1, "eval_steps": 10, "save_steps": 5}
# What a page can tell of its streams, and of whether anybody looks at it.
SPY = """
  window.streams = []
  window.EventSource = class extends EventSource {
    constructor(...given) { super(...given); window.streams.push(this) }
  }
  window.seen = (seen) => {
    Object.defineProperty(document, 'hidden', { value: !seen, configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }
"""


@pytest.fixture(scope="module")
def running(console: Console) -> int:
    """A task that trains for as long as it is let."""
    id = console.submit("长任务 <i>long</i>", **LONG)
    until(lambda: (console.task(id).step or 0) >= 5, "the task trains", TRAINING / 1000)
    return id


def step(page: Page) -> int:
    """Return the step that the page of the task shows."""
    words = page.get_by_text(re.compile(r"第 [\d,]+ / [\d,]+ 步"))
    expect(words).to_be_visible()
    return int(words.inner_text().split()[1].replace(",", ""))


def points(page: Page) -> int:
    """Return how many points the curves have by what the page says."""
    words = page.get_by_text(re.compile(r"共 [\d,]+ 个点"))
    expect(words).to_be_visible()
    return int(re.sub(r"\D", "", words.inner_text()))


def goes_on(page: Page, after: int) -> None:
    """Wait until the page shows a step beyond `after`."""
    shows_beyond(page, r"第 ([\d,]+) / [\d,]+ 步", after)


def shows_beyond(page: Page, words: str, after: int) -> None:
    """Wait until the number in the last of such `words` on the page is beyond `after`."""
    page.wait_for_function(
        r"""([words, after]) => {
          const found = [...document.body.innerText.matchAll(new RegExp(words, 'g'))].at(-1)
          return found && Number(found[1].replaceAll(',', '')) > after
        }""",
        arg=[words, after],
    )


def test_a_refresh_in_the_middle_loses_nothing(page: Page, running: int) -> None:
    page.goto(f"/tasks/{running}")
    goes_on(page, step(page))
    before, known = step(page), points(page)
    page.reload()
    assert step(page) >= before
    assert points(page) >= known
    goes_on(page, before)


def test_a_browser_may_close_and_find_it_again(
    playwright: Playwright, executable: str, console: Console, running: int, tmp_path: Path
) -> None:
    def start() -> BrowserContext:
        return playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=executable,
            args=FLAGS,
            locale="zh-CN",
            base_url=console.url,
        )

    context = start()
    sign_in(context, console)
    page = context.new_page()
    page.goto(f"/tasks/{running}")
    before = step(page)
    context.close()
    until(lambda: (console.task(running).step or 0) > before, "it trains without a browser")
    context = start()  # the cookie holds for 30 days
    page = context.new_page()
    page.goto(f"/tasks/{running}")
    assert step(page) > before
    context.close()


def test_a_hidden_tab_gives_its_connection_back_and_goes_on_where_it_was(
    page: Page, running: int
) -> None:
    page.clock.install()
    page.add_init_script(SPY)
    page.goto(f"/tasks/{running}")
    goes_on(page, step(page))
    told = page.locator("#events-title + ol > li")
    before = told.count()
    page.evaluate("seen(false)")
    page.clock.fast_forward(11_000)
    page.wait_for_function("() => streams.every((stream) => stream.readyState === 2)")
    count = page.evaluate("streams.length")
    page.evaluate("seen(true)")
    goes_on(page, step(page))
    assert page.evaluate("streams.length") == count + 1
    # By the id of the last event: what is told already is not told again.
    assert re.search(r"lastEventId=[1-9]\d*", page.evaluate("streams.at(-1).url"))
    assert told.count() >= before
    ids = page.evaluate("streams.map((stream) => Number(/lastEventId=(\\d+)/.exec(stream.url)[1]))")
    assert ids[-1] > ids[0]


def test_a_restarted_server_is_followed_on(page: Page, console: Console, running: int) -> None:
    page.goto(f"/tasks/{running}")
    before = step(page)
    lost = page.get_by_text("与服务器的连接已断开")
    console.server.kill()
    expect(lost).to_be_visible()
    console.server.start()
    expect(lost).to_be_hidden()
    goes_on(page, before + 1)
    step_now = console.task(running).step or 0
    shows_beyond(page, r"共 ([\d,]+) 个点", step_now - 1)  # a point a step: none is missing


def test_a_page_that_was_loading_when_the_server_went_away_is_completed(
    page: Page, running: int
) -> None:
    away = re.compile(r"/finetuning/(?!getMe$|getTask\?)|/health$")  # after the task itself
    page.route(away, lambda route: route.abort())
    page.goto(f"/tasks/{running}")
    before = step(page)
    lost = page.get_by_text("与服务器的连接已断开")
    expect(lost).to_be_visible()
    page.unroute(away)
    expect(lost).to_be_hidden()
    goes_on(page, before)
    assert points(page) > 0
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_log_is_followed_until_the_reader_looks_up(page: Page, running: int) -> None:
    page.goto(f"/tasks/{running}/log")
    lines = page.get_by_role("region", name="日志内容")
    footer = page.get_by_role("status").filter(has_text="跟随")
    expect(footer).to_have_text("实时跟随中")
    expect(lines).to_contain_text(re.compile(r"step \d+/"))
    last = re.findall(r"step (\d+)/", lines.inner_text())[-1]
    shows_beyond(page, r"step (\d+)/", int(last))
    lines.press("Home")
    expect(footer).to_have_text("已暂停跟随")
    expect(lines).to_contain_text("started: tunesmith")
    button = page.get_by_role("button", name=re.compile("行新日志，跟随最新"))
    expect(button).to_be_visible()
    button.click()
    expect(footer).to_have_text("实时跟随中")


def test_the_list_moves_without_a_reload(page: Page, running: int) -> None:
    page.goto("/tasks")
    row = page.get_by_role("row").filter(has_text="长任务 <i>long</i>")
    expect(row).to_contain_text("执行中")
    expect(row).to_contain_text(re.compile(r"[\d,]+ / [\d,]+"))
    # Its name is text.
    assert row.locator("i").filter(has_text="long").count() == 0
    page.wait_for_function(
        r"""(before) => {
          const rows = [...document.querySelectorAll('tr')]
          const row = rows.find((row) => /长任务/.test(row.innerText))
          const shown = /[\d,]+ \/ [\d,]+/.exec(row?.innerText ?? '')
          return shown && shown[0] !== before
        }""",
        arg=re.findall(r"[\d,]+ / [\d,]+", row.inner_text())[0],
    )


def test_what_runs_is_on_every_page(page: Page, running: int) -> None:
    page.goto("/help")
    now = page.get_by_role("navigation", name="当前任务")
    now.get_by_role("link", name=re.compile("执行中")).click()
    expect(page.get_by_role("row").filter(has_text="长任务")).to_be_visible()


def test_a_stop_is_asked_for_told_and_saves(page: Page, console: Console, running: int) -> None:
    page.goto(f"/tasks/{running}")
    page.get_by_role("button", name="停止").click()
    question = page.get_by_role("dialog", name="停止任务")
    expect(question).to_contain_text("停止后的任务无法恢复")
    question.get_by_role("button", name="继续训练").click()
    expect(question).to_be_hidden()
    assert console.task(running).status == "running"
    page.get_by_role("button", name="停止").click()
    question.get_by_role("button", name="停止").click()
    expect(page.locator("#overview-title")).to_have_text("已停止")
    assert list(Path(console.task(running).output_path).glob("checkpoint-*"))
    expect(page.get_by_role("button", name="停止")).to_be_hidden()


def test_a_task_is_deleted_and_its_output_stays(page: Page, console: Console) -> None:
    id = console.submit("删除我", num_train_epochs=5000)
    page.goto(f"/tasks/{id}")
    page.get_by_role("button", name="删除").click()
    question = page.get_by_role("dialog", name="删除任务")
    expect(question).to_contain_text("已输出的模型文件不会被删除")
    question.get_by_role("button", name="删除").click()
    expect(page).to_have_url(re.compile("/tasks$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("微调任务")
    expect(page.get_by_role("row").filter(has_text="删除我")).to_have_count(0)
    page.goto(f"/tasks/{id}")
    expect(page.get_by_text(f"没有编号为 {id} 的任务")).to_be_visible()
