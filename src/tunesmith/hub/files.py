"""Which files of a repository are wanted: a model that transformers loads, once. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tunesmith.base_model import TOKENIZER_FILES

# Only the top of a repository counts: original/, onnx/ and the like hold the weights again.
_SAFETENSORS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
_BIN = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin")
_DUPLICATES = ("consolidated", "adapter", "optimizer", "training")
_BESIDE = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab"
    r"|chat_template|quantize_config|quantization_config)\.json"
    r"|vocab\.txt|merges\.txt|chat_template\.jinja"
    r"|(tokenizer|spiece|ice_text|sentencepiece\.bpe)\.model|[\w.-]+\.tiktoken"
    # ChatGLM's original layout: read as text by the conversion, never run.
    r"|(modeling|tokenization)_chatglm\.py"
    r"|(LICENSE|README|NOTICE|USE_POLICY|MODEL_LICENSE)(\.md|\.txt)?",
    re.ASCII,
)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository."""

    path: str
    size: int
    sha256: str | None
    """None where the hub tells none (files that are not kept in LFS)."""
    url: str


def wanted(files: Iterable[RemoteFile]) -> list[RemoteFile]:
    """Return the files to download, small ones first."""
    at_top = [file for file in files if "/" not in file.path and not file.path.startswith(".")]
    chosen = _weights(at_top) + [file for file in at_top if _BESIDE.fullmatch(file.path)]
    return sorted(chosen, key=lambda file: (file.size, file.path))


def problem(files: Iterable[RemoteFile]) -> str | None:
    """Return the code of what keeps a repository from being a base model, None if nothing does."""
    names = {file.path for file in files}
    if "config.json" not in names:
        return "hub_no_config"
    if not any(name.endswith((".safetensors", ".bin")) for name in names):
        return "hub_no_weights"
    if not names.intersection(TOKENIZER_FILES):
        return "hub_no_tokenizer"
    return None


def _weights(files: list[RemoteFile]) -> list[RemoteFile]:
    by_name = {file.path: file for file in files}

    def layout(single: str, index: str, shards: list[RemoteFile]) -> list[RemoteFile]:
        if single in by_name:
            return [by_name[single]]
        return [*shards, by_name[index]] if shards and index in by_name else shards

    safetensors = [file for file in files if _SAFETENSORS.fullmatch(file.path)]
    if not safetensors:  # shards under names of their own, which only the index knows
        safetensors = [
            file
            for file in files
            if file.path.endswith(".safetensors") and not file.path.startswith(_DUPLICATES)
        ]
    if safetensors:
        return layout("model.safetensors", "model.safetensors.index.json", safetensors)
    shards = [file for file in files if _BIN.fullmatch(file.path)]
    return layout("pytorch_model.bin", "pytorch_model.bin.index.json", shards)
