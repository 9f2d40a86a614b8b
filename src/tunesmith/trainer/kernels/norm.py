"""RMSNorm (arXiv 1910.07467) that keeps its input and one number a row."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Norm:
    """The weight [size] and the epsilon of an RMSNorm."""

    weight: torch.Tensor
    eps: float


def rms_norm(inputs: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Return RMSNorm of `inputs` [..., size]: where it is a step of its own, as of heads."""
    output: torch.Tensor = _RmsNorm.apply(  # type: ignore[no-untyped-call]
        inputs.reshape(-1, inputs.shape[-1]), norm.weight, norm.eps
    )
    return output.view(inputs.shape)


def wide(tensor: torch.Tensor) -> torch.Tensor:
    """Return `tensor` in fp32, or in fp64 where it is."""
    return tensor if tensor.dtype is torch.float64 else tensor.float()


def normalise(
    inputs: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return RMSNorm of `inputs` [rows, size], and 1 / root mean square of each row [rows, 1]."""
    if inputs.device.type == "cuda":
        found: tuple[torch.Tensor, torch.Tensor] = torch.ops.aten._fused_rms_norm(
            inputs, [inputs.shape[-1]], weight, eps
        )
        return found
    numbers = wide(inputs)
    inverse = torch.rsqrt(numbers.square().mean(-1, keepdim=True).add_(eps))
    return normalised(inputs, weight, inverse), inverse


def normalised(inputs: torch.Tensor, weight: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """Return RMSNorm of `inputs` once more."""
    if inputs.dtype is inverse.dtype:
        return (inputs * inverse).mul_(weight)
    return weight * (wide(inputs) * inverse).to(inputs.dtype)


def normalise_backward(
    gradient: torch.Tensor,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    inverse: torch.Tensor,
    wanted: tuple[bool, bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the gradients of inputs and weight, those that are `wanted`.

    `gradient` is that of the normalised inputs.
    """
    if inputs.device.type == "cuda":
        of_inputs, of_weight = torch.ops.aten._fused_rms_norm_backward(
            gradient.to(inputs.dtype), inputs, [inputs.shape[-1]], inverse, weight, list(wanted)
        )
        return (of_inputs if wanted[0] else None), (of_weight if wanted[1] else None)
    numbers, slopes = wide(inputs), wide(gradient)
    d_weight = None
    if wanted[1]:
        d_weight = (numbers * inverse).mul_(slopes).sum(0).to(weight.dtype)
    if not wanted[0]:
        return None, d_weight
    weighted = slopes * weight
    mean = (weighted * numbers).mean(-1, keepdim=True).mul_(inverse.square())
    d_inputs = weighted.addcmul_(numbers, mean, value=-1).mul_(inverse)
    return d_inputs.to(inputs.dtype), d_weight


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            # Autocast has made bf16 of the inputs; masters stay what they are.
            output, inverse = normalise(inputs.to(weight.dtype), weight, eps)
        ctx.save_for_backward(inputs, weight, inverse)
        return output

    @staticmethod
    def backward(
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        inputs, weight, inverse = ctx.saved_tensors
        with torch.autocast(inputs.device.type, enabled=False):
            d_inputs, d_weight = normalise_backward(
                gradient, inputs.to(weight.dtype), weight, inverse, ctx.needs_input_grad[:2]
            )
        return None if d_inputs is None else d_inputs.to(inputs.dtype), d_weight, None
