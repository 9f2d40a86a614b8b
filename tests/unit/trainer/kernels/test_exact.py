"""Each kernel against its plain twin in fp64: same results, same gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from tunesmith.trainer.kernels.attention import packed_attention, plain_packed_attention
from tunesmith.trainer.kernels.cross_entropy import (
    linear_cross_entropy,
    linear_scores,
    plain_linear_cross_entropy,
)
from tunesmith.trainer.kernels.dropout import drop_again, keep_mask
from tunesmith.trainer.kernels.gated_mlp import gated_mlp
from tunesmith.trainer.kernels.norm import Norm, rms_norm
from tunesmith.trainer.kernels.projections import Projection, project
from tunesmith.trainer.kernels.sequences import Sequences

EXACT = 1e-10


def random(*shape: int, seed: int = 0, trained: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    found = torch.randn(shape, generator=generator, dtype=torch.float64)
    return found.requires_grad_(trained)


def assert_same(
    ours: Callable[[], torch.Tensor], plain: Callable[[], torch.Tensor], inputs: list[torch.Tensor]
) -> None:
    """Compare values, and gradients by an arbitrary loss."""
    found = []
    for function in (ours, plain):
        output = function()
        weights = random(*output.shape, seed=9, trained=False)
        found.append((output, torch.autograd.grad((output * weights).sum(), inputs)))
    (value, gradients), (expected, expected_gradients) = found
    torch.testing.assert_close(value, expected, rtol=EXACT, atol=EXACT)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("sequences", [Sequences((5, 1, 9)), Sequences((3, 4), prefix=6)])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_attention(sequences: Sequences, key_heads: int) -> None:
    query = random(1, 4, sequences.tokens, 8)
    key, value = (random(1, key_heads, sequences.tokens, 8, seed=seed) for seed in (1, 2))
    assert_same(
        lambda: packed_attention(query, key, value, sequences, 0.3),
        lambda: plain_packed_attention(query, key, value, sequences, 0.3),
        [query, key, value],
    )


def one_by_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sequences: Sequences, window: int
) -> torch.Tensor:
    """Written out: each sample's own scores, what must not be seen at -inf."""
    parts, start = [], sequences.prefix
    prefix = torch.arange(sequences.prefix)
    for length in sequences.lengths:
        own = torch.cat([prefix, torch.arange(start, start + length)])
        q, k, v = (tensor[0][:, own] for tensor in (query, key, value))
        scores = q @ k.transpose(1, 2) * 0.3
        ages = torch.arange(len(own))[:, None] - torch.arange(len(own))
        scores = scores.masked_fill((ages < 0) | (ages >= window), -torch.inf)
        parts.append((scores.softmax(-1) @ v)[:, sequences.prefix :])
        start += length
    return torch.cat(parts, 1).transpose(0, 1)[None]


@pytest.mark.parametrize("window", [2, 5, 100])
@pytest.mark.parametrize("sequences", [Sequences((5, 1, 9)), Sequences((3, 4), prefix=6)])
def test_attention_sees_the_prefix_and_its_own_sample_within_the_window(
    sequences: Sequences, window: int
) -> None:
    query, key, value = (random(1, 2, sequences.tokens, 8, seed=seed) for seed in range(3))
    assert_same(
        lambda: packed_attention(query, key, value, sequences, 0.3, window)[:, sequences.prefix :],
        lambda: one_by_one(query, key, value, sequences, window),
        [query, key, value],
    )


