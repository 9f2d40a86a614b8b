"""Attention of packed samples: each sees itself and the common prefix, nothing else."""

import inspect
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn import functional

from tunesmith.trainer.kernels.sequences import Sequences

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def packed_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sequences: Sequences,
    scale: float,
    window: int | None = None,
) -> torch.Tensor:
    """Return the attention [1, tokens, heads, head size] of samples that lie end to end.

    query [1, heads, tokens, head size], key and value [1, key heads, tokens, head size], in one
    dtype; heads of value may have another size. `window` is how many tokens a token sees at most,
    itself included.
    """
    if window is not None and window >= sequences.longest:
        window = None
    if query.shape[-1] != value.shape[-1]:
        return plain_packed_attention(query, key, value, sequences, scale, window)
    if query.device.type == "cpu" and window is None:
        output: torch.Tensor = _CpuAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, sequences, scale
        )
        return output
    if _has_varlen(query):
        return _varlen_attention(query, key, value, sequences, scale, window)
    return plain_packed_attention(query, key, value, sequences, scale, window)


def plain_packed_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sequences: Sequences,
    scale: float,
    window: int | None = None,
) -> torch.Tensor:
    """The same by torch's attention function, sample by sample."""
    outputs = []
    for start, end, seen in _spans(sequences):
        keys, values = _with_prefix(key, value, start, end, seen)
        part = functional.scaled_dot_product_attention(
            query[:, :, start:end],
            keys,
            values,
            attn_mask=_mask(query, end - start, seen, window),
            is_causal=not seen and window is None,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        outputs.append(part.transpose(1, 2))
    return torch.cat(outputs, 1)


def _spans(sequences: Sequences) -> list[tuple[int, int, int]]:
    """Return where each part lies, and how many tokens of the prefix it sees besides."""
    spans = [(0, sequences.prefix, 0)] if sequences.prefix else []
    start = sequences.prefix
    for length in sequences.lengths:
        spans.append((start, start + length, sequences.prefix))
        start += length
    return spans


def _with_prefix(
    key: torch.Tensor, value: torch.Tensor, start: int, end: int, seen: int
) -> tuple[torch.Tensor, torch.Tensor]:
    if not seen:
        return key[:, :, start:end], value[:, :, start:end]
    keys = torch.cat([key[:, :, :seen], key[:, :, start:end]], 2)
    return keys, torch.cat([value[:, :, :seen], value[:, :, start:end]], 2)


def _mask(query: torch.Tensor, length: int, seen: int, window: int | None) -> torch.Tensor | None:
    """Return what may be seen as what is added to the scores, 0 or -inf [length, seen + length].

    None where plain causal attention says the same.
    """
    if not seen and window is None:
        return None
    hidden = partial(query.new_full, (length, seen + length), float("-inf"))
    mask = hidden().triu_(seen + 1)
    if window is not None:
        mask += hidden().tril_(seen - window)
    return mask


class _CpuAttention(torch.autograd.Function):
    """All samples in one node of the graph, by the kernels that torch itself takes on a CPU.

    To the kernels each key head is a batch of its own, its query heads the heads: keys and values
    are read where they lie, not repeated for each query head first (7 % of the time).
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        sequences: Sequences,
        scale: float,
    ) -> torch.Tensor:
        _, heads, tokens, size = query.shape
        output = query.new_empty(1, tokens, heads, size)
        queries, into = (_grouped(each, key) for each in (query, output.transpose(1, 2)))
        sums = []
        for start, end, seen in _spans(sequences):
            keys, values = _spread(key, value, heads, start, end, seen)
            mask = _mask(query, end - start, seen, None)
            into[:, :, start:end], log_sum = _flash(
                queries[:, :, start:end], keys, values, 0.0, not seen, attn_mask=mask, scale=scale
            )
            sums.append(log_sum)
        ctx.save_for_backward(query, key, value, output, *sums)
        ctx.sequences, ctx.scale = sequences, scale
        return output

    @staticmethod
    def backward(
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        query, key, value, output, *sums = ctx.saved_tensors
        d_query = torch.empty_like(query)
        d_key, d_value = torch.empty_like(key), torch.empty_like(value)
        queries, into = _grouped(query, key), _grouped(d_query, key)
        slopes, results = (_grouped(each.transpose(1, 2), key) for each in (gradient, output))
        for (start, end, seen), log_sum in zip(_spans(ctx.sequences), sums, strict=True):
            keys, values = _spread(key, value, query.shape[1], start, end, seen)
            part = slice(start, end)
            into[:, :, part], of_key, of_value = _flash_backward(
                slopes[:, :, part],
                queries[:, :, part],
                keys,
                values,
                results[:, :, part],
                log_sum,
                0.0,
                not seen,
                attn_mask=_mask(query, end - start, seen, None),
                scale=ctx.scale,
            )
            for gradients, found in ((d_key, of_key), (d_value, of_value)):
                if not seen:
                    torch.sum(found, 1, out=gradients[0, :, part])
                    continue
                each = found.sum(1)
                gradients[0, :, part] = each[:, seen:]
                gradients[0, :, :seen] += each[:, :seen]
        return d_query, d_key, d_value, None, None


def _grouped(heads: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return a view of `heads` [1, heads, tokens, size] by key heads: [key heads, heads of each,
    tokens, size]."""
    view: torch.Tensor = heads[0].unflatten(0, (key.shape[1], -1))  # type: ignore[no-untyped-call]
    return view


def _spread(
    key: torch.Tensor, value: torch.Tensor, heads: int, start: int, end: int, seen: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and values of a part, grouped in the same way, without a copy for each head."""
    keys, values = (
        each[0].unsqueeze(1).expand(-1, heads // key.shape[1], -1, -1)
        for each in _with_prefix(key, value, start, end, seen)
    )
    return keys, values


def _has_varlen(query: torch.Tensor) -> bool:
    """Whether torch's own FlashAttention takes these: no package is needed for it."""
    size = query.shape[-1]
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16):
        return False
    if size > 256 or size % 8:
        return False
    if find_spec("torch.nn.attention.varlen") is None:  # torch 2.10 and later
        return False
    return torch.cuda.get_device_capability(query.device) >= (8, 0)


def _varlen_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sequences: Sequences,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """All samples in one call of FlashAttention-2 (arXiv 2307.08691), each query's window ending
    at its own key: parts that see the prefix have more keys than queries."""
    from torch.nn.attention.varlen import varlen_attn

    spans = _spans(sequences)
    device = query.device
    queries = [end - start for start, end, _ in spans]
    seen = [end - start + prefix for start, end, prefix in spans]
    rows, keys, values = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    if sequences.prefix:
        # Each sample's keys begin with the prefix's, whose gradients index_select adds up.
        parts = [
            torch.arange(begin, stop)
            for start, end, prefix in spans
            for begin, stop in ((0, prefix), (start, end))
        ]
        places = torch.cat(parts).to(device)
        keys, values = keys.index_select(0, places), values.index_select(0, places)
    attend: Any = varlen_attn
    if query.shape[1] != key.shape[1]:
        if "enable_gqa" in inspect.signature(varlen_attn).parameters:
            attend = partial(varlen_attn, enable_gqa=True)
        else:  # before torch 2.12
            times = query.shape[1] // key.shape[1]
            keys, values = keys.repeat_interleave(times, 1), values.repeat_interleave(times, 1)
    output: torch.Tensor = attend(
        rows.contiguous(),
        keys.contiguous(),
        values.contiguous(),
        _ends(queries, device),
        _ends(seen, device),
        max(queries),
        max(seen),
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
    )
    return output[None]


def _ends(lengths: list[int], device: torch.device) -> torch.Tensor:
    ends = torch.tensor([0, *lengths]).cumsum(0)
    return ends.to(torch.int32).to(device)
