"""Makes tiny base models in ChatGLM's original layout: two layers, a tokenizer trained here."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from tests.tiny_models import TEXT

Family = Literal["chatglm2", "chatglm3", "glm-4"]
HEADS, GROUPS, HEAD_DIM, HIDDEN, INNER, LAYERS = 4, 2, 16, 64, 96, 2
NAMES = {"chatglm2": "chatglm2-6b", "chatglm3": "chatglm3-6b", "glm-4": "glm-4-9b"}


def make_tiny_chatglm(
    path: Path,
    family: Family = "chatglm3",
    *,
    layout: Literal["bin", "safetensors"] = "bin",
    shards: int = 2,
    dtype: str = "float32",
    inv_freq: bool = True,
    tokenizer: bool = True,
    **config: Any,
) -> Path:
    """Write about 100,000 random parameters with a tokenizer.model to `path`; return it."""
    import torch
    from safetensors.torch import save_file

    path.mkdir(parents=True)
    tokens = 0
    if tokenizer:
        tokens = make_ranks(path) if family == "glm-4" else make_sentencepiece(path)
    vocabulary = tokens + 16
    described = original_config(family, vocabulary, dtype) | config
    (path / "config.json").write_text(json.dumps(described), encoding="utf-8")
    state = {
        name: values.to(getattr(torch, dtype))
        for name, values in weights(described["padded_vocab_size"]).items()
    }
    if inv_freq:
        steps = torch.arange(0, HEAD_DIM // 2, 2).to(getattr(torch, dtype))
        state["transformer.rotary_pos_emb.inv_freq"] = 1.0 / (10000 ** (steps / (HEAD_DIM // 2)))
    suffix = "bin" if layout == "bin" else "safetensors"
    stem = "pytorch_model" if layout == "bin" else "model"

    def save(part: dict[str, Any], file: Path) -> None:
        if layout == "bin":
            torch.save(part, file)
        else:
            save_file(part, file)

    if shards == 1:
        save(state, path / f"{stem}.{suffix}")
        return path
    weight_map = {}
    for number in range(shards):
        names = sorted(state)[number::shards]
        file = f"{stem}-{number + 1:05}-of-{shards:05}.{suffix}"
        save({name: state[name] for name in names}, path / file)
        weight_map |= dict.fromkeys(names, file)
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (path / f"{stem}.{suffix}.index.json").write_text(index)
    return path


def original_config(family: Family, vocabulary: int, dtype: str) -> dict[str, Any]:
    specials = {"eos_token_id": 2, "pad_token_id": 0}
    if family == "glm-4":
        first = vocabulary - 16
        specials = {"eos_token_id": [first, first + 7, first + 9], "pad_token_id": first}
        specials |= {"rope_ratio": 500}
    return {
        "_name_or_path": f"THUDM/{NAMES[family]}",
        "model_type": "chatglm",
        "architectures": ["ChatGLMModel"],
        "auto_map": {"AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"},
        "num_layers": LAYERS,
        "padded_vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "ffn_hidden_size": INNER,
        "kv_channels": HEAD_DIM,
        "num_attention_heads": HEADS,
        "seq_length": 512,
        "layernorm_epsilon": 1e-5,
        "rmsnorm": True,
        "post_layer_norm": True,
        "apply_residual_connection_post_layernorm": False,
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "multi_query_attention": True,
        "multi_query_group_num": GROUPS,
        "fp32_residual_connection": False,
        "original_rope": True,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
        **specials,
    }


def weights(vocabulary: int) -> dict[str, Any]:
    import torch

    made = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Any:
        return torch.randn(shape, generator=made) * 0.05

    rows = (HEADS + 2 * GROUPS) * HEAD_DIM
    state = {
        "transformer.embedding.word_embeddings.weight": random(vocabulary, HIDDEN),
        "transformer.encoder.final_layernorm.weight": 1 + random(HIDDEN),
        "transformer.output_layer.weight": random(vocabulary, HIDDEN),
    }
    for number in range(LAYERS):
        layer = f"transformer.encoder.layers.{number}"
        state |= {
            f"{layer}.input_layernorm.weight": 1 + random(HIDDEN),
            f"{layer}.post_attention_layernorm.weight": 1 + random(HIDDEN),
            f"{layer}.self_attention.query_key_value.weight": random(rows, HIDDEN),
            f"{layer}.self_attention.query_key_value.bias": random(rows),
            f"{layer}.self_attention.dense.weight": random(HIDDEN, HEADS * HEAD_DIM),
            f"{layer}.mlp.dense_h_to_4h.weight": random(2 * INNER, HIDDEN),
            f"{layer}.mlp.dense_4h_to_h.weight": random(HIDDEN, INNER),
        }
    return state


def make_sentencepiece(path: Path) -> int:
    """Write a tokenizer.model as ChatGLM2 and 3 have; return how many pieces it has."""
    import sentencepiece

    with (path / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXT * 4),
            model_writer=file,
            model_type="bpe",
            vocab_size=480,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    model = sentencepiece.SentencePieceProcessor(model_file=str(path / "tokenizer.model"))
    return int(model.vocab_size())


def make_ranks(path: Path) -> int:
    """Write a tokenizer.model as GLM-4 has, a list of ranks; return how many there are."""
    tokens = [bytes([byte]) for byte in range(256)]
    for word in (b" t", b"he", b" the", b"na", b"me", b"name", b" name", "我".encode()[:2]):
        tokens.append(word)
    tokens.append("我".encode())
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    (path / "tokenizer.model").write_text("".join(lines))
    return len(tokens)


def tensors_of(directory: Path) -> dict[str, Any]:
    """Return all tensors of a directory's safetensors files."""
    from safetensors.torch import load_file

    return {
        name: values
        for file in _sorted(directory.glob("*.safetensors"))
        for name, values in load_file(file).items()
    }


def _sorted(files: Iterable[Path]) -> list[Path]:
    return sorted(files)
