"""config.json of ChatGLM2, ChatGLM3 and GLM-4-9B <-> that of transformers' `glm`. Pure: no torch.

The architecture is that of `GlmForCausalLM` to the last operation; only names and layout differ.
Remote code is never run: where a key has two meanings, the shipped code is read as text.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import FieldProblem

ChatGLMFamily = Literal["chatglm2", "chatglm3", "glm-4"]
Problem = tuple[str, dict[str, Any]]
"""A code of the catalogue's part `field`, and its parameters."""

LONGEST_CODE = 1 << 20  # bytes of a modeling file that are read
ROPE_BASE = 10000.0

# Original keys that the native class has under another name. All are needed.
SIZES = {
    "num_layers": "num_hidden_layers",
    "padded_vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "ffn_hidden_size": "intermediate_size",
    "num_attention_heads": "num_attention_heads",
    "multi_query_group_num": "num_key_value_heads",
    "seq_length": "max_position_embeddings",
}
# Switches that the native class has in one position only, and what their absence means.
SWITCHES = {
    "rmsnorm": (True, True),
    "post_layer_norm": (True, True),
    "multi_query_attention": (True, False),
    "original_rope": (True, True),
    "apply_residual_connection_post_layernorm": (False, False),
    "add_bias_linear": (False, False),
    "fp32_residual_connection": (False, False),
    "tie_word_embeddings": (False, False),
}
# Keys that say that it is another kind of checkpoint, unless they are absent, null, false or 0.
OTHER_KINDS = {
    "position_encoding_2d": "chatglm_first",
    "inner_hidden_size": "chatglm_first",
    "vision_config": "chatglm_vision",
    "quantization_bit": "chatglm_quantized",
    "quantization_config": "chatglm_quantized",
    "pre_seq_len": "chatglm_prefix",
}
# Keys that only say how the original code computes; none changes a result that we train for.
CONSTANTS = {
    "apply_query_key_layer_scaling": True,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "hidden_dropout": 0.0,
}
NAMES: dict[ChatGLMFamily, str] = {
    "chatglm2": "THUDM/chatglm2-6b",
    "chatglm3": "THUDM/chatglm3-6b",
    "glm-4": "THUDM/glm-4-9b",
}


def is_original(config: Mapping[str, Any]) -> bool:
    """Return whether config.json is of the original layout, which transformers does not load."""
    return config.get("model_type") == "chatglm"


def problem_at(directory: Path, field: str) -> FieldProblem | None:
    """Return what keeps the base model in `directory` from being trained natively.

    None for one that is not of the original layout, or has no config.json that can be read.
    """
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(config, dict) or not is_original(config):
        return None
    if (found := problem(config, directory)) is None:
        return None
    code, params = found
    return FieldProblem(field, f"field.{code}", params)


def problem(config: Mapping[str, Any], directory: Path) -> Problem | None:
    """Return what the native class cannot express, None if it can; `directory` is only named."""
    for code, params in _problems(config):
        return code, {"path": str(directory), **params}
    return None


