"""A failure: why, what the log shows of it, and a second try that works."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console import TRAINING, Console
from tunesmith.wire import Task

pytestmark = pytest.mark.processes


def test_a_failure_says_why_shows_the_log_and_offers_what_would_help(
    page: Page, console: Console, failed: Task
) -> None:
    assert failed.error is not None
    page.goto(f"/tasks/{failed.id}")
    why = page.get_by_role("region", name="失败原因")
    expect(why).to_contain_text(failed.error.message)
    expect(why).to_contain_text(failed.error.hint)
    expect(why.locator("pre")).to_contain_text("RunFailure")
    expect(why).to_contain_text(re.compile(r"max_seq_length\s*64\s*→\s*128"))
    why.get_by_role("link", name="在日志中查看").click()
    expect(page).to_have_url(re.compile(r"/log\?line=\d+"))
    number = int(page.url.rsplit("=", 1)[1])
    lines = console.log(failed.id).read_text(encoding="utf-8").splitlines()
    assert lines[number - 1] in failed.error.log_lines
    expect(page.get_by_role("region", name="日志内容")).to_contain_text("RunFailure")


def test_the_list_says_it_too(page: Page, failed: Task) -> None:
    page.goto("/tasks?status=failed")
    row = page.get_by_role("row").filter(has_text=failed.name)
    expect(row).to_contain_text("失败")
    expect(row).to_contain_text("max_seq_length")


def test_a_second_try_has_the_suggestion_filled_in_and_works(
    page: Page, console: Console, failed: Task
) -> None:
    page.goto(f"/tasks/{failed.id}")
    page.get_by_role("link", name="按建议重试").click()
    length = page.locator('[data-field="trainingArgs.max_seq_length"]')
    expect(length.get_by_role("textbox")).to_have_value("128")
    expect(length).to_contain_text("已按建议修改，原为 64")
    epochs = page.locator('[data-field="trainingArgs.num_train_epochs"]').get_by_role("textbox")
    epochs.fill("1")
    page.get_by_role("button", name="确定创建").click()
    expect(page).to_have_url(re.compile(r"/tasks/\d+$"))
    id = int(page.url.rsplit("/", 1)[1])
    expect(page.locator("#overview-title")).to_have_text("已完成", timeout=TRAINING)
    assert console.task(id).status == "completed"
