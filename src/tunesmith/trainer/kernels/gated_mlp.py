"""The SwiGLU feed-forward part of a layer (arXiv 2002.05202), its norm and adapters: one step.

Keeps the input and the two products before the activation; the activation, three times as wide as
the input and needed twice, is computed again in the backward pass.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from tunesmith.trainer.kernels.dropout import drop
from tunesmith.trainer.kernels.norm import Norm, normalise, normalise_backward, normalised
from tunesmith.trainer.kernels.projections import (
    TENSORS,
    Projection,
    Shared,
    adapters_of,
    backward_products,
    forward_products,
    shared_by,
)


def gated_mlp(
    inputs: torch.Tensor,
    norm: Norm,
    into: Sequence[Projection],
    down: Projection,
    training: bool,
) -> torch.Tensor:
    """Return down(silu(gate(n)) * up(n)) of n = norm(inputs), inputs [..., size].

    `into` is gate and up, or one projection that gives both, gate first.
    """
    flat = inputs.reshape(-1, inputs.shape[-1])
    tensors = [tensor for each in (*into, down) for tensor in each.tensors]
    output: torch.Tensor = _GatedMlp.apply(  # type: ignore[no-untyped-call]
        flat,
        norm.weight,
        norm.eps,
        shared_by(into, inputs, training),
        shared_by([down], inputs, training),
        *tensors,
    )
    return output.view(inputs.shape)


class _GatedMlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        norm_weight: torch.Tensor,
        eps: float,
        into: Shared,
        down: Shared,
        *tensors: torch.Tensor | None,
    ) -> torch.Tensor:
        into_tensors, down_tensors = tensors[:-TENSORS], tensors[-TENSORS:]
        with torch.autocast(inputs.device.type, enabled=False):
            hidden, inverse = normalise(inputs, norm_weight, eps)
            hidden = hidden.to(into.compute)
            adapters = adapters_of(into_tensors, into.compute)
            for_lora, keep = drop(hidden, into.dropout, wanted=adapters is not None)
            products, low = forward_products(hidden, for_lora, into_tensors, adapters, into)
            gate, up = _halves(products)
            active = functional.silu(gate).mul_(up)
            adapters = adapters_of(down_tensors, down.compute)
            for_lora, keep_active = drop(active, down.dropout, wanted=adapters is not None)
            outputs, low_active = forward_products(active, for_lora, down_tensors, adapters, down)
        ctx.save_for_backward(
            inputs, norm_weight, inverse, keep, low, keep_active, low_active, *products, *tensors
        )
        ctx.into, ctx.down, ctx.products = into, down, len(products)
        return outputs[0]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, norm_weight, inverse, keep, low, keep_active, low_active, *rest = ctx.saved_tensors
        products, tensors = rest[: ctx.products], rest[ctx.products :]
        into_tensors, down_tensors = tensors[:-TENSORS], tensors[-TENSORS:]
        wanted = ctx.needs_input_grad[5:]
        into, down = ctx.into, ctx.down
        with torch.autocast(inputs.device.type, enabled=False):
            gate, up = _halves(products)
            smooth = functional.silu(gate)
            d_active, found_down = backward_products(
                [gradient.contiguous()],
                smooth * up,
                keep_active,
                low_active,
                down_tensors,
                adapters_of(down_tensors, down.compute),
                down,
                wanted[-TENSORS:],
            )
            d_products = [torch.empty_like(each) for each in products]
            d_gate, d_up = _halves(d_products)
            torch.mul(smooth, d_active, out=d_up)
            del smooth
            torch.ops.aten.silu_backward.grad_input(d_active.mul_(up), gate, grad_input=d_gate)
            del d_active
            d_hidden, found = backward_products(
                d_products,
                normalised(inputs, norm_weight, inverse).to(into.compute),
                keep,
                low,
                into_tensors,
                adapters_of(into_tensors, into.compute),
                into,
                wanted[:-TENSORS],
            )
            d_inputs, d_norm = normalise_backward(
                d_hidden, inputs, norm_weight, inverse, ctx.needs_input_grad[:2]
            )
        return d_inputs, d_norm, None, None, None, *found, *found_down


def _halves(products: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    return products[0].chunk(2, -1) if len(products) == 1 else products
