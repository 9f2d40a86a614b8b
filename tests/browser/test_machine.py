"""The resources: the machine, its GPUs and who holds them, what runs and why the others wait."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import Console, visit

pytestmark = pytest.mark.processes

LONG = {"num_train_epochs": 5000}


def test_a_machine_without_a_gpu_says_so(page: Page, console: Console) -> None:
    page.goto("/machine")
    expect(page.get_by_text("本机没有可用的 GPU，训练在 CPU 上进行")).to_be_visible()
    for name in ("CPU", "内存", "磁盘（数据目录所在）"):
        meter = page.get_by_role("meter", name=name)
        assert 0 <= float(meter.get_attribute("aria-valuenow") or -1) <= 100
    expect(page.get_by_text(str(console.server.data_dir))).to_be_visible()


def test_gpus_say_who_holds_them_and_the_queue_why_it_waits(
    browser: Browser, tmp_path: Path, executable: str
) -> None:
    console = Console(tmp_path, TUNESMITH_DEVICES="simulated:2x24GiB").start()
    try:
        with console.client() as client:
            first, second, third = (
                client.create_task(
                    name,
                    str(console.model),
                    str(console.good),
                    training_args=LONG,
                    gpu_config={"cuda_visible_devices": devices},
                ).id
                for name, devices in (("first", "0"), ("second", "0,1"), ("third", ""))
            )
        with visit(browser, console) as page:
            page.goto("/machine")
            gpu = page.get_by_role("article").filter(has_text="GPU 0")
            expect(gpu.get_by_role("link", name=f"#{first} first")).to_be_visible()
            expect(gpu).to_contain_text("模拟")
            expect(page.get_by_role("article").filter(has_text="GPU 1")).to_contain_text("空闲")
            running = page.get_by_role("table", name="执行中")
            expect(running.get_by_role("row", name=f"#{first} first")).to_contain_text("GPU 0")
            queue = page.get_by_role("table", name="排队").get_by_role("row")
            expect(queue.nth(1)).to_contain_text(f"#{second} second")
            expect(queue.nth(1)).to_contain_text("等待 GPU 0，正被任务 1 占用")
            # GPU 1 is kept free for the older task.
            expect(queue.nth(2)).to_contain_text(f"#{third} third")
            expect(queue.nth(2)).to_contain_text("等待空闲的 GPU")

            with console.client() as client:
                client.stop_task(first)
            expect(gpu.get_by_role("link", name=re.compile("second"))).to_be_visible()
            expect(queue.nth(1)).to_contain_text(f"#{third} third")
    finally:
        console.server.close()
