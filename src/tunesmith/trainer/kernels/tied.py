"""A weight that is the embeddings' and the head's: its gradient in one tensor.

Autograd makes one of the weight's size for each of the two and adds them: 1.5 % of a full step of
SmolLM2-135M on a CPU, and the weight's size more at the end of the backward pass.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tunesmith.trainer.kernels.norm import wide


@dataclass
class HeadGradient:
    """What the head has made of the gradient in one pass [vocabulary, size], until the embeddings,
    which come last in a backward pass, add theirs to it."""

    value: torch.Tensor | None = None


class TiedWeight:
    """Has the embeddings add their gradient to that of a head with the same weight."""

    def __init__(self, embeddings: Any, head: Any) -> None:
        self._head = head
        self.of_pass: HeadGradient | None = None
        """Where the head leaves its part in the pass that has begun last; None if both make their
        gradients as ever."""
        if type(embeddings) is nn.Embedding and not embeddings.sparse:
            embeddings.register_forward_hook(self._look_up)

    def _look_up(self, embeddings: nn.Embedding, inputs: Any, found: torch.Tensor) -> torch.Tensor:
        self.of_pass = None
        weight = embeddings.weight
        # Sharding exchanges weights: whether they are one is known now only.
        if weight is not self._head.weight or not found.requires_grad or not weight.requires_grad:
            return found
        self.of_pass = HeadGradient()
        looked_up: torch.Tensor = _LookUp.apply(  # type: ignore[no-untyped-call]
            weight, inputs[0], embeddings.padding_idx, self.of_pass
        )
        return looked_up


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        weight: torch.Tensor,
        input_ids: torch.Tensor,
        padding: int | None,
        head: HeadGradient,
    ) -> torch.Tensor:
        ctx.save_for_backward(input_ids)
        ctx.padding, ctx.head = padding, head
        ctx.shape, ctx.dtype = weight.shape, weight.dtype
        return functional.embedding(input_ids, weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (input_ids,) = ctx.saved_tensors
        rows = wide(gradient)
        if ctx.padding is not None:  # as nn.Embedding: it learns nothing
            rows = rows.masked_fill((input_ids == ctx.padding).unsqueeze(-1), 0)
        total, ctx.head.value = ctx.head.value, None
        if total is None:
            total = rows.new_zeros(ctx.shape)
        total.index_put_((input_ids,), rows, accumulate=True)
        return total.to(ctx.dtype), None, None, None
