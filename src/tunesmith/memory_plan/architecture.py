"""The shapes of a base model's weights, from config.json alone. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.chatglm.config import is_original, native_config, problem
from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.memory_plan.catalogue_configs import catalogue_config

LARGEST_CONFIG = 1 << 20  # bytes of a config.json that are read
# Of the models whose layers run by our kernels: trainer/kernels/layers.py, which needs torch; a
# test holds them equal.
OWN_LAYERS = frozenset({"llama", "mistral", "qwen2", "qwen3", "glm"})
HEAD_NORMS = ("qwen3",)
FUSED_GATE = ("glm", "glm4", "phi3")  # gate and up are one layer
# What attention or head do besides where it is neither 0 nor 1.
BEYOND_KERNELS = (
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logits_scaling",
    "logit_scale",
    "attention_dropout",
    "attn_pdrop",
)
Linear = tuple[int, int]
"""Inputs and outputs."""


@dataclass(frozen=True)
class Architecture:
    """A decoder-only model with gated MLPs: LLaMA, Mistral, Qwen, GLM and their like."""

    model_type: str
    layers: int
    hidden: int
    intermediate: int
    query: int
    """Heads times their width."""
    key_value: int
    """Groups times their width."""
    vocabulary: int
    tied: bool
    """The head's weight is the embeddings'."""
    linears: Mapping[str, Linear]
    """The linear layers of one decoder layer, by their short names."""
    other_parameters: int
    """Norms and biases of one decoder layer."""
    head_norms: bool
    """Queries and keys of each head are normalised."""
    own_layers: bool
    """Its layers run by our kernels where nothing else forbids it."""

    @property
    def layer_weights(self) -> int:
        """Parameters of the linear layers of one decoder layer, without biases."""
        return sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Of the whole model; tied weights count once."""
        layers = self.layers * (self.layer_weights + self.other_parameters)
        return layers + self.embedding * (1 if self.tied else 2) + self.hidden

    def targets(self, names: str | tuple[str, ...]) -> Mapping[str, Linear]:
        """Return the layers that get an adapter: all of one decoder layer, or those named."""
        if isinstance(names, str):
            return self.linears
        wanted = {name.rpartition(".")[2] for name in names}
        return {name: shape for name, shape in self.linears.items() if name in wanted}


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """Read transformers' own config; raise InvalidInput for one that says too little."""
    try:
        return _read(config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        reason = {"model_type": str(config.get("model_type")), "reason": str(error)}
        raise InvalidInput(FieldProblem("baseModel", "field.no_memory_plan", reason)) from None


def left_to_transformers(config: Mapping[str, Any]) -> bool:
    """Whether a run finds that attention or head compute more than our kernels do."""
    return any(config.get(name) not in (None, 0, 1) for name in BEYOND_KERNELS)


def is_known(config: Mapping[str, Any]) -> bool:
    """Whether the formula has a plan for this kind of model."""
    try:
        architecture_of(config)
    except InvalidInput:
        return False
    return True


def config_of(model: str | Path) -> dict[str, Any] | None:
    """Return the config of a directory, or of a catalogue's model, in transformers' own terms.

    None if `model` is neither. Raises InvalidInput for a config.json that cannot be read or
    trained.
    """
    directory = Path(model)
    file = directory / "config.json"
    if not file.is_file():
        return None if directory.is_dir() else catalogue_config(str(model))
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"config.json is larger than {LARGEST_CONFIG} bytes")
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("config.json holds no JSON object")
        found: dict[str, Any] = config
        if is_original(found):
            if wrong := problem(found, directory):
                code, params = wrong
                raise InvalidInput(FieldProblem("baseModel", f"field.{code}", params))
            return native_config(found, directory)
    except (OSError, ValueError, RecursionError) as error:
        params = {"path": str(model), "reason": str(error)}
        raise InvalidInput(
            FieldProblem("baseModel", "field.base_model_bad_config", params)
        ) from None
    return found


def _read(config: Mapping[str, Any]) -> Architecture:
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    intermediate = int(config["intermediate_size"])
    if config.get("num_experts") or config.get("num_local_experts"):
        raise ValueError("a mixture of experts")
    query = heads * width
    key_value = int(config.get("num_key_value_heads") or heads) * width
    model_type = str(config.get("model_type"))
    linears = {
        "q_proj": (hidden, query),
        "k_proj": (hidden, key_value),
        "v_proj": (hidden, key_value),
        "o_proj": (query, hidden),
    }
    if model_type in FUSED_GATE:
        linears["gate_up_proj"] = (hidden, 2 * intermediate)
    else:
        linears |= {"gate_proj": (hidden, intermediate), "up_proj": (hidden, intermediate)}
    linears["down_proj"] = (intermediate, hidden)
    biased = bool(config.get("attention_bias", model_type == "qwen2"))
    norms = 4 if model_type == "glm4" else 2
    return Architecture(
        model_type=model_type,
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        intermediate=intermediate,
        query=query,
        key_value=key_value,
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings")),
        linears=linears,
        other_parameters=norms * hidden
        + (query + 2 * key_value if biased else 0)
        + (2 * width if model_type in HEAD_NORMS else 0),
        head_norms=model_type in HEAD_NORMS,
        own_layers=model_type in OWN_LAYERS
        and config.get("hidden_act", "silu") in ("silu", "swish")
        and not config.get("attention_dropout"),
    )
