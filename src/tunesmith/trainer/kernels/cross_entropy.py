"""Cross-entropy of the head's logits without ever holding all of them."""

from typing import Any

import torch
from torch.nn import functional

from tunesmith.trainer.kernels.norm import wide
from tunesmith.trainer.kernels.tied import HeadGradient

# Logits held at once: 134 MB in fp32 on a CPU. An H100 takes 30 % less time with twice as many.
NUMBERS_AT_ONCE = {"cpu": 1 << 25, "cuda": 1 << 26}
ROWS_AT_LEAST = 64  # fewer make the matrix products slow
PAGE, APART = 4096, 64  # bytes


def rows_at_once(weight: torch.Tensor, numbers: int | None) -> int:
    """Return how many rows of logits of this head are made at a time: `numbers` logits or so."""
    return max(ROWS_AT_LEAST, (numbers or NUMBERS_AT_ONCE[weight.device.type]) // weight.shape[0])


def linear_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    numbers: int | None = None,
    tied: HeadGradient | None = None,
) -> torch.Tensor:
    """Return the sum over rows of the cross-entropy of `hidden @ weight.T + bias`, in fp32.

    hidden [rows, size], weight [vocabulary, size], targets [rows] int64. The logits are made in
    the dtype of `hidden`. The gradient is made in the forward pass, chunk by chunk: neither logits
    nor probabilities are kept. `numbers` is how many logits are held at once; None: as many as are
    best for the device. The weight's gradient is left in `tied`, where it is given, and not
    returned. The plain twin is `plain_linear_cross_entropy`.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        total: torch.Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, rows_at_once(weight, numbers), tied
        )
    return total


def linear_scores(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same sum in fp64, and how many targets have the highest logit. No gradients."""
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    right = torch.zeros((), dtype=torch.int64, device=hidden.device)
    narrow, offsets = _narrow(hidden, weight, bias)
    step = rows_at_once(weight, None)
    for start in range(0, len(targets), step):
        wanted = targets[start : start + step]
        scores = wide(_logits(hidden[start : start + step], narrow, offsets))
        total += functional.cross_entropy(scores, wanted, reduction="sum").double()
        right += (scores.argmax(-1) == wanted).sum()
        del scores  # before the next ones are made
    return total, right


def plain_linear_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
) -> torch.Tensor:
    """The same in one piece."""
    logits = wide(functional.linear(hidden, weight, bias))
    return functional.cross_entropy(logits, targets, reduction="sum")


def _narrow(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    return weight.to(hidden.dtype), None if bias is None else bias.to(hidden.dtype)


def _logits(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return the logits [rows, vocabulary], rows not whole pages apart on a CPU.

    If they are, as with 49,152 words, all rows compete for the same few lines of the cache: the
    head's product took 18 % longer, that of its gradient 6 %.
    """
    vocabulary = len(weight)
    if rows.device.type != "cpu" or vocabulary * rows.itemsize % PAGE:
        return functional.linear(rows, weight, bias)
    more = APART // rows.itemsize
    logits = rows.new_empty(len(rows), vocabulary + more)[:, :vocabulary]
    if bias is None:
        return torch.mm(rows, weight.t(), out=logits)
    return torch.addmm(bias, rows, weight.t(), out=logits)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        step: int,
        tied: HeadGradient | None,
    ) -> torch.Tensor:
        wanted, weight_wanted, bias_wanted, *_ = ctx.needs_input_grad
        d_hidden = torch.empty_like(hidden) if wanted else None
        d_weight: torch.Tensor | None = None
        d_bias = torch.zeros_like(bias) if bias is not None and bias_wanted else None
        total = wide(hidden.new_zeros(()))
        narrow, offsets = _narrow(hidden, weight, bias)
        for start in range(0, max(1, len(targets)), step):
            rows, wanted_ids = hidden[start : start + step], targets[start : start + step]
            # Softmax in place: at most two arrays of this size at a time.
            scores = wide(_logits(rows, narrow, offsets))
            at = torch.arange(len(wanted_ids), device=hidden.device)
            top = scores.amax(-1, keepdim=True)
            right = scores[at, wanted_ids]
            scores.sub_(top).exp_()
            sums = scores.sum(-1, keepdim=True)
            total += (sums.log() + top).squeeze(1).sub_(right).sum()
            if not wanted and not weight_wanted:
                del scores
                continue
            scores.div_(sums)
            scores[at, wanted_ids] -= 1
            slopes = scores.to(hidden.dtype)
            if d_hidden is not None:
                torch.mm(slopes, narrow, out=d_hidden[start : start + step])
            if weight_wanted:
                d_weight = _added(d_weight, slopes.t(), rows)
            if d_bias is not None:
                d_bias += slopes.sum(0)
            del scores, slopes  # before the next ones are made
        ctx.gradients = d_hidden, d_weight, d_bias
        ctx.weight_dtype, ctx.tied = weight.dtype, tied
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d_hidden, d_weight, d_bias = (
            None if each is None else each.mul_(gradient) for each in ctx.gradients
        )
        ctx.gradients = ()
        if ctx.tied is not None:
            ctx.tied.value, d_weight = d_weight, None
        if d_weight is not None:
            d_weight = d_weight.to(ctx.weight_dtype)
        return d_hidden, d_weight, d_bias, None, None, None


def _added(total: torch.Tensor | None, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return left @ right, added to `total` if there is one. A sum over many chunks: in fp32 also
    where the weight is bf16."""
    if total is None:
        return wide(left @ right)
    return total.addmm_(left, right) if total.dtype is left.dtype else total.add_(left @ right)
