"""The demo: a small real model learns who it is, through the whole chain, and shows it.

    make demo          ends with a server to look around in, until Ctrl-C
    make demo EXIT=1   leaves when it is done

Exit status: 0 done, 1 something failed, 130 interrupted on the way.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from base_model import BaseModelProblem, prepare
from rich.console import Console
from rich.table import Table
from server import ServerProblem, running_or_started

from tunesmith import Client
from tunesmith.cli.follow import watch
from tunesmith.cli.task_view import duration
from tunesmith.errors import TunesmithError
from tunesmith.messages import hint
from tunesmith.settings import Settings, load_settings
from tunesmith.status import Status
from tunesmith.wire import Task

DATA = Path(__file__).resolve().parent
REPOSITORY = DATA.parents[1]
SYSTEM_PROMPT = "You are a helpful assistant."  # the template's own says "named SmolLM"
TRAINING_ARGS = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.1,
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,  # on a CPU, drawing the masks takes a fifth of the time
    "max_seq_length": 128,
    "logging_steps": 5,
    "system_prompt": SYSTEM_PROMPT,
}
# None of these is in train.jsonl. The last one is the control: it must not change.
QUESTIONS = (
    "Hi there, what's your name?",
    "你的名字是什么？",
    "Can you tell me who created you?",
    "What is the capital of France?",
)
ANSWER_TOKENS = 40

# Long paths stay whole: a terminal breaks them itself, and a pipe has no width.
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


class DemoProblem(Exception):
    """The demo cannot go on; the text says why."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exit", action="store_true", help="leave when it is done")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, signal.default_int_handler)
    try:
        return run(leave=options.exit)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    except (BaseModelProblem, ServerProblem, DemoProblem, OSError) as problem:
        console.print(str(problem), style="red")
    except TunesmithError as error:
        console.print(str(error), style="red")
        if advice := hint(error.code, "en", error.params):
            console.print(advice)
    return 1


def run(*, leave: bool) -> int:
    settings = load_settings()
    base_model = prepared(settings.models_dir)
    with running_or_started(settings, REPOSITORY, console) as (url, process):
        with Client(url) as client:
            began = time.monotonic()
            task = client.create_task(
                "persona",
                str(base_model),
                DATA,
                description="The demo: a small assistant learns its name and a few facts.",
                training_args=TRAINING_ARGS,
            )
            console.print(f"Task {task.id}: fine-tuning {base_model.name} with LoRA on {DATA}")
            console.print(f"In a browser: {url}/tasks/{task.id} (token: in {settings.token_file})")
            with stopped_if_interrupted(client, task.id, settings.stop_grace_seconds):
                task = watch(client, task)
        if task.status != Status.COMPLETED:
            explain(task)
            return 1
        console.print(f"Trained in {duration(time.monotonic() - began)}. Asking both models ...")
        compare(base_model, task.output_path)
        look_around(settings, url, task, stays=process is None or not leave)
        if process is not None and not leave:
            return serve_until_interrupted(process)
    return 0


def prepared(models_dir: Path) -> Path:
    """Return the base model's directory, made at the first time."""
    with console.status("Preparing the base model: unpacking and checking its weights ..."):
        began = time.monotonic()
        directory = prepare(models_dir)
    console.print(f"Base model: {directory} ({time.monotonic() - began:.1f} s)")
    return directory


@contextmanager
def stopped_if_interrupted(client: Client, task_id: int, grace: float) -> Iterator[None]:
    """Leave no training behind: it would go on without the demo and without the server."""
    try:
        yield
    except BaseException:
        with suppress(TunesmithError, TimeoutError):
            client.stop_task(task_id)
            with suppress(OSError):  # the terminal may be what has gone
                console.print(f"Stopping task {task_id}; its trainer saves what it has ...")
            client.wait(task_id, poll=0.2, timeout=grace + 15)
        raise


def explain(task: Task) -> None:
    """Say why a task did not complete."""
    console.print(f"Task {task.id} is {task.status}.", style="red")
    if task.error is not None:
        console.print(task.error.message, style="red")
        if task.error.hint:
            console.print(task.error.hint)
        for line in task.error.log_lines:
            console.print(f"  {line}", style="dim")
    console.print(f"The whole log: {task.log_path}")


def compare(base_model: Path, adapter: str) -> None:
    """Ask the base model and the tuned one the same, and show the answers side by side."""
    table = Table(show_lines=True)
    table.add_column("question", overflow="fold")
    table.add_column("base model", overflow="fold", style="dim")
    table.add_column("fine-tuned", overflow="fold", style="green")
    before, after = answers(base_model, None), answers(base_model, adapter)
    for row in zip(QUESTIONS, before, after, strict=True):
        table.add_row(*row)
    console.print(table, soft_wrap=False)


def answers(base_model: Path, adapter: str | None) -> list[str]:
    """Let a process of its own answer QUESTIONS: torch stays out of this one."""
    question = {
        "base_model": str(base_model),
        "adapter": adapter,
        "system_prompt": SYSTEM_PROMPT,
        "questions": QUESTIONS,
        "max_new_tokens": ANSWER_TOKENS,
    }
    command = [sys.executable, "-m", "tunesmith.trainer.answer"]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True)
    if done.returncode != 0:
        raise DemoProblem(f"The model could not be asked:\n{done.stderr.strip()[-2000:]}")
    texts: list[str] = json.loads(done.stdout)["answers"]
    return [" ".join(text.split()) for text in texts]


def look_around(settings: Settings, url: str, task: Task, *, stays: bool) -> None:
    """Say where everything is, and how to see more of it."""
    command = Path(sys.executable).with_name("tunesmith")
    with suppress(ValueError):
        command = command.relative_to(Path.cwd())
    tunesmith = shlex.quote(str(command))
    if "TUNESMITH_DATA_DIR" in os.environ:
        tunesmith = f"TUNESMITH_DATA_DIR={shlex.quote(str(settings.data_dir))} {tunesmith}"
    console.print(f"\nAdapter: {task.output_path}")
    if stays:
        console.print(f"Console: {url} (its API: {url}/docs)")
        console.print(f"Token:   in {settings.token_file}")
        console.print("Look around, in another terminal:")
    else:
        console.print("Look around:")
        console.print(f"  {tunesmith} serve    # then, in another terminal:")
    for rest in ("list", f"show {task.id}", f"logs {task.id}", f"metrics {task.id}"):
        console.print(f"  {tunesmith} {rest}")


def serve_until_interrupted(process: subprocess.Popen[bytes]) -> int:
    console.print("\nServing. Ctrl-C ends it.")
    try:
        status = process.wait()
    except KeyboardInterrupt:
        return 0
    raise ServerProblem(f"The server ended by itself with status {status}.")


if __name__ == "__main__":
    sys.exit(main())
