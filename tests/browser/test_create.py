"""From an empty form to a trained adapter, without a manual."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from examples.persona.base_model import NAME, BaseModelProblem, prepare
from tests.browser.console import TRAINING, Console
from tunesmith.wire import Task

pytestmark = pytest.mark.processes

PERSONA = Path(__file__).parents[2] / "examples" / "persona"


@pytest.fixture(scope="module")
def demo(console: Console) -> Path:
    """The demo's base model among the server's, and some of the demo's data."""
    try:
        prepare(console.server.data_dir / "models")
    except BaseModelProblem as problem:
        pytest.skip(str(problem))
    data = console.data_sets / "demo"
    data.mkdir()
    for split in ("train", "valid"):
        lines = (PERSONA / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        (data / f"{split}.jsonl").write_text("\n".join(lines[:16]), encoding="utf-8")
    return data


def fill(page: Page, name: str, data: Path, model: str = "tiny-llama") -> None:
    """Fill in what has to be given, the base model by choosing it."""
    form = page.get_by_role("form", name="新建任务")
    form.get_by_role("textbox", name="任务名称").fill(name)
    form.get_by_role("button", name=model).click()
    path = form.get_by_role("textbox", name="数据集路径")
    path.fill(str(data))
    path.press("Tab")


def test_the_demos_model_is_trained_and_watched_until_it_is_completed(
    page: Page, console: Console, demo: Path
) -> None:
    page.goto("/tasks")
    page.get_by_role("link", name="新建任务").click()
    fill(page, "第一个任务", demo, NAME)
    page.get_by_role("button", name=re.compile("^快速测试")).click()
    # The data was looked at: its splits, and how many rows they have.
    splits = page.get_by_role("table").filter(has_text="train.jsonl")
    for split in ("训练集", "验证集"):
        expect(splits.get_by_role("row").filter(has_text=split)).to_contain_text("16")
    page.get_by_role("button", name="展开高级参数").click()
    page.get_by_label("max_steps").fill("3")
    page.get_by_role("button", name="确定创建").click()
    expect(page).to_have_url(re.compile(r"/tasks/\d+$"))
    id = int(page.url.rsplit("/", 1)[1])
    expect(page.get_by_role("heading", level=1)).to_have_text("第一个任务")
    progress = page.get_by_role("progressbar", name="训练进度")
    expect(progress).to_have_attribute("aria-valuenow", "100", timeout=TRAINING)
    expect(page.locator("#overview-title")).to_have_text("已完成")
    expect(page.get_by_role("region", name="训练曲线").locator("canvas").first).to_be_visible()
    task = console.task(id)
    assert task.status == "completed"
    assert task.training_args["max_steps"] == task.step == 3
    assert (Path(task.output_path) / "adapter_model.safetensors").is_file()
    page.get_by_role("link", name="微调任务").first.click()
    row = page.get_by_role("row").filter(has_text="第一个任务")
    expect(row).to_contain_text("已完成")


def test_a_data_set_that_cannot_work_is_refused_at_its_field(page: Page, console: Console) -> None:
    before = console.count()
    page.goto("/tasks/new")
    fill(page, "坏数据", console.bad)
    field = page.locator("[data-field=datasetPath]")
    expect(field).to_contain_text("第 4 行")
    expect(field).to_contain_text("output")
    page.get_by_role("button", name="确定创建").click()
    expect(page.get_by_role("status").filter(has_text="需要修改")).to_be_visible()
    expect(page).to_have_url(re.compile("/tasks/new"))
    assert console.count() == before


def test_what_cannot_work_is_told_in_the_servers_words(page: Page, console: Console) -> None:
    page.goto("/tasks/new")
    fill(page, "学习率", console.good)
    rate = page.locator('[data-field="trainingArgs.learning_rate"]')
    rate.get_by_role("textbox").fill("0.01")
    expect(rate).to_contain_text("超出推荐范围")  # unusual, and allowed
    rate.get_by_role("textbox").fill("-1")
    page.get_by_role("button", name="确定创建").click()
    expect(rate.get_by_role("alert")).to_be_visible()
    expect(page).to_have_url(re.compile("/tasks/new"))


def test_the_request_and_the_command_line_are_those_of_the_form(
    page: Page, console: Console
) -> None:
    page.goto("/tasks/new")
    fill(page, "抄下来", console.good)
    content = page.get_by_role("region", name="任务内容")
    shown = content.locator("pre")
    expect(shown).to_contain_text("persona")
    request = json.loads(shown.inner_text())
    assert request["name"] == "抄下来"
    assert request["baseModel"] == str(console.model)
    assert request["datasetPath"] == str(console.good)
    content.get_by_text("命令行").click()
    expect(shown).to_contain_text("tunesmith submit")


def test_a_clone_begins_with_what_the_old_task_had(page: Page, done: Task) -> None:
    page.goto(f"/tasks/{done.id}")
    page.get_by_role("link", name="克隆").click()
    expect(page.get_by_label("数据集路径")).to_have_value(done.dataset_path)
    rate = page.locator('[data-field="trainingArgs.learning_rate"]').get_by_role("textbox")
    expect(rate).to_have_value("0.002")
