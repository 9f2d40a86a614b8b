"""The shapes of a base model's weights, from config.json alone. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.chatglm.config import is_original, native_config, problem
from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.memory_plan.catalogue_configs import catalogue_config
from tunesmith.memory_plan.kinds import KINDS

LARGEST_CONFIG = 1 << 20  # bytes of a config.json that are read
# Of the models whose layers run by our kernels: trainer/kernels/layers.py, which needs torch; a
# test holds them equal.
OWN_LAYERS = frozenset({"llama", "mistral", "qwen2", "qwen3", "glm"})
# Without a gate an MLP keeps what goes into its activation and what comes out, with one the gate's
# product, too. An activation made of several operations keeps what is between them.
WITHOUT_GATE = 0.5
SLOW_ACTIVATIONS = frozenset({"gelu_new", "gelu_fast", "quick_gelu", "xielu"})
DROPOUTS = ("attention_dropout", "attn_pdrop")
# What attention or head do besides where it is neither 0 nor 1.
BEYOND_KERNELS = (
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logits_scaling",
    "logit_scale",
    *DROPOUTS,
)
Linear = tuple[int, int]
"""Inputs and outputs."""


@dataclass(frozen=True)
class Architecture:
    """A decoder-only model of one of the `kinds`: LLaMA, Mistral, Qwen, GLM and their like."""

    model_type: str
    layers: int
    hidden: int
    intermediate: int
    mlp_kept: float
    """Numbers of that width that an MLP keeps, as a part of what one with a gate does."""
    query: int
    """Heads times their width."""
    key_value: int
    """Groups times their width."""
    vocabulary: int
    tied: bool
    """The head's weight is the embeddings'."""
    linears: Mapping[str, Linear]
    """The linear layers of one decoder layer, by their short names."""
    reads: Mapping[str, str]
    """What each of them reads: attention or mlp what is normalised for it, else heads or gated."""
    other_parameters: int
    """Norms and biases of one decoder layer."""
    head_norms: bool
    """Queries and keys of each head are normalised."""
    own_layers: bool
    """Its layers run by our kernels where nothing else forbids it."""
    own_attention: bool
    """Attention and head do."""

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
    """Read transformers' own config; raise InvalidInput for one that says too little, or of a kind
    that is not known."""
    model_type = config.get("model_type")
    # Attention that transformers computes step by step keeps the square of the tokens.
    squares = any(config.get(name) for name in ("attn_logit_softcapping", *DROPOUTS))
    if model_type is not None and (model_type not in KINDS or squares):
        kind = {"model_type": str(model_type)}
        raise InvalidInput(FieldProblem("baseModel", "field.formula_not_known", kind))
    try:
        return _read(config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        reason = {"model_type": str(config.get("model_type")), "reason": str(error)}
        raise InvalidInput(FieldProblem("baseModel", "field.no_memory_plan", reason)) from None


def left_to_transformers(config: Mapping[str, Any]) -> bool:
    """Whether a run finds that attention or head compute more than our kernels do."""
    return any(config.get(name) not in (None, 0, 1) for name in BEYOND_KERNELS)


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
    model_type = str(config["model_type"])
    kind = KINDS[model_type]
    config = {**kind.defaults, **{name: each for name, each in config.items() if each is not None}}
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    intermediate = int(config["intermediate_size"])
    query = heads * width
    key_value = int(config.get("num_key_value_heads") or heads) * width
    attention = (
        (query, key_value, key_value) if len(kind.attention) > 2 else (query + 2 * key_value,)
    )
    up = 2 * intermediate if kind.gated and len(kind.mlp) == 2 else intermediate
    linears = dict(zip(kind.attention, ((hidden, each) for each in attention), strict=False))
    linears |= {kind.attention[-1]: (query, hidden)}
    linears |= dict.fromkeys(kind.mlp[:-1], (hidden, up))
    linears |= {kind.mlp[-1]: (intermediate, hidden)}
    reads = dict.fromkeys(kind.attention, "attention") | dict.fromkeys(kind.mlp, "mlp")
    biased = bool(config.get("attention_bias", kind.biased))
    by_kernels = not left_to_transformers(config)
    return Architecture(
        model_type=model_type,
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        intermediate=intermediate,
        mlp_kept=1.0
        if kind.gated or config.get("hidden_act") in SLOW_ACTIVATIONS
        else WITHOUT_GATE,
        query=query,
        key_value=key_value,
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings")),
        linears=linears,
        reads=reads | {kind.attention[-1]: "heads", kind.mlp[-1]: "gated"},
        other_parameters=kind.norms * hidden
        + (query + 2 * key_value if biased else 0)
        + (2 * width if kind.head_norms else 0),
        head_norms=kind.head_norms,
        own_layers=by_kernels
        and model_type in OWN_LAYERS
        and config.get("hidden_act", "silu") in ("silu", "swish"),
        own_attention=by_kernels,
    )
