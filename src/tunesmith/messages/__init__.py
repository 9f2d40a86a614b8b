"""The texts a person reads, in Chinese and English: one catalogue a language, the same keys.

A key is an error's code (`out_of_memory`), or `hint.<code>` for what to do about it, or
`args.<name>.hint` for a training argument. A text holds `{placeholders}` for parameters.
"""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")


@cache
def catalogue(language: Language) -> dict[str, str]:
    """Return all texts of a language, keyed by dotted name."""
    text = files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return dict(_flatten(tomllib.loads(text), ""))


def user_language() -> Language:
    """Return zh for a Chinese locale (LC_ALL, LC_MESSAGES or LANG, in this order), else en."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if locale := os.environ.get(name):
            return "zh" if locale.lower().startswith("zh") else "en"
    return "en"


def sentence(key: str, language: Language, params: Mapping[str, Any] | None = None) -> str:
    """Return the text of `key` with `params` filled in; an unknown key is shown as it is."""
    text = catalogue(language).get(key)
    if text is None:
        return f"{key} {dict(params)}" if params else key
    return text.format_map(_Shown(params or {}, language))


def hint(code: str, language: Language, params: Mapping[str, Any] | None = None) -> str | None:
    """Return what to do about `code`, or None where nothing general can be said."""
    return text_of(f"hint.{code}", language, params)


def text_of(key: str, language: Language, params: Mapping[str, Any] | None = None) -> str | None:
    """Return the text of a key that there need not be, None where there is none."""
    return sentence(key, language, params) if key in catalogue(language) else None


def _flatten(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            pairs += _flatten(value, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, value))
    return pairs


class _Shown(dict[str, Any]):
    """Parameters as a person reads them; one that is missing shows its own name.

    A parameter may be a message itself: {"code": key, "params": {...}}.
    """

    def __init__(self, params: Mapping[str, Any], language: Language) -> None:
        super().__init__((name, _shown(value, language)) for name, value in params.items())

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _shown(value: Any, language: Language) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict) and "code" in value:
        return sentence(value["code"], language, value.get("params"))
    return value
