"""Loads the tokenizer of a base model's directory."""

from pathlib import Path
from typing import Any

from tunesmith.errors import RunFailure


def load_tokenizer(path: Path) -> Any:
    """Return the fast tokenizer in `path`.

    Raises RunFailure `base_model_missing` or `base_model_unreadable`.
    """
    from transformers import AutoTokenizer

    if not path.is_dir():
        raise RunFailure("base_model_missing", path=str(path))
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise RunFailure("base_model_unreadable", path=str(path), reason=reason) from error
    if not tokenizer.is_fast:
        reason = f"its tokenizer ({type(tokenizer).__name__}) has no fast form, tokenizer.json"
        raise RunFailure("base_model_unreadable", path=str(path), reason=reason)
    return tokenizer
