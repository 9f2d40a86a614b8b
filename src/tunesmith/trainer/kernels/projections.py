"""Linear layers that share an input, normalised or not, with their LoRA matrices: one step.

Autograd would keep the normalised input, and of each LoRA the input in fp32 and after dropout.
Here only the input itself is kept, and what is cheap is computed again in the backward pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from tunesmith.trainer.kernels.dropout import drop, drop_again
from tunesmith.trainer.kernels.norm import (
    Norm,
    normalise,
    normalise_backward,
    normalised,
    wide,
)

Dense = Callable[[], torch.Tensor]
Tensors = Sequence[torch.Tensor | None]
TENSORS = 4  # of each projection: weight, bias, A, B


@dataclass(frozen=True)
class Projection:
    """One linear layer [out, in], with a LoRA adapter or without, as it is at this moment."""

    weight: torch.Tensor | None
    """None for quantised weights: `dense` gives their numbers, each time anew."""
    bias: torch.Tensor | None
    a: torch.Tensor | None = None
    """[r, in]"""
    b: torch.Tensor | None = None
    """[out, r]"""
    scale: float = 1.0
    dropout: float = 0.0
    """Of the input of `a`, in training."""
    dense: Dense | None = None

    @property
    def tensors(self) -> Tensors:
        return self.weight, self.bias, self.a, self.b


@dataclass(frozen=True)
class Shared:
    """What the projections of one input have in common, and know besides tensors."""

    denses: tuple[Dense | None, ...]
    compute: torch.dtype
    scale: float
    dropout: float


@dataclass(frozen=True)
class Adapters:
    """The LoRA matrices of one input's projections, in the dtype that is computed in."""

    a: torch.Tensor
    """All A, one below the other [sum of r, in]."""
    b: tuple[torch.Tensor | None, ...]
    """B of each projection [out, r]; None for one without adapter."""


def project(
    inputs: torch.Tensor, norm: Norm | None, projections: Sequence[Projection], training: bool
) -> tuple[torch.Tensor, ...]:
    """Return each projection of `inputs` [..., in], normalised first if there is a `norm`.

    The products are computed in the dtype of autocast, or else of the inputs. Projections with
    adapters share one dropout mask: they see the same input.
    """
    flat = inputs.reshape(-1, inputs.shape[-1])
    tensors = [tensor for each in projections for tensor in each.tensors]
    outputs = _Project.apply(  # type: ignore[no-untyped-call]
        flat,
        norm.weight if norm else None,
        norm.eps if norm else 0.0,
        shared_by(projections, inputs, training),
        *tensors,
    )
    return tuple(each.view(*inputs.shape[:-1], -1) for each in outputs)


def shared_by(projections: Sequence[Projection], inputs: torch.Tensor, training: bool) -> Shared:
    adapted = [each for each in projections if each.a is not None]
    assert len({each.scale for each in adapted}) <= 1, "adapters of one input have one scale"
    dropout = max((each.dropout for each in adapted), default=0.0)
    return Shared(
        tuple(each.dense for each in projections),
        compute_dtype(inputs),
        adapted[0].scale if adapted else 1.0,
        dropout if training else 0.0,
    )


def compute_dtype(inputs: torch.Tensor) -> torch.dtype:
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return inputs.dtype


def adapters_of(tensors: Tensors, dtype: torch.dtype) -> Adapters | None:
    found = [each for each in tensors[2::TENSORS] if each is not None]
    if not found:
        return None
    a = found[0] if len(found) == 1 else torch.cat(found)
    b = tuple(None if each is None else each.to(dtype) for each in tensors[3::TENSORS])
    return Adapters(a.to(dtype), b)


