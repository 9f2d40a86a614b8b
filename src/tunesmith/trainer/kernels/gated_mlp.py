"""The SwiGLU feed-forward part of a layer (arXiv 2002.05202), its norm and adapters: one step.

Keeps the input and the two products before the activation; the activation, three times as wide as
the input and needed twice, is computed again in the backward pass.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from tunesmith.trainer.kernels.cross_entropy import wide
from tunesmith.trainer.kernels.dropout import dropped, keep_mask
from tunesmith.trainer.kernels.projections import (
    TENSORS,
    Norm,
    Projection,
    Shared,
    backward_products,
    forward_products,
    normalise,
    normalise_backward,
    normalised,
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
        with torch.autocast(inputs.device.type, enabled=False):
            hidden, inverse = normalise(inputs, norm_weight, eps)
            hidden = hidden.to(into.compute)
            keep = _keep(hidden, tensors[:-TENSORS], into)
            products, low = forward_products(
                hidden, dropped(hidden, keep, into.dropout), tensors[:-TENSORS], into
            )
            gate, up = _halves(products)
            active = functional.silu(gate).mul_(up)
            keep_active = _keep(active, tensors[-TENSORS:], down)
            outputs, low_active = forward_products(
                active, dropped(active, keep_active, down.dropout), tensors[-TENSORS:], down
            )
        ctx.save_for_backward(
            inputs, norm_weight, inverse, keep, low, keep_active, low_active, *products, *tensors
        )
        ctx.into, ctx.down, ctx.products = into, down, len(products)
        return outputs[0]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, norm_weight, inverse, keep, low, keep_active, low_active, *rest = ctx.saved_tensors
        products, tensors = rest[: ctx.products], rest[ctx.products :]
        wanted = ctx.needs_input_grad[5:]
        into, down = ctx.into, ctx.down
        with torch.autocast(inputs.device.type, enabled=False):
            gate, up = _halves(products)
            smooth = functional.silu(gate)
            active = smooth * up
            d_active, found_down = backward_products(
                [gradient.contiguous()],
                active,
                dropped(active, keep_active, down.dropout),
                keep_active,
                low_active,
                tensors[-TENSORS:],
                down,
                wanted[-TENSORS:],
            )
            del active
            d_products = [torch.empty_like(each) for each in products]
            d_gate, d_up = _halves(d_products)
            torch.mul(smooth, d_active, out=d_up)
            del smooth
            torch.ops.aten.silu_backward.grad_input(d_active.mul_(up), gate, grad_input=d_gate)
            del d_active
            hidden = normalised(inputs, norm_weight, inverse).to(into.compute)
            d_hidden, found = backward_products(
                d_products,
                hidden,
                dropped(hidden, keep, into.dropout),
                keep,
                low,
                tensors[:-TENSORS],
                into,
                wanted[:-TENSORS],
            )
            d_norm = None
            if ctx.needs_input_grad[1]:
                rows = (wide(inputs) * inverse).mul_(wide(d_hidden))
                d_norm = rows.sum(0).to(norm_weight.dtype)
            d_inputs = None
            if ctx.needs_input_grad[0]:
                d_inputs = normalise_backward(d_hidden, inputs, norm_weight, inverse)
        return d_inputs, d_norm, None, None, None, *found, *found_down


def _keep(
    inputs: torch.Tensor, tensors: Sequence[torch.Tensor | None], shared: Shared
) -> torch.Tensor | None:
    adapted = any(each is not None for each in tensors[2::TENSORS])
    return keep_mask(inputs, shared.dropout) if adapted and shared.dropout else None


def _halves(products: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    return products[0].chunk(2, -1) if len(products) == 1 else products