@pytest.mark.parametrize("words", [20, 512])  # 512: whole pages a row
@pytest.mark.parametrize("trained", [True, False])
def test_cross_entropy_in_chunks(
    trained: bool, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.trainer.kernels.cross_entropy.ROWS_AT_LEAST", 3)
    monkeypatch.setattr("tunesmith.trainer.kernels.cross_entropy.NUMBERS_AT_ONCE", {"cpu": 1})
    hidden, weight = random(10, 6), random(words, 6, trained=trained)
    bias = random(words, trained=trained)
    targets = torch.randint(0, words, (10,), generator=torch.Generator().manual_seed(0))
    for offsets in (bias, None):
        inputs = [hidden, weight, offsets] if trained else [hidden]
        assert_same(
            lambda offsets=offsets: linear_cross_entropy(hidden, weight, offsets, targets),
            lambda offsets=offsets: plain_linear_cross_entropy(hidden, weight, offsets, targets),
            [each for each in inputs if each is not None],
        )
    with torch.no_grad():
        total, right = linear_scores(hidden, weight, bias, targets)
        logits = functional.linear(hidden, weight, bias)
    expected = functional.cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(total, expected, rtol=EXACT, atol=EXACT)
    assert int(right) == int((logits.argmax(-1) == targets).sum())


@pytest.mark.parametrize("trained", [True, False])
def test_norm_of_heads(trained: bool) -> None:
    heads, weight = random(2, 5, 3, 8), random(8, trained=trained)
    assert_same(
        lambda: rms_norm(heads, Norm(weight, 1e-6)),
        lambda: functional.rms_norm(heads, (8,), weight, 1e-6),
        [heads, weight] if trained else [heads],
    )


def test_norm_of_heads_that_autocast_made_narrow() -> None:
    heads = random(5, 3, 8).detach().bfloat16().requires_grad_()
    weight = random(8).detach().float().requires_grad_()
    found = rms_norm(heads, Norm(weight, 1e-6))
    expected = functional.rms_norm(heads.float(), (8,), weight, 1e-6)
    torch.testing.assert_close(found, expected)
    slopes = torch.autograd.grad(found.sum(), [heads, weight])
    for slope, wanted in zip(
        slopes, torch.autograd.grad(expected.sum(), [heads, weight]), strict=True
    ):
        torch.testing.assert_close(slope, wanted)


def adapted(out: int, size: int, seed: int, *, kind: str, dropout: float = 0.0) -> Projection:
    weight = random(out, size, seed=seed, trained=kind == "full")
    bias = random(out, seed=seed, trained=kind == "full")
    if kind == "full":
        return Projection(weight, bias)
    a, b = random(3, size, seed=seed + 1), random(out, 3, seed=seed + 2)
    if kind == "quantised":
        return Projection(None, bias, a, b, 0.7, dropout, dense=lambda: weight.detach())
    return Projection(weight, bias, a, b, 0.7, dropout)


def plain_projection(inputs: torch.Tensor, layer: Projection) -> torch.Tensor:
    weight = layer.dense() if layer.dense else layer.weight
    assert weight is not None
    output = functional.linear(inputs, weight, layer.bias)
    if layer.a is not None and layer.b is not None:
        output = output + functional.linear(functional.linear(inputs, layer.a), layer.b) * 0.7
    return output


def plain_norm(inputs: torch.Tensor, norm: Norm) -> torch.Tensor:
    return functional.rms_norm(inputs, inputs.shape[-1:], norm.weight, norm.eps)


def trained(*layers: Projection) -> list[torch.Tensor]:
    found = [each for layer in layers for each in layer.tensors if each is not None]
    return [each for each in found if each.requires_grad]


@pytest.mark.parametrize("kind", ["lora", "full", "quantised"])
def test_projections_of_a_normalised_input(kind: str) -> None:
    inputs, norm = random(1, 7, 6), Norm(random(6, trained=kind == "full"), 1e-5)
    layers = [adapted(out, 6, seed, kind=kind) for seed, out in ((10, 8), (20, 4), (30, 4))]
    of_norm = [norm.weight] if kind == "full" else []
    assert_same(
        lambda: torch.cat(project(inputs, norm, layers, training=True), -1),
        lambda: torch.cat([plain_projection(plain_norm(inputs, norm), e) for e in layers], -1),
        [inputs, *of_norm, *trained(*layers)],
    )
    assert_same(
        lambda: project(inputs, None, layers[:1], training=True)[0],
        lambda: plain_projection(inputs, layers[0]),
        [inputs, *trained(layers[0])],
    )


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("kind", ["lora", "full", "quantised"])
def test_gated_mlp(kind: str, joined: bool) -> None:
    inputs, norm = random(1, 7, 6), Norm(random(6, trained=kind == "full"), 1e-5)
    outs = [10] if joined else [5, 5]
    into = [adapted(out, 6, 10 * n, kind=kind) for n, out in enumerate(outs)]
    down = adapted(6, 5, 50, kind=kind)

    def plain() -> torch.Tensor:
        hidden = plain_norm(inputs, norm)
        gate, up = torch.cat([plain_projection(hidden, each) for each in into], -1).chunk(2, -1)
        return plain_projection(functional.silu(gate) * up, down)

    of_norm = [norm.weight] if kind == "full" else []
    assert_same(
        lambda: gated_mlp(inputs, norm, into, down, training=True),
        plain,
        [inputs, *of_norm, *trained(*into, down)],
    )


def test_a_layer_with_an_adapter_beside_one_without() -> None:
    inputs = random(1, 7, 6)
    layers = [
        Projection(random(4, 6, trained=False), None),
        adapted(4, 6, 10, kind="lora"),
        adapted(5, 6, 20, kind="lora"),
    ]
    assert_same(
        lambda: torch.cat(project(inputs, None, layers, training=True), -1),
        lambda: torch.cat([plain_projection(inputs, each) for each in layers], -1),
        [inputs, *trained(*layers)],
    )


def test_dropout_keeps_the_same_numbers_forward_and_backward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the same steps written out, with the same masks in the same order."""
    inputs, norm = random(1, 40, 6), Norm(random(6, trained=False), 1e-5)
    into = [adapted(5, 6, seed, kind="lora", dropout=0.3) for seed in (10, 20)]
    down = adapted(6, 5, 50, kind="lora", dropout=0.3)
    masks = [torch.arange(40 * size).view(40, size) % 3 != 0 for size in (6, 5)]

    def with_masks(function: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            given = iter(masks)
            monkeypatch.setattr(
                "tunesmith.trainer.kernels.dropout.keep_mask", lambda like, p: next(given)
            )
            return function()

        return run

    def lora(hidden: torch.Tensor, keep: torch.Tensor, layer: Projection) -> torch.Tensor:
        assert layer.weight is not None and layer.a is not None and layer.b is not None
        low = drop_again(hidden, keep, 0.3) @ layer.a.t()
        return functional.linear(hidden, layer.weight, layer.bias) + low @ layer.b.t() * 0.7

    def plain() -> torch.Tensor:
        hidden = plain_norm(inputs, norm)
        gate, up = (lora(hidden, masks[0], each) for each in into)
        return lora(functional.silu(gate) * up, masks[1], down)

    assert_same(
        with_masks(lambda: gated_mlp(inputs, norm, into, down, training=True)),
        plain,
        [inputs, *trained(*into, down)],
    )


def test_dropout_drops_its_part_and_only_in_training() -> None:
    torch.manual_seed(0)
    keep = keep_mask(torch.empty(1000, 999), 0.05)
    assert keep.shape == (1000, 999) and keep.dtype is torch.bool
    assert float(keep.double().mean()) == pytest.approx(0.95, abs=1e-3)
    assert not torch.equal(keep, keep_mask(torch.empty(1000, 999), 0.05))
    # Every place is decided on its own: neighbours share a draw, but not its bits.
    dropped_here = ~keep.flatten()
    both = (dropped_here[:-1] & dropped_here[1:]).double().mean()
    assert float(both) == pytest.approx(0.0025, abs=3e-4)

    inputs = random(1, 7, 6)
    layer = adapted(4, 6, 10, kind="lora", dropout=0.5)
    (evaluated,) = project(inputs, None, [layer], training=False)
    torch.testing.assert_close(evaluated, plain_projection(inputs, layer), rtol=EXACT, atol=EXACT)
    (in_training,) = project(inputs, None, [layer], training=True)
    assert not torch.allclose(in_training, evaluated)
