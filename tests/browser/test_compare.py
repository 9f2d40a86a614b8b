"""The comparison: what is picked, curves, results, and what differs."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console import Console
from tunesmith.wire import Task

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def second(console: Console, done: Task) -> Iterator[Task]:
    """A task like `done`, but with another rank and at another pace."""
    often: dict[str, Any] = {
        "num_train_epochs": 2,
        "logging_steps": 1,
        "eval_steps": 4,
        "learning_rate": 5e-3,
    }
    task = console.wait(console.submit("of another rank", lora_r=4, **often), "completed")
    yield task
    with console.client() as client:
        client.delete_task(task.id)


def test_tasks_are_found_and_picked(page: Page, done: Task, second: Task) -> None:
    page.goto("/compare")
    page.get_by_role("main").get_by_role("button", name="选择任务").click()
    picker = page.get_by_role("dialog", name="选择任务")
    start = picker.get_by_role("button", name="开始对比")
    search = picker.get_by_role("textbox", name="按名称、描述或编号搜索")
    search.fill("another rank")
    picker.get_by_role("checkbox", name=second.name).check()
    expect(start).to_be_disabled()
    search.fill(f"#{done.id}")
    picker.get_by_role("checkbox", name=f"#{done.id} {done.name}").check()
    expect(picker.get_by_text("已选 2 个，最多 8 个")).to_be_visible()
    start.click()
    expect(page).to_have_url(re.compile(rf"ids={second.id}(,|%2C){done.id}$"))
    chosen = page.get_by_role("list", name="对比中的任务").get_by_role("listitem")
    expect(chosen).to_have_count(2)
    page.get_by_role("button", name=f"移除“{second.name}”").click()
    expect(chosen).to_have_count(1)
    expect(page.get_by_text("再选一个任务")).to_be_visible()


def test_curves_lie_over_one_another(page: Page, done: Task, second: Task) -> None:
    page.goto(f"/compare?ids={done.id},{second.id}")
    for title in ("训练 loss", "验证 loss"):
        chart = page.get_by_role("figure", name=title)
        told = re.compile(rf"#{done.id} .* [\d.]+, #{second.id} .* [\d.]+$")
        expect(chart.get_by_role("img", name=told)).to_be_visible()
        expect(chart.locator("canvas")).to_be_visible()


def test_what_differs_is_shown_and_marked(page: Page, done: Task, second: Task) -> None:
    page.goto(f"/compare?ids={done.id},{second.id}")
    arguments = page.get_by_role("table", name="参数")
    rank = arguments.get_by_role("row", name="lora_r")
    expect(rank).to_contain_text("16")
    expect(rank).to_contain_text("4")
    alpha = arguments.get_by_role("row", name="lora_alpha")
    expect(alpha).to_be_hidden()
    page.get_by_text("只看不同", exact=True).click()
    expect(alpha).to_be_visible()
    expect(alpha).not_to_contain_text("不同")
    expect(rank).to_contain_text("不同")

    best = page.get_by_role("table", name="结果").get_by_role("row", name="最低训练 loss")
    expect(best.get_by_text("最佳")).to_have_count(1)
    expect(best).to_contain_text(re.compile(r"第 \d+ 步"))


def test_a_task_that_is_not_there_is_told_and_the_others_are_shown(
    page: Page, done: Task, second: Task
) -> None:
    page.goto(f"/compare?ids={done.id},987654,{second.id}")
    expect(page.get_by_text("任务 987654 不存在")).to_be_visible()
    expect(page.get_by_role("table", name="结果")).to_contain_text(second.name)


def test_the_list_leads_here(page: Page, done: Task, second: Task) -> None:
    page.goto("/tasks")
    for name in (done.name, second.name):
        page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").check()
    page.get_by_role("button", name="对比").click()
    expect(page).to_have_url(re.compile("/compare"))
    expect(page.get_by_role("table", name="结果")).to_contain_text(second.name)
