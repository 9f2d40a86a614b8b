"""A tiny base model, and runs of the real trainer over it that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.runs import Run
from tests.tiny_models import make_tiny_model


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny llama 小")


@pytest.fixture
def new_run(tmp_path: Path, llama: Path) -> Iterator[Callable[..., Run]]:
    made: list[Run] = []

    def make(name: str = "a run 运行", base: Path = llama) -> Run:
        made.append(Run(tmp_path / name, base))
        return made[-1]

    yield make
    for run in made:
        if run.process is not None and run.process.poll() is None:
            run.process.kill()
            run.process.wait()
