"""Tokenizers and tiny models for tests of prompts."""

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import make_tiny_model, make_tokenizer


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer()