def native_config(config: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Return the config.json of transformers' `glm` for an original one without a `problem`.

    The rotary base and the dtype stand there twice: under the names of transformers 5, and under
    those that transformers 4 reads (it would take 10000 and float32 otherwise).
    """
    ratio = float(config.get("rope_ratio") or 1)
    divides = ratio != 1 and _ratio_divides_positions(config, directory)
    theta = ROPE_BASE if divides else ROPE_BASE * ratio
    scaling = {"rope_type": "linear", "factor": ratio} if divides else {"rope_type": "default"}
    eos = config.get("eos_token_id")
    dtype = config.get("torch_dtype") or config.get("dtype")
    native = {
        "architectures": ["GlmForCausalLM"],
        "model_type": "glm",
        **{name: int(config[original]) for original, name in SIZES.items()},
        "head_dim": _head_dim(config),
        "hidden_act": "silu",
        "attention_bias": bool(config.get("add_qkv_bias")),
        "attention_dropout": float(config.get("attention_dropout") or 0),
        "rms_norm_eps": float(config["layernorm_epsilon"]),
        "initializer_range": 0.02,
        "tie_word_embeddings": False,
        "use_cache": bool(config.get("use_cache", True)),
        "bos_token_id": config.get("bos_token_id"),
        "eos_token_id": 2 if eos is None else eos,
        "pad_token_id": config.get("pad_token_id", 0),
        "partial_rotary_factor": 0.5,
        "rope_theta": theta,
        "rope_parameters": {**scaling, "rope_theta": theta, "partial_rotary_factor": 0.5},
        "dtype": dtype,
        "torch_dtype": dtype,
    }
    if divides:
        native["rope_scaling"] = scaling
    return native


def native_problem(config: Mapping[str, Any], directory: Path) -> Problem | None:
    """Return what the original layout cannot express of a native config.json, None if it can."""

    def wrong(key: str, value: Any, wanted: Any) -> Problem:
        params = {"key": key, "value": str(value), "wanted": str(wanted)}
        return "chatglm_key", {"path": str(directory), **params}

    if config.get("model_type") != "glm":
        return wrong("model_type", config.get("model_type"), "glm")
    for name in [*SIZES.values(), "rms_norm_eps"]:
        if not _is_positive(config.get(name)):
            return "chatglm_key_missing", {"path": str(directory), "key": name}
    for key, wanted in (("hidden_act", "silu"), ("tie_word_embeddings", False)):
        if (value := config.get(key, wanted)) != wanted:
            return wrong(key, value, wanted)
    rope = _rope(config)
    if rope["partial_rotary_factor"] != 0.5:
        return wrong("partial_rotary_factor", rope["partial_rotary_factor"], 0.5)
    if rope["rope_type"] not in ("default", "linear"):
        return wrong("rope_type", rope["rope_type"], "default, linear")
    if rope["rope_type"] == "linear" and rope["rope_theta"] != ROPE_BASE:
        return wrong("rope_theta", rope["rope_theta"], ROPE_BASE)
    return None


def original_config(native: Mapping[str, Any], family: ChatGLMFamily) -> dict[str, Any]:
    """Return the original layout's config.json for a native one without a `native_problem`."""
    rope = _rope(native)
    linear = rope["rope_type"] == "linear"
    ratio = rope["factor"] if linear else rope["rope_theta"] / ROPE_BASE
    chat = "modeling_chatglm.ChatGLMForConditionalGeneration"
    return {
        "_name_or_path": NAMES["chatglm2"] + "-32k" if linear else NAMES[family],
        "model_type": "chatglm",
        "architectures": ["ChatGLMModel"],
        "auto_map": {
            "AutoConfig": "configuration_chatglm.ChatGLMConfig",
            "AutoModel": chat,
            "AutoModelForCausalLM": chat,
            "AutoModelForSeq2SeqLM": chat,
        },
        **{original: native[name] for original, name in SIZES.items()},
        "kv_channels": native_head_dim(native),
        "layernorm_epsilon": native["rms_norm_eps"],
        "add_qkv_bias": bool(native.get("attention_bias", True)),
        "attention_dropout": native.get("attention_dropout", 0.0),
        **CONSTANTS,
        **{key: wanted for key, (wanted, _) in SWITCHES.items()},
        **({} if ratio == 1 else {"rope_ratio": int(ratio) if ratio == int(ratio) else ratio}),
        "use_cache": bool(native.get("use_cache", True)),
        "eos_token_id": native.get("eos_token_id"),
        "pad_token_id": native.get("pad_token_id"),
        "torch_dtype": native.get("dtype") or native.get("torch_dtype"),
    }


def native_head_dim(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    for key, code in OTHER_KINDS.items():
        if config.get(key):
            yield code, {"key": key, "value": _short(config[key])}
    if "padded_vocab_size" not in config and "vocab_size" in config:
        yield "chatglm_first", {"key": "vocab_size", "value": _short(config["vocab_size"])}
    for key, (wanted, absent) in SWITCHES.items():
        value = config.get(key, absent)
        if value is None or bool(value) is not wanted:
            params = {"key": key, "value": _short(value), "wanted": str(wanted).lower()}
            yield "chatglm_key", params
    for key in [*SIZES, "layernorm_epsilon"]:
        if config.get(key) is None:
            yield "chatglm_key_missing", {"key": key}
        elif not _is_positive(config[key]) or (key in SIZES and not isinstance(config[key], int)):
            yield "chatglm_key", {"key": key, "value": _short(config[key]), "wanted": "> 0"}
    for key in ("kv_channels", "rope_ratio"):
        if config.get(key) is not None and not _is_positive(config[key]):
            yield "chatglm_key", {"key": key, "value": _short(config[key]), "wanted": "> 0"}
    if config["num_attention_heads"] % config["multi_query_group_num"]:
        divisor = f"a divisor of num_attention_heads ({config['num_attention_heads']})"
        groups = {"key": "multi_query_group_num", "value": config["multi_query_group_num"]}
        yield "chatglm_key", {**groups, "wanted": divisor}


def _ratio_divides_positions(config: Mapping[str, Any], directory: Path) -> bool:
    """rope_ratio divides positions in ChatGLM2-6B-32k and multiplies the base everywhere else.

    No key tells which; the shipped modeling file does, and without one the name.
    """
    try:
        with (directory / "modeling_chatglm.py").open("rb") as file:
            return b"/ self.rope_ratio" in file.read(LONGEST_CODE)
    except OSError:
        return "chatglm2" in str(config.get("_name_or_path", "")).lower()


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a native config's rotary embedding, from the names of transformers 4 or 5."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return {
        "rope_type": given.get("rope_type") or given.get("type") or "default",
        "factor": float(given.get("factor", 1)),
        "rope_theta": float(given.get("rope_theta") or config.get("rope_theta") or ROPE_BASE),
        "partial_rotary_factor": given.get("partial_rotary_factor")
        or config.get("partial_rotary_factor", 0.5),
    }


def _head_dim(config: Mapping[str, Any]) -> int:
    return int(config.get("kv_channels") or config["hidden_size"] // config["num_attention_heads"])


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
