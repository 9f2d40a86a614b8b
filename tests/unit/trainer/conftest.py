"""Tiny models and helpers for tests of the trainer's parts."""

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import make_tiny_model, make_tokenizer


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny models are faster without threads, most of all beside other tests."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "qwen2", "qwen2")


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer()
