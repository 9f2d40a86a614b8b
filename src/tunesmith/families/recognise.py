"""Which family a base model belongs to, by the files of its directory. Never fails."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.families.family import (
    BY_NAME,
    CHATGLM2,
    CHATGLM3,
    GENERIC,
    GLM4,
    GLM4_NATIVE,
    LLAMA,
    LLAMA2,
    LLAMA3,
    QWEN2,
    QWEN3,
    QWEN15,
    Family,
)

LARGEST_FILE = 32 << 20  # bytes of a file that is read for this
CONVERSION_FILE = "tunesmith_conversion.json"
TOKENIZER_CODE = "tokenization_chatglm.py"  # read as text, never run

# What a name tells: of a hub's repository, or of a directory somebody named after it.
_NAMES = (
    (re.compile(r"llama[-_ ]?3", re.I), LLAMA3),
    (re.compile(r"llama[-_ ]?2", re.I), LLAMA2),
    (re.compile(r"chatglm[-_ ]?3", re.I), CHATGLM3),
    (re.compile(r"chatglm[-_ ]?2", re.I), CHATGLM2),
    (re.compile(r"(?<!chat)glm[-_ ]?4", re.I), GLM4),
    (re.compile(r"qwen[-_ ]?1[._]5", re.I), QWEN15),
    (re.compile(r"qwen[-_ ]?2", re.I), QWEN2),
)
_GLM4_VOCABULARY = 151_552
_LLAMA2_VOCABULARY = 32_000
_LLAMA3_VOCABULARY = 128_256
_ADDED_TOKENS = 512  # by which a fine-tuned model's vocabulary may have grown
# Qwen1.5 has as many key-value heads as heads, but for its 32B and 110B: told by their widths.
_QWEN15_GROUPED = frozenset({(5120, 27_392), (8192, 49_152)})


def family_of(path: Path) -> Family:
    """Return the family of the base model in `path`; generic where nothing is recognised."""
    tokenizer_config = _read_object(path / "tokenizer_config.json")
    template = _read_text(path / "chat_template.jinja")
    if template:  # where transformers 5 keeps it
        tokenizer_config = {**tokenizer_config, "chat_template": template}
    return recognise(
        _read_object(path / "config.json"),
        tokenizer_config,
        _read_object(path / CONVERSION_FILE),
        tokenizer_code=_read_text(path / TOKENIZER_CODE),
        directory=path.name,
    )


def recognise(
    config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    conversion: Mapping[str, Any],
    *,
    tokenizer_code: str = "",
    directory: str = "",
) -> Family:
    """Return the family that config.json, tokenizer_config.json and the conversion record tell.

    `tokenizer_code` is the text of ChatGLM's own tokenizer; `directory`, a name that anybody may
    have given, decides only where nothing else does.
    """
    names = (config.get("_name_or_path"), tokenizer_config.get("name_or_path"))
    match config.get("model_type"):
        case "llama":
            return _llama(config, tokenizer_config, names, directory)
        case "qwen2":
            return _qwen(config, tokenizer_config, names, directory)
        case "qwen3":
            return QWEN3
        case "chatglm":
            return _chatglm(config, tokenizer_config, tokenizer_code, names, directory)
        case "glm" | "glm4":
            return BY_NAME.get(str(conversion.get("family")), GLM4_NATIVE)
        case _:
            return GENERIC


def _llama(
    config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    names: tuple[Any, ...],
    directory: str,
) -> Family:
    """LLaMA 2 and 3 differ from each other, and from the many others, by their tokens first."""
    begin = _token(tokenizer_config.get("bos_token"))
    if begin == "<|begin_of_text|>":
        return LLAMA3
    if begin not in (None, "<s>"):
        return LLAMA
    vocabulary = config.get("vocab_size")
    if begin is None and _grown_from(_LLAMA3_VOCABULARY, vocabulary):
        return LLAMA3
    told = _named(names, LLAMA2, LLAMA3)
    if told is LLAMA2 or (told is LLAMA3 and begin is None):
        return told
    if not _grown_from(_LLAMA2_VOCABULARY, vocabulary) or _rope_base(config) != 10_000:
        return LLAMA  # of the same vocabulary, CodeLlama has a base of 1,000,000
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and positions >= 4096:
        return LLAMA2  # LLaMA 1 and TinyLlama have 2048; so has LLaMA 2's first upload
    return _named((directory,), LLAMA2) or LLAMA


def _qwen(
    config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    names: tuple[Any, ...],
    directory: str,
) -> Family:
    """Qwen1.5 and Qwen2 share everything but heads and the full stop of the system text."""
    if _token(tokenizer_config.get("eos_token")) not in (None, *QWEN2.stop_tokens):
        return GENERIC  # DeepSeek-R1-Distill-Qwen and others that took the layers only
    template = tokenizer_config.get("chat_template")
    if isinstance(template, str):
        if "You are a helpful assistant<|im_end|>" in template:
            return QWEN15
        if "You are a helpful assistant." in template or "created by Alibaba Cloud" in template:
            return QWEN2
    if told := _named(names, QWEN15, QWEN2):
        return told
    heads, groups = config.get("num_attention_heads"), config.get("num_key_value_heads")
    widths = (config.get("hidden_size"), config.get("intermediate_size"))
    if (isinstance(heads, int) and heads == groups) or widths in _QWEN15_GROUPED:
        return QWEN15
    return _named((directory,), QWEN15) or QWEN2


def _chatglm(
    config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    tokenizer_code: str,
    names: tuple[Any, ...],
    directory: str,
) -> Family:
    """The original layout: three families with one `model_type`, and ChatGLM-6B, which is none."""
    if config.get("position_encoding_2d") or "inner_hidden_size" in config:
        return GENERIC
    if (
        config.get("padded_vocab_size") == _GLM4_VOCABULARY
        or tokenizer_config.get("tokenizer_class") == "ChatGLM4Tokenizer"
        or isinstance(config.get("eos_token_id"), list)
    ):
        return GLM4
    if told := _named(names, CHATGLM2, CHATGLM3, GLM4):
        return told
    if tokenizer_code:
        if "ChatGLM4Tokenizer" in tokenizer_code:
            return GLM4
        return CHATGLM3 if "<|assistant|>" in tokenizer_code else CHATGLM2
    if "<|assistant|>" in json.dumps(tokenizer_config.get("added_tokens_decoder", {})):
        return CHATGLM3
    # Nothing decides between the two: the newer one is the more frequent.
    return _named((directory,), CHATGLM2, CHATGLM3, GLM4) or CHATGLM3


def _named(names: tuple[Any, ...], *families: Family) -> Family | None:
    """Return the one of `families` that a name tells; the first name that tells one counts."""
    for name in names:
        for pattern, family in _NAMES:
            if family in families and isinstance(name, str) and pattern.search(name):
                return family
    return None


def _grown_from(vocabulary: int, found: Any) -> bool:
    return isinstance(found, int) and vocabulary <= found <= vocabulary + _ADDED_TOKENS


def _rope_base(config: Mapping[str, Any]) -> Any:
    """Return the base of the rotary positions, in the words of transformers 4 or 5."""
    parameters = config.get("rope_parameters")
    newer = parameters.get("rope_theta") if isinstance(parameters, dict) else None
    return newer or config.get("rope_theta") or 10_000


def _token(value: Any) -> str | None:
    """Return a token's text; old files hold {"content": ...}."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read_text(file) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_text(file: Path) -> str:
    """Return a file's text; "" where there is none that could be read."""
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_FILE:
            return ""
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
