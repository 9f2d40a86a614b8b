"""Which native weight is which original one, and which of its rows. Pure: names and shapes only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.chatglm.config import native_head_dim

Shape = tuple[int, ...]

INV_FREQ = "transformer.rotary_pos_emb.inv_freq"
"""A buffer of the original code, computed from the base 10000 whatever rope_ratio says."""


@dataclass(frozen=True)
class Weight:
    """One original weight and the native ones that its rows are, in this order."""

    original: str
    natives: tuple[tuple[str, Shape], ...]

    @property
    def shape(self) -> Shape:
        """Of the original weight."""
        first = self.natives[0][1]
        return (sum(shape[0] for _, shape in self.natives), *first[1:])


def weights(config: Mapping[str, Any]) -> list[Weight]:
    """Return all weights of the model that a native config.json describes.

    Rotary embedding is interleaved on the first half of a head and the gate comes first in the
    MLP in both layouts: no row changes its place within a weight but query, key and value, which
    are one weight in the original.
    """
    hidden, words = config["hidden_size"], config["vocab_size"]
    found = [
        _same("transformer.embedding.word_embeddings", "model.embed_tokens", (words, hidden)),
        _same("transformer.encoder.final_layernorm", "model.norm", (hidden,)),
        _same("transformer.output_layer", "lm_head", (words, hidden)),
    ]
    for number in range(config["num_hidden_layers"]):
        found += _layer(config, f"transformer.encoder.layers.{number}", f"model.layers.{number}")
    return found


def _layer(config: Mapping[str, Any], original: str, native: str) -> Iterator[Weight]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head_dim = native_head_dim(config)
    queries = config["num_attention_heads"] * head_dim
    keys = config["num_key_value_heads"] * head_dim
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield _same(f"{original}.{name}", f"{native}.{name}", (hidden,))
    rows = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
    shapes: dict[str, Shape] = {"weight": (hidden,)}
    if config.get("attention_bias", True):
        shapes["bias"] = ()
    for kind, rest in shapes.items():
        yield Weight(
            f"{original}.self_attention.query_key_value.{kind}",
            tuple(
                (f"{native}.self_attn.{name}.{kind}", (count, *rest))
                for name, count in rows.items()
            ),
        )
    yield _same(f"{original}.self_attention.dense", f"{native}.self_attn.o_proj", (hidden, queries))
    yield _same(f"{original}.mlp.dense_h_to_4h", f"{native}.mlp.gate_up_proj", (2 * inner, hidden))
    yield _same(f"{original}.mlp.dense_4h_to_h", f"{native}.mlp.down_proj", (hidden, inner))


def _same(original: str, native: str, shape: Shape) -> Weight:
    return Weight(f"{original}.weight", ((f"{native}.weight", shape),))
