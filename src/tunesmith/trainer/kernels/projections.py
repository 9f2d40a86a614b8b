"""Linear layers that share an input, normalised or not, with their LoRA matrices: one step.

Autograd would keep the normalised input, and of each LoRA the input in fp32 and after dropout.
Here only the input itself is kept, and what is cheap is computed again in the backward pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from tunesmith.trainer.kernels.cross_entropy import wide
from tunesmith.trainer.kernels.dropout import dropped, keep_mask

Dense = Callable[[], torch.Tensor]
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
    def tensors(self) -> tuple[torch.Tensor | None, ...]:
        return self.weight, self.bias, self.a, self.b


@dataclass(frozen=True)
class Norm:
    """RMSNorm (arXiv 1910.07467)."""

    weight: torch.Tensor
    eps: float


@dataclass(frozen=True)
class Shared:
    """What a step knows of its projections besides tensors."""

    scales: tuple[float, ...]
    denses: tuple[Dense | None, ...]
    compute: torch.dtype
    dropout: float


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
    adapted = [each.dropout for each in projections if each.a is not None]
    return Shared(
        tuple(each.scale for each in projections),
        tuple(each.dense for each in projections),
        compute_dtype(inputs),
        max(adapted, default=0.0) if training else 0.0,
    )


def compute_dtype(inputs: torch.Tensor) -> torch.dtype:
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return inputs.dtype


def normalise(
    inputs: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return RMSNorm of `inputs`, and 1 / root mean square of each row [rows, 1]."""
    numbers = wide(inputs)
    inverse = torch.rsqrt(numbers.square().mean(-1, keepdim=True).add_(eps))
    return normalised(inputs, weight, inverse), inverse


def normalised(inputs: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    if inputs.dtype is inverse.dtype:
        return (inputs * inverse).mul_(weight)
    return weight * (wide(inputs) * inverse).to(inputs.dtype)


def normalise_backward(
    gradient: torch.Tensor, inputs: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of the inputs; `gradient` is that of the normalised ones."""
    numbers = wide(inputs)
    weighted = wide(gradient) * weight
    mean = (weighted * numbers).mean(-1, keepdim=True).mul_(inverse.square())
    return weighted.addcmul_(numbers, mean, value=-1).mul_(inverse).to(inputs.dtype)


def forward_products(
    inputs: torch.Tensor,
    for_lora: torch.Tensor,
    tensors: Sequence[torch.Tensor | None],
    shared: Shared,
) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Return each projection of `inputs`, and what all A matrices make of `for_lora`."""
    compute = shared.compute
    found = [each for each in tensors[2::TENSORS] if each is not None]
    low = for_lora @ together(found, compute).t() if found else None
    outputs: list[torch.Tensor] = []
    at = 0
    for place, scale in enumerate(shared.scales):
        _, bias, a, b = tensors[place * TENSORS : (place + 1) * TENSORS]
        weight = dense_weight(place, tensors, shared)
        output = functional.linear(inputs, weight, None if bias is None else bias.to(compute))
        if a is not None and b is not None and low is not None:
            own = low[:, at : at + len(a)]
            output.addmm_(own, b.to(compute).t(), alpha=scale)
            at += len(a)
        outputs.append(output)
    return outputs, low


def backward_products(
    gradients: Sequence[torch.Tensor],
    inputs: torch.Tensor,
    for_lora: torch.Tensor,
    keep: torch.Tensor | None,
    low: torch.Tensor | None,
    tensors: Sequence[torch.Tensor | None],
    shared: Shared,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """Return the gradient of `inputs` and of each of `tensors` (None where not `wanted`)."""
    compute = shared.compute
    d_inputs: torch.Tensor | None = None
    found: list[torch.Tensor | None] = [None] * len(tensors)
    slopes: list[torch.Tensor] = []
    at = 0
    for place, (gradient, scale) in enumerate(zip(gradients, shared.scales, strict=True)):
        first = place * TENSORS
        weight, bias, a, b = tensors[first : first + TENSORS]
        product = dense_weight(place, tensors, shared)
        if d_inputs is None:
            d_inputs = gradient @ product
        else:
            d_inputs.addmm_(gradient, product)
        if weight is not None and wanted[first]:
            found[first] = (gradient.t() @ inputs).to(weight.dtype)
        if bias is not None and wanted[first + 1]:
            found[first + 1] = wide(gradient).sum(0).to(bias.dtype)
        if a is not None and b is not None and low is not None:
            own = low[:, at : at + len(a)]
            found[first + 3] = (gradient.t() @ own).mul_(scale).to(b.dtype)
            slopes.append((gradient @ b.to(compute)).mul_(scale))
            at += len(a)
    assert d_inputs is not None
    if slopes:
        slope = slopes[0] if len(slopes) == 1 else torch.cat(slopes, 1)
        adapters = [each for each in tensors[2::TENSORS] if each is not None]
        d_adapters = (slope.t() @ for_lora).to(adapters[0].dtype)
        through = slope @ together(adapters, compute)
        d_inputs += dropped(through, keep, shared.dropout)
        rows = iter(torch.split(d_adapters, [len(each) for each in adapters]))
        for place in range(2, len(tensors), TENSORS):
            if tensors[place] is not None:
                found[place] = next(rows)
    return d_inputs, found


def dense_weight(
    place: int, tensors: Sequence[torch.Tensor | None], shared: Shared
) -> torch.Tensor:
    weight, dense = tensors[place * TENSORS], shared.denses[place]
    if weight is None:
        assert dense is not None
        weight = dense()
    return weight.to(shared.compute)


def together(matrices: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    return matrices[0].to(dtype) if len(matrices) == 1 else torch.cat(list(matrices)).to(dtype)


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
            adapted = any(each is not None for each in tensors[2::TENSORS])
            keep = keep_mask(hidden, shared.dropout) if adapted and shared.dropout else None
            outputs, low = forward_products(
                hidden, dropped(hidden, keep, shared.dropout), tensors, shared
            )
        ctx.save_for_backward(inputs, norm_weight, inverse, keep, low, *tensors)
        ctx.shared = shared
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, norm_weight, inverse, keep, low, *tensors = ctx.saved_tensors
        shared = ctx.shared
        with torch.autocast(inputs.device.type, enabled=False):
            hidden = inputs if inverse is None else normalised(inputs, norm_weight, inverse)
            hidden = hidden.to(shared.compute)
            d_hidden, found = backward_products(
                [each.contiguous() for each in gradients],
                hidden,
                dropped(hidden, keep, shared.dropout),
                keep,
                low,
                tensors,
                shared,
                ctx.needs_input_grad[4:],
            )
            d_norm = None
            if inverse is not None and ctx.needs_input_grad[1]:
                rows = (wide(inputs) * inverse).mul_(wide(d_hidden))
                d_norm = rows.sum(0).to(norm_weight.dtype)
            d_inputs = None
            if ctx.needs_input_grad[0]:
                d_inputs = (
                    d_hidden.to(inputs.dtype)
                    if inverse is None
                    else normalise_backward(d_hidden, inputs, norm_weight, inverse)
                )
        return d_inputs, d_norm, None, None, *found