def forward_products(
    inputs: torch.Tensor,
    for_lora: torch.Tensor,
    tensors: Tensors,
    adapters: Adapters | None,
    shared: Shared,
) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Return each projection of `inputs`, and what all A matrices make of `for_lora`, scaled."""
    low = None if adapters is None else (for_lora @ adapters.a.t()).mul_(shared.scale)
    outputs: list[torch.Tensor] = []
    at = 0
    for place in range(len(shared.denses)):
        bias = tensors[place * TENSORS + 1]
        offsets = None if bias is None else bias.to(shared.compute)
        output = functional.linear(inputs, dense_weight(place, tensors, shared), offsets)
        b = None if adapters is None else adapters.b[place]
        if b is not None and low is not None:
            output.addmm_(low[:, at : at + b.shape[1]], b.t())
            at += b.shape[1]
        outputs.append(output)
    return outputs, low


def backward_products(
    gradients: Sequence[torch.Tensor],
    inputs: torch.Tensor,
    keep: torch.Tensor | None,
    low: torch.Tensor | None,
    tensors: Tensors,
    adapters: Adapters | None,
    shared: Shared,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """Return the gradient of `inputs` and of each of `tensors` (None where not `wanted`)."""
    d_inputs: torch.Tensor | None = None
    found: list[torch.Tensor | None] = [None] * len(tensors)
    slopes: list[torch.Tensor] = []
    at = 0
    for place, gradient in enumerate(gradients):
        first = place * TENSORS
        weight, bias, _, whole_b = tensors[first : first + TENSORS]
        product = dense_weight(place, tensors, shared)
        if d_inputs is None:
            d_inputs = gradient @ product
        else:
            d_inputs.addmm_(gradient, product)
        if weight is not None and wanted[first]:
            found[first] = (gradient.t() @ inputs).to(weight.dtype)
        if bias is not None and wanted[first + 1]:
            found[first + 1] = wide(gradient).sum(0).to(bias.dtype)
        b = None if adapters is None else adapters.b[place]
        if b is not None and whole_b is not None and low is not None:
            own = low[:, at : at + b.shape[1]]
            # Results of few rows, not of few columns: a CPU is three times as fast with them.
            found[first + 3] = (own.t() @ gradient).t().to(whole_b.dtype)
            slopes.append(b.t() @ gradient.t())
            at += b.shape[1]
    assert d_inputs is not None
    if slopes and adapters is not None:
        slope = (slopes[0] if len(slopes) == 1 else torch.cat(slopes)).mul_(shared.scale)
        d_a = slope @ drop_again(inputs, keep, shared.dropout)
        if keep is None:
            d_inputs.addmm_(slope.t(), adapters.a)
        else:
            d_inputs += drop_again(slope.t() @ adapters.a, keep, shared.dropout)
        at = 0
        for place in range(2, len(tensors), TENSORS):
            if (a := tensors[place]) is not None:
                found[place] = d_a[at : at + len(a)].to(a.dtype)
                at += len(a)
    return d_inputs, found


def dense_weight(place: int, tensors: Tensors, shared: Shared) -> torch.Tensor:
    weight, dense = tensors[place * TENSORS], shared.denses[place]
    if weight is None:
        assert dense is not None
        weight = dense()
    return weight.to(shared.compute)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        norm_weight: torch.Tensor | None,
        eps: float,
        shared: Shared,
        *tensors: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        inverse = None
        hidden = inputs
        with torch.autocast(inputs.device.type, enabled=False):
            if norm_weight is not None:
                hidden, inverse = normalise(inputs, norm_weight, eps)
            hidden = hidden.to(shared.compute)
            adapters = adapters_of(tensors, shared.compute)
            for_lora, keep = drop(hidden, shared.dropout, wanted=adapters is not None)
            outputs, low = forward_products(hidden, for_lora, tensors, adapters, shared)
        ctx.save_for_backward(inputs, norm_weight, inverse, keep, low, *tensors)
        ctx.shared = shared
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, norm_weight, inverse, keep, low, *tensors = ctx.saved_tensors
        shared = ctx.shared
        with torch.autocast(inputs.device.type, enabled=False):
            hidden = inputs if inverse is None else normalised(inputs, norm_weight, inverse)
            d_hidden, found = backward_products(
                [each.contiguous() for each in gradients],
                hidden.to(shared.compute),
                keep,
                low,
                tensors,
                adapters_of(tensors, shared.compute),
                shared,
                ctx.needs_input_grad[4:],
            )
            if inverse is None:
                return d_hidden.to(inputs.dtype), None, None, None, *found
            d_inputs, d_norm = normalise_backward(
                d_hidden, inputs, norm_weight, inverse, ctx.needs_input_grad[:2]
            )
        return d_inputs, d_norm, None, None, *found
