"""config.json of the catalogue's base models, as far as memory hangs on it.

Their files are not here. Published values; a test holds them to the published sizes.
"""

from typing import Any

from tunesmith.families.catalogue import find_entry


def catalogue_config(name_or_hub_id: str) -> dict[str, Any] | None:
    """Return the config of a catalogue's model by its name or a hub id; None if there is none."""
    entry = find_entry(name_or_hub_id)
    found = CONFIGS.get(entry.name) if entry else None
    return dict(found) if found else None


def _config(
    model_type: str,
    layers: int,
    hidden: int,
    intermediate: int,
    heads: int,
    groups: int,
    vocabulary: int,
    *,
    tied: bool = False,
    **more: Any,
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 32768,
        **more,
    }


def _glm(layers: int, vocabulary: int) -> dict[str, Any]:
    native: dict[str, Any] = {"head_dim": 128, "attention_bias": True, "pad_token_id": None}
    return _config("glm", layers, 4096, 13696, 32, 2, vocabulary, **native)


def _qwen3(layers: int, hidden: int, intermediate: int, heads: int, tied: bool) -> dict[str, Any]:
    return _config("qwen3", layers, hidden, intermediate, heads, 8, 151936, tied=tied, head_dim=128)


_LLAMA3_8B = _config("llama", 32, 4096, 14336, 32, 8, 128256)
_LLAMA3_70B = _config("llama", 80, 8192, 28672, 64, 8, 128256)
_GLM4 = _glm(40, 151552)
_QWEN2_7B = _config("qwen2", 28, 3584, 18944, 28, 4, 152064)
_QWEN2_72B = _config("qwen2", 80, 8192, 29568, 64, 8, 152064)

CONFIGS: dict[str, dict[str, Any]] = {
    "LLaMA 2-7B": _config("llama", 32, 4096, 11008, 32, 32, 32000),
    "LLaMA 2-13B": _config("llama", 40, 5120, 13824, 40, 40, 32000),
    "LLaMA 2-70B": _config("llama", 80, 8192, 28672, 64, 8, 32000),
    "LLaMA 3-8B": _LLAMA3_8B,
    "LLaMA 3-70B": _LLAMA3_70B,
    "LLaMA 3.1-8B": _LLAMA3_8B,
    "LLaMA 3.1-70B": _LLAMA3_70B,
    "LLaMA 3.2-1B": _config("llama", 16, 2048, 8192, 32, 8, 128256, tied=True, head_dim=64),
    "LLaMA 3.2-3B": _config("llama", 28, 3072, 8192, 24, 8, 128256, tied=True, head_dim=128),
    "ChatGLM2-6B": _glm(28, 65024),
    "ChatGLM3-6B": _glm(28, 65024),
    "GLM-4-9B": _GLM4,
    "GLM-4-9B-HF": _GLM4,
    "Qwen1.5-7B": _config("qwen2", 32, 4096, 11008, 32, 32, 151936),
    "Qwen1.5-14B": _config("qwen2", 40, 5120, 13696, 40, 40, 152064),
    "Qwen2-7B": _QWEN2_7B,
    "Qwen2-72B": _QWEN2_72B,
    "Qwen2.5-0.5B": _config("qwen2", 24, 896, 4864, 14, 2, 151936, tied=True),
    "Qwen2.5-1.5B": _config("qwen2", 28, 1536, 8960, 12, 2, 151936, tied=True),
    "Qwen2.5-3B": _config("qwen2", 36, 2048, 11008, 16, 2, 151936, tied=True),
    "Qwen2.5-7B": _QWEN2_7B,
    "Qwen2.5-14B": _config("qwen2", 48, 5120, 13824, 40, 8, 152064),
    "Qwen2.5-32B": _config("qwen2", 64, 5120, 27648, 40, 8, 152064),
    "Qwen2.5-72B": _QWEN2_72B,
    "Qwen3-0.6B": _qwen3(28, 1024, 3072, 16, True),
    "Qwen3-1.7B": _qwen3(28, 2048, 6144, 16, True),
    "Qwen3-4B": _qwen3(36, 2560, 9728, 32, True),
    "Qwen3-8B": _qwen3(36, 4096, 12288, 32, False),
    "Qwen3-14B": _qwen3(40, 5120, 17408, 40, False),
    "Qwen3-32B": _qwen3(64, 5120, 25600, 64, False),
}
