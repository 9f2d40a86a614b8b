"""Makes docs/screenshots: every page in both languages, after real trainings of the demo's model.

make screenshots                          a quarter of an hour on two cores
make screenshots ARGS="--root DIR"        where its data is, as some pages show (a new DIR)
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, expect, sync_playwright

from examples.persona.base_model import NAME, prepare
from tests.browser import chromium
from tests.browser.console import FLAGS, LOCALES, Console, Language, Site, Theme, visit
from tests.integration.server import until

REPOSITORY = Path(__file__).parents[2]
PERSONA = REPOSITORY / "examples" / "persona"
TARGET = REPOSITORY / "docs" / "screenshots"
TRAINING = 3600.0  # seconds for one, on a machine that does other things
SETTLED = 800  # milliseconds, for what is drawn after the page is there
TAGS = {"zh": "zh-CN", "en": "en"}
USUAL: dict[str, Any] = {
    "num_train_epochs": 2,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "linear",
    "lora_dropout": 0.0,
    "max_seq_length": 128,
    "logging_steps": 1,
    "eval_steps": 8,
    "save_steps": 20,
}


class Workshop(Site):
    """A server that has done some work, and is doing some."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.data_sets = root / "datasets"
        self.model = self.server.data_dir / "models" / NAME
        self.ids: dict[str, int] = {}

    def prepare(self) -> None:
        """Put the base model and the data where the server finds them."""
        prepare(self.model.parent)
        persona, medical = self.data_sets / "persona", self.data_sets / "medical-qa"
        persona.mkdir(parents=True)
        for file in PERSONA.glob("*.jsonl"):
            shutil.copy(file, persona)
        medical.mkdir()
        row = {"instruction": "1" * 80, "input": "", "output": "An answer that does not fit."}
        (medical / "train.jsonl").write_text("\n".join([json.dumps(row)] * 20), encoding="utf-8")

    def work(self) -> None:
        """Train until there is something to see of every kind."""
        self.train("persona-lora-r16", "persona", lora_r=16)
        self.train("medical-qa", "medical-qa", max_seq_length=64)
        self.train("persona-lora-r4", "persona", lora_r=4, learning_rate=3e-4)
        stopped = self.train("persona-two-epochs", "persona")
        self.reaches(stopped, 12)
        with self.client() as client:
            client.stop_task(stopped)
        running = self.train("persona-long", "persona", num_train_epochs=20, lora_r=32)
        self.train("medical-qa-longer", "medical-qa", max_seq_length=256)
        self.train("persona-full", "persona", method="full", learning_rate=2e-5)
        self.reaches(running, 30)

    def train(self, name: str, data: str, **arguments: Any) -> int:
        with self.client() as client:
            task = client.create_task(
                name,
                str(self.model),
                str(self.data_sets / data),
                training_args={**USUAL, **arguments},
            )
            return task.id

    def reaches(self, id: int, step: int) -> None:
        until(lambda: (self.task(id).step or 0) >= step, f"task {id} is at {step}", TRAINING)

    def look(self) -> None:
        """Learn the ids of the tasks."""
        with self.client() as client:
            self.ids = {task.name: task.id for task in client.iter_tasks()}


class Shot(NamedTuple):
    name: str
    address: str
    do: Callable[[Page], object] | None = None
    theme: Theme = "light"
    signed_in: bool = True
    charts: bool = False


def shots(site: Workshop) -> Iterator[Shot]:
    def fill(page: Page) -> None:
        page.locator("[data-field=name] input").fill("persona-qa")
        page.get_by_role("button", name=NAME).first.click()
        path = page.locator("[data-field=datasetPath] input")
        path.fill(str(site.data_sets / "persona"))
        path.blur()
        expect(page.locator("[data-field=datasetPath] table")).to_be_visible()

    def more(page: Page) -> None:
        fill(page)
        page.locator(".presets button").nth(1).click()
        page.locator("[aria-controls=create-advanced]").click()
        page.locator("#create-training").evaluate("heading => heading.scrollIntoView()")
        page.mouse.wheel(0, -16)

    def search(page: Page) -> None:
        page.get_by_role("toolbar").get_by_role("textbox").first.fill("eval loss")
        expect(page.locator("mark").first).to_be_visible()

    completed, other, running, failed = (
        site.ids[name]
        for name in ("persona-lora-r16", "persona-lora-r4", "persona-long", "medical-qa")
    )
    yield Shot("sign-in", "/sign-in", signed_in=False)
    yield Shot("tasks", "/tasks")
    yield Shot("tasks-dark", "/tasks", theme="dark")
    yield Shot("create", "/tasks/new", fill)
    yield Shot("create-arguments", "/tasks/new", more)
    yield Shot("task", f"/tasks/{running}", charts=True)
    yield Shot("task-dark", f"/tasks/{completed}", theme="dark", charts=True)
    yield Shot("failure", f"/tasks/{failed}")
    yield Shot("log", f"/tasks/{completed}/log", search)
    yield Shot("compare", f"/compare?ids={completed},{other}", charts=True)
    yield Shot("machine", "/machine")
    yield Shot("help", "/help")


def take(browser: Browser, site: Site, shot: Shot, language: Language) -> None:
    with visit(
        browser, site, language, shot.theme, shot.signed_in, reduced_motion="reduce"
    ) as page:
        page.goto(shot.address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        if shot.do:
            shot.do(page)
        if shot.charts:
            expect(page.locator("canvas").first).to_be_visible()
        page.wait_for_timeout(SETTLED)
        page.screenshot(path=TARGET / f"{shot.name}.{TAGS[language]}.png")


@contextmanager
def gpus() -> Iterator[Site]:
    """A machine that says it has four GPUs, with tasks on three of them and one that waits."""
    root = Path(tempfile.mkdtemp(prefix="tunesmith-"))
    console = Console(root, TUNESMITH_DEVICES="simulated:4x24GiB").start()
    try:
        with console.client() as client:
            for name, devices in (("persona-a", "0"), ("persona-b", "1,2"), ("persona-c", "2,3")):
                client.create_task(
                    name,
                    str(console.model),
                    str(console.good),
                    training_args={"num_train_epochs": 5000, "logging_steps": 1},
                    gpu_config={"cuda_visible_devices": devices},
                )
        until(lambda: (console.task(2).step or 0) > 5, "both train")
        yield console
    finally:
        console.server.close()
        shutil.rmtree(root)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="default: a temporary directory")
    given: Path | None = parser.parse_args().root
    root = given or Path(tempfile.mkdtemp(prefix="tunesmith-"))
    executable = chromium.find()
    if executable is None:
        print(chromium.LACKING, file=sys.stderr)
        return 1
    site = Workshop(root)
    new = not site.model.exists()
    if new:
        site.prepare()
    site.start()
    try:
        if new:
            site.work()
        site.look()
        with sync_playwright() as playwright, gpus() as with_gpus:
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            shutil.rmtree(TARGET, ignore_errors=True)
            TARGET.mkdir()
            for language in LOCALES:
                for shot in shots(site):
                    take(browser, site, shot, language)
                take(browser, with_gpus, Shot("machine-gpus", "/machine"), language)
            browser.close()
    finally:
        if given:
            site.server.kill()  # what it trains goes on
        else:
            site.server.close()
            shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
