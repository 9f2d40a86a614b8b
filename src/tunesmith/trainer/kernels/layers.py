"""Decoder layers of the LLaMA kind, their forward pass put together from this folder's steps.

Parameters, modules and their names stay those of transformers and peft: only `forward` of each
layer object is exchanged, so that adapters are saved, loaded and merged as ever.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from tunesmith.trainer.kernels.attention import packed_attention
from tunesmith.trainer.kernels.gated_mlp import gated_mlp
from tunesmith.trainer.kernels.norm import Norm, rms_norm
from tunesmith.trainer.kernels.projections import Projection, project
from tunesmith.trainer.kernels.sequences import Sequences

# Layers of exactly this form: norm, attention with rotary positions, add; norm, SwiGLU, add.
KNOWN_LAYERS = frozenset(
    {"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
    | {"GlmDecoderLayer"}
)
Reader = Callable[[], Projection]
"""Reads a layer's tensors at each pass: sharding exchanges them in between."""


Parts = tuple[Sequence[Reader], Reader, Sequence[Reader], Reader]
"""q/k/v, o, gate/up (or both in one), down."""


def install(decoder: Any) -> bool:
    """Exchange the forward pass of all layers of `decoder`; False if it has others than known.

    With `sequences` it takes `kept`, too: the places of the tokens whose output is wanted, and all
    that it returns. What follows from the others ends in the last layer's attention: 1.2 % of a
    step of 30 layers with half of the tokens learnt (CPU).
    """
    layers = [each for each in decoder.modules() if _kind(each) is not None]
    parts = [found for layer in layers if (found := _parts(layer)) is not None]
    if not parts or len(parts) != len(getattr(decoder, "layers", ())):
        return False
    for layer, found in zip(layers, parts, strict=True):
        layer.forward = partial(_forward, layer, found, layer is layers[-1])
    return True


def uninstall(decoder: Any) -> None:
    for layer in decoder.modules():
        if _kind(layer) is not None:
            layer.__dict__.pop("forward", None)


def _kind(layer: Any) -> type | None:
    """Return the layer's class in transformers: FSDP2 puts a class of its own before it."""
    return next((each for each in type(layer).__mro__ if each.__name__ in KNOWN_LAYERS), None)


def _parts(layer: Any) -> Parts | None:
    """Return the readers of a layer; None if one of its parts is of another kind."""
    attention, mlp = layer.self_attn, layer.mlp
    activation = getattr(mlp, "act_fn", None) or getattr(mlp, "activation_fn", None)
    if type(activation).__name__ not in ("SiLU", "SiLUActivation") or attention.attention_dropout:
        return None
    into = [mlp.gate_up_proj] if hasattr(mlp, "gate_up_proj") else [mlp.gate_proj, mlp.up_proj]
    heads = [attention.q_proj, attention.k_proj, attention.v_proj]
    modules = [*heads, attention.o_proj, *into, mlp.down_proj]
    readers = [_reader(module) for module in modules]
    known = [reader for reader in readers if reader is not None]
    if len(known) != len(readers):
        return None
    return known[:3], known[3], known[4:-1], known[-1]


def _reader(module: Any) -> Reader | None:
    base = module
    adapter = None
    if isinstance(module, LoraLayer):
        base = module.base_layer
        names = list(module.active_adapters)
        if len(names) != 1 or module.lora_variant or module.merged or module.fan_in_fan_out:
            return None  # DoRA and the like go their own way
        adapter = names[0]
    dense = getattr(base, "dense_weight", None)  # of quantised layers: see quantized.py
    if dense is None and type(base) is not nn.Linear:
        return None
    return partial(_read, module, base, adapter, dense)


def _read(
    module: Any, base: Any, adapter: str | None, dense: Callable[[], torch.Tensor] | None
) -> Projection:
    weight = base.weight if dense is None else None
    if adapter is None:
        return Projection(weight, base.bias, dense=dense)
    dropout = module.lora_dropout[adapter]
    return Projection(
        weight,
        base.bias,
        module.lora_A[adapter].weight,
        module.lora_B[adapter].weight,
        module.scaling[adapter],
        getattr(dropout, "p", 0.0),
        dense,
    )


def _forward(
    layer: Any,
    parts: Parts,
    last: bool,
    hidden_states: torch.Tensor,
    *,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    sequences: Sequences | None = None,
    kept: torch.Tensor | None = None,
    **others: Any,
) -> torch.Tensor:
    if sequences is None or position_embeddings is None:  # padded, or generating
        output: torch.Tensor = type(layer).forward(
            layer, hidden_states, position_embeddings=position_embeddings, **others
        )
        return output
    wanted = kept if last else None
    compute = partial(_compute, layer, parts, position_embeddings, sequences, wanted)
    if layer.gradient_checkpointing and layer.training:
        # transformers does this around its own forward passes.
        return layer._gradient_checkpointing_func(compute, hidden_states)  # type: ignore[no-any-return]
    return compute(hidden_states)


def _compute(
    layer: Any,
    parts: Parts,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    sequences: Sequences,
    kept: torch.Tensor | None,
    hidden_states: torch.Tensor,
) -> torch.Tensor:
    heads, output, into, down = parts
    attention, training = layer.self_attn, layer.training
    queries, keys, values = (
        each.view(*each.shape[:-1], -1, attention.head_dim)
        for each in project(
            hidden_states, _norm(layer.input_layernorm), [read() for read in heads], training
        )
    )
    if hasattr(attention, "q_norm"):
        queries = rms_norm(queries, _norm(attention.q_norm))
        keys = rms_norm(keys, _norm(attention.k_norm))
    kind = _kind(layer)
    assert kind is not None
    rotate = sys.modules[kind.__module__].apply_rotary_pos_emb
    queries, keys = rotate(queries.transpose(1, 2), keys.transpose(1, 2), *position_embeddings)
    seen = packed_attention(
        queries.to(values.dtype),
        keys.to(values.dtype),
        values.transpose(1, 2),
        sequences,
        attention.scaling,
        window_of(attention),
    )
    if kept is not None:
        seen, hidden_states = seen.index_select(1, kept), hidden_states.index_select(1, kept)
    (attended,) = project(seen.flatten(2), None, [output()], training)
    hidden_states = hidden_states + attended
    return hidden_states + gated_mlp(
        hidden_states,
        _norm(layer.post_attention_layernorm),
        [read() for read in into],
        down(),
        training,
    )


def window_of(attention: Any) -> int | None:
    """Return how many tokens a token sees at most, if that is limited."""
    if hasattr(attention, "sliding_window"):
        return attention.sliding_window  # type: ignore[no-any-return]
    return getattr(attention.config, "sliding_window", None)


def _norm(module: Any) -> Norm:
    return Norm(module.weight, module.variance_epsilon)
