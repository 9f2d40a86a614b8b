"""transformers' attention interface -> `packed_attention`, for layers that stay as they are."""

from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tunesmith.trainer.kernels.attention import packed_attention
from tunesmith.trainer.kernels.sequences import Sequences

NAME = "tunesmith"


def install(model: Any) -> None:
    """Let the attention of `model` take `sequences=` beside its usual arguments."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
    model.config._attn_implementation = NAME


def uninstall(model: Any, before: str | None) -> None:
    model.config._attn_implementation = before


def no_mask(device: torch.device) -> torch.Tensor:
    """Return what makes transformers build no mask of its own: one with four dimensions."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    sequences: Sequences | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    if sequences is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return output, None
    if dropout or any(others.get(name) is not None for name in ("softcap", "s_aux")):
        raise TypeError("attention of a kind that packed_attention does not compute")
    if attention_mask is not None and attention_mask.numel() > 1:  # not `no_mask`
        raise TypeError("attention with a mask of its own")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    dtype = value.dtype
    output = packed_attention(
        query.to(dtype), key.to(dtype), value, sequences, scale, sliding_window
    )
    return output, None
