"""Quantised linear layers on a CPU: numbers come back right before they are multiplied.

bitsandbytes' own forward pass does not fit training there: in evaluation it repacks 4-bit weights
for good on CPUs with avx512_bf16, which no gradient passes afterwards, it rounds what goes into
8-bit layers to fp16 and int8, and it unpacks the doubly quantised scales each time. Here a layer
computes the same in training and evaluation. On GPUs bitsandbytes does it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit, dequantize_blockwise
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from torch.nn import functional

# Weights of a layer whose numbers are kept from the forward to the backward pass. Getting them
# back takes 40 us at least: for a small layer more than its matrix product.
KEPT_AT_MOST = 1 << 16

Numbers = Callable[[], torch.Tensor]


def prepare_for_cpu(base: Any, dtype: torch.dtype) -> None:
    """Make the quantised layers of `base`, which lies on the CPU, compute in `dtype`."""
    _leave_file(base)
    for layer in base.modules():
        if isinstance(layer, Linear4bit):
            numbers = _of_4_bits(layer.weight, dtype)
        elif isinstance(layer, Linear8bitLt):
            numbers = _of_8_bits(layer, dtype)
        else:
            continue
        compute_with(layer, numbers)


def _leave_file(base: Any) -> None:
    """Copy the weights that lie in the mapped file: while one does, the process holds all that was
    read of it, and so the numbers before they were quantised."""
    for weight in base.parameters():
        if weight.is_floating_point():
            weight.data = weight.data.clone()


def compute_with(layer: Any, numbers: Numbers) -> None:
    """Make a quantised linear layer multiply with the weight that `numbers` returns."""
    keep = layer.in_features * layer.out_features <= KEPT_AT_MOST
    layer.forward = partial(_forward, layer, numbers, keep)
    layer.dense_weight = numbers


def prepare_for_gpu(base: Any) -> None:
    """Let our kernels get at the numbers of the 4-bit layers of `base`, which lies on a GPU."""
    layers: list[Any] = [each for each in base.modules() if isinstance(each, Linear4bit)]
    for layer in layers:
        layer.dense_weight = partial(_dequantized, layer)


def _dequantized(layer: Any) -> torch.Tensor:
    numbers: torch.Tensor = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return numbers


def _forward(layer: Any, numbers: Numbers, keep: bool, inputs: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = _Product.apply(  # type: ignore[no-untyped-call]
        inputs, numbers, layer.bias, keep
    )
    return output


class _Product(torch.autograd.Function):
    """inputs @ weight.T + bias; saves the quantised weight only, unless it is small."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, numbers: Numbers, bias: torch.Tensor | None, keep: bool
    ) -> torch.Tensor:
        weight = numbers()
        ctx.numbers = (lambda: weight) if keep else numbers
        return functional.linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        wanted = ctx.needs_input_grad[0]
        return gradient @ ctx.numbers() if wanted else None, None, None, None


def _of_4_bits(weight: Any, dtype: torch.dtype) -> Numbers:
    state = weight.quant_state
    # One fp32 scale per block of 64 weights: half a bit a weight, and one kernel less each time.
    scales = dequantize_blockwise(state.absmax, state.state2) + state.offset
    return partial(
        torch.ops.bitsandbytes.dequantize_4bit.default,
        weight.data,
        scales,
        state.blocksize,
        state.quant_type,
        state.shape,
        dtype,
    )


def _of_8_bits(layer: Any, dtype: torch.dtype) -> Numbers:
    scales = layer.weight.SCB if layer.weight.SCB is not None else layer.state.SCB
    return partial(torch.mul, layer.weight.data, (scales / 127).to(dtype).unsqueeze(1))
