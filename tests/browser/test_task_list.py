"""The task list: filters, order, pages, live rows, and what is done to one task or many."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import update

from benchmarks.store_list import fill
from tests.browser.console import TRAINING, Console, visit
from tests.integration.server import until
from tunesmith.errors import NotFound
from tunesmith.status import Status
from tunesmith.store.database import open_database
from tunesmith.store.tables import tasks
from tunesmith.wire import Task

pytestmark = pytest.mark.processes

LONG: dict[str, Any] = {"num_train_epochs": 5000, "logging_steps": 5}
MANY = 1000


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def tick(page: Page, *names: str) -> None:
    for name in names:
        row(page, name).get_by_role("checkbox").check()


def confirm(page: Page, button: str, *said: str) -> None:
    """Read the question that came up and answer it."""
    question = page.get_by_role("dialog")
    for words in said:
        expect(question).to_contain_text(words)
    answer = question.get_by_role("button", name=button, exact=True)
    answer.click()
    expect(answer).to_be_hidden()


def gone(console: Console, id: int) -> bool:
    try:
        console.task(id)
    except NotFound:
        return True
    return False


def test_rows_say_what_a_task_is_and_why_it_failed(page: Page, done: Task, failed: Task) -> None:
    page.goto("/tasks")
    first = row(page, done.name)
    for words in (str(done.id), "tiny-llama", "LoRA", "已完成", "CPU", "100%", "管理员", "用时"):
        expect(first).to_contain_text(words)
    expect(first.get_by_role("img", name=re.compile("的 loss"))).to_be_visible()
    expect(first.get_by_text("tiny-llama")).to_have_attribute("title", done.base_model)
    assert failed.error_message
    expect(row(page, failed.name)).to_contain_text(failed.error_message)


def test_status_and_name_narrow_the_list_and_stand_in_the_address(
    page: Page, done: Task, failed: Task
) -> None:
    page.goto("/tasks")
    by_status = page.get_by_role("navigation", name="按状态查看")
    by_status.get_by_role("link", name="失败").click()
    expect(page).to_have_url(re.compile(r"\?status=failed$"))
    expect(row(page, failed.name)).to_be_visible()
    expect(row(page, done.name)).to_be_hidden()
    page.go_back()
    expect(row(page, done.name)).to_be_visible()

    search = page.get_by_role("textbox", name="按任务名称搜索")
    search.fill("no such name")
    expect(page.get_by_text("没有符合条件的任务")).to_be_visible()
    expect(page).to_have_url(re.compile(r"name=no\+such\+name"))
    page.reload()
    expect(search).to_have_value("no such name")
    page.get_by_role("button", name="清除筛选").click()
    expect(row(page, done.name)).to_be_visible()
    expect(search).to_have_value("")


def test_a_base_model_is_chosen_among_those_in_use(page: Page, done: Task) -> None:
    page.goto("/tasks")
    page.get_by_role("combobox", name="基础模型").click()
    page.get_by_role("option", name="tiny-llama").click()
    expect(page).to_have_url(re.compile(r"model=.*tiny-llama"))
    expect(row(page, done.name)).to_be_visible()


def test_the_order_stays_over_a_reload(page: Page, done: Task, failed: Task) -> None:
    page.goto("/tasks")
    newest = page.get_by_role("columnheader", name="编号")
    expect(newest).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="任务名称").click()
    by_name = page.get_by_role("columnheader", name="任务名称")
    expect(by_name).to_have_attribute("aria-sort", "ascending")
    page.reload()
    expect(by_name).to_have_attribute("aria-sort", "ascending")
    expect(row(page, failed.name)).to_be_visible()  # the address alone says the order
    names = page.get_by_role("rowheader").get_by_role("link").all_text_contents()
    assert names.index(failed.name) < names.index(done.name)


def test_rows_come_and_move_without_a_reload_and_what_is_ticked_stays(
    page: Page, console: Console, done: Task
) -> None:
    page.goto("/tasks")
    tick(page, done.name)
    page.evaluate("window.stayed = true")
    # As many as train at a time, and one that waits.
    ids = [console.submit(f"live {number}", **LONG) for number in range(4)]
    try:
        expect(row(page, "live 0")).to_contain_text("执行中")
        expect(row(page, "live 3")).to_contain_text("等待任务")
        steps = re.compile(r"[1-9]\d* / [\d,]+")
        expect(row(page, "live 0")).to_contain_text(steps, timeout=TRAINING)
        expect(row(page, "live 0")).to_contain_text("剩余")
        expect(row(page, done.name).get_by_role("checkbox")).to_be_checked()
        expect(page.get_by_text("已选 1 个")).to_be_visible()

        # What has ended is not stopped again.
        tick(page, "live 0", "live 3")
        page.get_by_role("button", name="停止其中 2 个").click()
        confirm(page, "停止", "已保存的检查点都会保留", "停止后的任务无法恢复")
        expect(row(page, "live 3")).to_contain_text("已停止")
        expect(row(page, "live 0")).to_contain_text("已停止")
        assert page.evaluate("window.stayed")

        row(page, "live 1").get_by_role("button", name="停止").click()
        confirm(page, "继续训练")
        expect(row(page, "live 1")).to_contain_text("执行中")
        row(page, "live 1").get_by_role("button", name="停止").click()
        confirm(page, "停止", "live 1")
        expect(row(page, "live 1")).to_contain_text("已停止")

        row(page, done.name).get_by_role("checkbox").uncheck()
        tick(page, "live 1", "live 2")
        page.get_by_role("button", name="删除", exact=True).click()
        confirm(
            page, "删除", "删除这 2 个任务", "已输出的模型文件不会被删除", "运行中的任务会先被停止"
        )
        expect(page.get_by_text("已删除 2 个任务")).to_be_visible()  # for a few seconds
        expect(row(page, "live 1")).to_be_hidden()
        expect(row(page, "live 2")).to_be_hidden()
        assert gone(console, ids[1])
        assert gone(console, ids[2])
        until(lambda: not console.log(ids[2]).exists(), "its files are gone")
    finally:
        with console.client() as client:
            for id in ids:
                if not gone(console, id):
                    client.delete_task(id)


def test_what_could_not_be_done_is_told_task_by_task(page: Page, console: Console) -> None:
    ids = [console.submit(name, **LONG) for name in ("taken away", "still there")]
    page.goto("/tasks")
    tick(page, "taken away", "still there")
    with console.client() as client:
        client.delete_task(ids[0])
    expect(row(page, "taken away")).to_be_hidden()
    page.get_by_role("button", name="删除", exact=True).click()
    confirm(page, "删除")
    told = page.get_by_role("dialog", name="1 个任务未能删除")
    expect(told).to_contain_text("taken away")
    expect(told).to_contain_text("不存在")
    expect(told).to_contain_text("已删除 1 个任务")
    told.get_by_role("button", name="关闭").last.click()
    expect(row(page, "still there")).to_be_hidden()
    expect(page.get_by_text("已选")).to_be_hidden()


def test_the_menu_of_a_row_leads_on(page: Page, failed: Task) -> None:
    page.goto("/tasks")
    more = row(page, failed.name).get_by_role("button", name="更多操作")
    for entry, address in (
        ("详情", rf"/tasks/{failed.id}$"),
        ("克隆", rf"/tasks/new\?from={failed.id}$"),
        ("按建议重试", rf"/tasks/new\?retry={failed.id}$"),
    ):
        more.click()
        page.get_by_role("menuitem", name=entry).click()
        expect(page).to_have_url(re.compile(address))
        page.go_back()
    row(page, failed.name).get_by_role("link", name="日志").click()
    expect(page).to_have_url(re.compile(rf"/tasks/{failed.id}/log$"))


def test_the_keyboard_ticks_and_leaves_nothing_undone(page: Page, done: Task) -> None:
    page.goto("/tasks")
    row(page, done.name).get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("已选 1 个")).to_be_visible()
    page.keyboard.press("Tab")
    name = row(page, done.name).get_by_role("link", name=done.name, exact=True)
    expect(name).to_be_focused()
    everything = page.get_by_role("checkbox", name="选择本页全部任务")
    expect(everything).to_be_checked(indeterminate=True)
    everything.focus()
    page.keyboard.press("Space")
    for box in page.get_by_role("checkbox").all():
        expect(box).to_be_checked()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, executable: str) -> Iterator[Console]:
    """A server without a task."""
    console = Console(tmp_path_factory.mktemp("other")).start()
    yield console
    console.server.kill()


def test_without_a_task_it_says_what_to_do(browser: Browser, other: Console) -> None:
    with visit(browser, other) as page:
        page.goto("/tasks")
        expect(page.get_by_text("还没有微调任务")).to_be_visible()
        page.get_by_role("main").get_by_role("link", name="新建任务").last.click()
        expect(page).to_have_url(re.compile("/tasks/new$"))


def test_many_tasks_are_turned_over_page_by_page(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    console = Console(tmp_path_factory.mktemp("many"))
    console.server.data_dir.mkdir(exist_ok=True)
    engine = open_database(f"sqlite:///{console.server.data_dir / 'tunesmith.db'}")
    fill(engine, MANY)
    with engine.begin() as connection:  # none that would start
        waiting = tasks.c.status == Status.PENDING
        connection.execute(update(tasks).where(waiting).values(status=Status.STOPPED))
    engine.dispose()
    console.start()
    try:
        with visit(browser, console) as page:
            page.goto("/tasks?page=2")
            expect(page.get_by_text("共 1,000 个任务")).to_be_visible()
            ids = page.locator("tbody tr").get_by_role("checkbox")
            expect(ids).to_have_count(20)
            expect(ids.first).to_have_accessible_name(re.compile("^选择任务 980："))
            page.get_by_role("button", name="下一页").click()
            expect(page).to_have_url(re.compile(r"\?page=3$"))
            expect(ids.first).to_have_accessible_name(re.compile("^选择任务 960："))
            # Beyond the last page there is the last page.
            page.goto("/tasks?page=5000&size=100")
            expect(page).to_have_url(re.compile(r"\?page=10&size=100$"))
            expect(ids).to_have_count(100)
            expect(ids.last).to_have_accessible_name(re.compile("^选择任务 1："))
    finally:
        console.server.kill()
