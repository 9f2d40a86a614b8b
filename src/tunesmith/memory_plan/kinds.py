"""The kinds of base models that the formula is right for, by `model_type`.

A test holds each to transformers' own modules and defaults. What is not here is refused: a plan for
a guessed architecture may be wrong by any factor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

FUSED_GATE = ("gate_up_proj", "down_proj")
TWO_LAYERS = ("up_proj", "down_proj")


@dataclass(frozen=True)
class Kind:
    """How a decoder layer is made up, and what a config means that does not say it."""

    attention: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Its linear layers, the one that ends it last; with two the first is all of the others."""
    mlp: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")
    """With two the first is gate and up at once, or there is no gate."""
    gated: bool = True
    norms: int = 2
    """Vectors of the model's width."""
    head_norms: bool = False
    """Queries and keys are normalised."""
    biased: bool = False
    """Queries, keys and values have a bias where the config does not say otherwise."""
    defaults: Mapping[str, int | bool] = field(default_factory=dict)
    """Of what a config leaves out, where the default is no rule of all kinds."""


_TIED = {"tie_word_embeddings": True}
_GEMMA = {**_TIED, "head_dim": 256}
_GLM = {"head_dim": 128, "num_key_value_heads": 2}
_NEOX = Kind(("query_key_value", "dense"), ("dense_h_to_4h", "dense_4h_to_h"), gated=False)

KINDS: dict[str, Kind] = {
    "apertus": Kind(mlp=TWO_LAYERS, gated=False, head_norms=True),
    "arcee": Kind(mlp=TWO_LAYERS, gated=False),
    "cohere": Kind(norms=1, defaults=_TIED),
    "cohere2": Kind(norms=1, defaults=_TIED),
    "ernie4_5": Kind(defaults={**_TIED, "head_dim": 128, "num_key_value_heads": 2}),
    "exaone4": Kind(head_norms=True, defaults={"num_key_value_heads": 32}),
    "gemma": Kind(defaults={**_GEMMA, "num_key_value_heads": 16}),
    "gemma3_text": Kind(norms=4, head_norms=True, defaults={**_GEMMA, "num_key_value_heads": 4}),
    "glm": Kind(mlp=FUSED_GATE, biased=True, defaults=_GLM),
    "glm4": Kind(mlp=FUSED_GATE, norms=4, biased=True, defaults=_GLM),
    "gpt_neox": _NEOX,
    "granite": Kind(),
    "llama": Kind(),
    "mistral": Kind(defaults={"num_key_value_heads": 8}),
    "nemotron": Kind(mlp=TWO_LAYERS, gated=False, norms=4),
    "olmo": Kind(norms=0),
    "olmo2": Kind(head_norms=True),
    "olmo3": Kind(head_norms=True),
    "persimmon": _NEOX,
    "phi": Kind(("q_proj", "k_proj", "v_proj", "dense"), ("fc1", "fc2"), gated=False, biased=True),
    "phi3": Kind(("qkv_proj", "o_proj"), FUSED_GATE),
    "qwen2": Kind(biased=True, defaults={"num_key_value_heads": 32}),
    "qwen3": Kind(head_norms=True, defaults={"head_dim": 128, "num_key_value_heads": 32}),
    "smollm3": Kind(defaults={**_TIED, "num_key_value_heads": 4}),
    "stablelm": Kind(norms=4, defaults={"num_key_value_heads": 32}),
    "starcoder2": Kind(
        mlp=("c_fc", "c_proj"),
        gated=False,
        norms=4,
        biased=True,
        defaults={**_TIED, "num_key_value_heads": 2},
    ),
}
