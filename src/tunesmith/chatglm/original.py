"""The tokenizer of a directory of the original layout, without converting its weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.chatglm import tokenizer
from tunesmith.chatglm.config import is_original
from tunesmith.errors import InvalidInput
from tunesmith.families import family_of


def is_original_directory(directory: Path) -> bool:
    """Return whether the base model in `directory` has to be converted before it is loaded."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and is_original(config)


def original_tokenizer(directory: Path) -> Any:
    """Return the fast tokenizer of an original directory; None for any other directory.

    Raises InvalidInput `chatglm_tokenizer`, of the field baseModel.
    """
    if not is_original_directory(directory):
        return None
    family = family_of(directory).name
    if family not in tokenizer.CONTROLS:  # ChatGLM-6B, which is refused elsewhere
        return None
    try:
        return tokenizer.build(directory, family)
    except InvalidInput as refused:
        problems = (replace(problem, field="baseModel") for problem in refused.problems)
        raise InvalidInput(*problems) from None
