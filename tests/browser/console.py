"""A server with the console, something to train, and pages that notice what no page may do."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
)

from tests.integration.runs import ROWS
from tests.integration.server import Server, until
from tests.tiny_models import make_tiny_model
from tunesmith import Client
from tunesmith.wire import Task

PATIENCE = 60_000  # milliseconds until what a page shall show counts as never shown
TRAINING = 300_000  # the same for what a training has to come to first
Theme = Literal["light", "dark"]
Language = Literal["zh", "en"]
LOCALES = {"zh": "zh-CN", "en": "en-US"}
# The browser itself stays at home too: nothing is resolved but this machine.
FLAGS = [
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--no-first-run",
]
LONG_NAME = "samples-without-room-for-an-answer-" * 3
SIZE = {"width": 1440, "height": 900}
# What the browser says about answers that are meant: a wrong token, a server that was ended.
OF_ANSWERS = ("Failed to load resource", "net::ERR_")


expect.set_options(timeout=PATIENCE)


class Site:
    """`tunesmith serve` on a data directory below `root`, and calls of it."""

    def __init__(self, root: Path, **settings: str) -> None:
        usual = {
            "TUNESMITH_ALLOWED_ROOTS": str(root),
            "TUNESMITH_DEVICES": "none",
            "TUNESMITH_PORT": str(_free_port()),  # the same after a restart
        }
        self.server = Server(root, **{**usual, **settings})

    def start(self) -> Self:
        self.server.start()
        return self

    @property
    def url(self) -> str:
        return self.server.url

    def client(self, language: Language = "zh") -> Client:
        return Client(self.url, self.server.token, language=language)

    def log(self, id: int) -> Path:
        """Return the file of the task's log."""
        return self.server.data_dir / "tasks" / str(id) / "1" / "train.log"

    def task(self, id: int) -> Task:
        with self.client() as client:
            return client.task(id)

    def count(self) -> int:
        """Return how many tasks there are."""
        with self.client() as client:
            return client.tasks().total

    def wait(self, id: int, *statuses: str) -> Task:
        """Wait until the task has one of `statuses`."""
        until(lambda: self.task(id).status in statuses, f"task {id} is {statuses}", TRAINING / 1000)
        return self.task(id)


class Console(Site):
    """The site of the tests: a tiny base model, data sets, and tasks that ended as they should."""

    def __init__(self, root: Path, **settings: str) -> None:
        super().__init__(root, **{"TUNESMITH_CPU_TASKS": "3", **settings})
        self.model = make_tiny_model(self.server.data_dir / "models" / "tiny-llama")
        self.data_sets = root / "data sets 数据"
        self.good = self._write("persona", train=ROWS * 2, valid=ROWS[:6])
        self.bad = self._write("broken", train=[*ROWS[:3], {"instruction": "no answer"}, *ROWS])
        # 80 tokens of question: no room for an answer in 64, but in 128.
        self.too_long = self._write("too long", train=[{**row, "input": "7" * 80} for row in ROWS])
        self.done = self.failed = 0

    def begin(self) -> None:
        """Create the tasks `done` and `failed`."""
        often: dict[str, Any] = {
            "num_train_epochs": 3,
            "logging_steps": 1,
            "eval_steps": 4,
            "learning_rate": 2e-3,
        }
        self.done = self.submit("客服问答 <b>done</b>", **often)
        self.failed = self.submit(LONG_NAME, self.too_long, max_seq_length=64)

    def submit(self, name: str, data: Path | None = None, **arguments: Any) -> int:
        """Create a task; return its id."""
        with self.client() as client:
            task = client.create_task(
                name, str(self.model), str(data or self.good), training_args=arguments
            )
            return task.id

    def _write(self, name: str, **splits: list[dict[str, str]]) -> Path:
        directory = self.data_sets / name
        directory.mkdir(parents=True)
        for split, rows in splits.items():
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (directory / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return directory


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Watch:
    """What a page did that no page of the console may do."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._host = urlsplit(url).netloc
        self.wrongs: list[str] = []
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.wrongs.append(str(error.error)))

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.netloc != self._host:
            self.wrongs.append(f"asks another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.wrongs.append(f"{response.status} {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(OF_ANSWERS):
            self.wrongs.append(f"{message.type}: {message.text}")


@contextmanager
def visit(
    browser: Browser,
    console: Site,
    language: Language = "zh",
    theme: Theme = "light",
    signed_in: bool = True,
    **options: Any,
) -> Iterator[Page]:
    """A page in a browser of its own, with nothing open yet."""
    usual = {"locale": LOCALES[language], "color_scheme": theme, "viewport": SIZE}
    context = browser.new_context(base_url=console.url, **{**usual, **options})
    context.set_default_timeout(PATIENCE)
    try:
        if signed_in:
            sign_in(context, console)
        watch = Watch(context, console.url)
        yield context.new_page()
        assert watch.wrongs == []
    finally:
        context.close()


def sign_in(context: BrowserContext, console: Site) -> None:
    answer = context.request.post(
        f"{console.url}/finetuning/signIn",
        data={"token": console.server.token},
        headers={"Origin": console.url},
    )
    assert answer.ok, answer.text()
