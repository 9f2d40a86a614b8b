"""Embeddings and a head with one weight: one gradient, the same as autograd's two."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tunesmith.trainer.kernels.cross_entropy import linear_cross_entropy
from tunesmith.trainer.kernels.tied import TiedWeight

WORDS, SIZE = 12, 6
IDS = torch.tensor([[3, 5, 3, 0, 11]])
TARGETS = torch.tensor([5, 3, 0, 11, 2])


def embeddings_and_head(
    padding: int | None = None, dtype: torch.dtype = torch.float64, **others: bool
) -> tuple[nn.Embedding, nn.Linear]:
    torch.manual_seed(0)
    embeddings = nn.Embedding(WORDS, SIZE, padding_idx=padding, dtype=dtype, **others)
    head = nn.Linear(SIZE, WORDS, bias=False, dtype=dtype)
    head.weight = embeddings.weight
    return embeddings, head


def gradient(embeddings: nn.Embedding, head: nn.Linear, tied: TiedWeight | None) -> torch.Tensor:
    """Return the gradient after two passes, which are added up as of micro-batches."""
    embeddings.zero_grad()
    for ids in (IDS, IDS.flip(1)):
        hidden = embeddings(ids)[0].sin()
        if tied is None:
            loss = functional.cross_entropy(head(hidden).double(), TARGETS, reduction="sum")
        else:
            loss = linear_cross_entropy(hidden, head.weight, None, TARGETS, tied=tied.of_pass)
        (loss / 3).backward()
    found = embeddings.weight.grad
    assert found is not None and found.dtype is embeddings.weight.dtype
    return found.double()


@pytest.mark.parametrize("padding", [None, 3])
def test_one_gradient_is_what_two_add_up_to(padding: int | None) -> None:
    embeddings, head = embeddings_and_head(padding)
    expected = gradient(embeddings, head, None)
    tied = TiedWeight(embeddings, head)
    found = gradient(embeddings, head, tied)
    assert tied.of_pass is not None and tied.of_pass.value is None
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_bf16_gradients_are_added_up_in_fp32() -> None:
    embeddings, head = embeddings_and_head(dtype=torch.bfloat16)
    exact, exact_head = embeddings_and_head()
    exact.weight.data.copy_(embeddings.weight)
    expected = gradient(exact, exact_head, None)
    found = gradient(embeddings, head, TiedWeight(embeddings, head))
    assert (found - expected).norm() < 0.01 * expected.norm()


def test_a_pass_without_the_kernels_head_gets_the_embeddings_part() -> None:
    embeddings, head = embeddings_and_head()
    TiedWeight(embeddings, head)
    embeddings(IDS).sum().backward()
    counts = torch.bincount(IDS[0], minlength=WORDS).double()
    torch.testing.assert_close(embeddings.weight.grad, counts[:, None].expand(-1, SIZE))


@pytest.mark.parametrize("case", ["untied", "frozen", "no gradients", "sparse", "scaled"])
def test_all_else_is_left_as_it_is(case: str) -> None:
    embeddings, head = embeddings_and_head(**({"sparse": True} if case == "sparse" else {}))
    if case == "untied":
        head.weight = nn.Parameter(head.weight.detach().clone())
    if case == "frozen":
        embeddings.requires_grad_(False)
    if case == "scaled":  # as Gemma's: a class of its own
        embeddings.__class__ = type("Scaled", (nn.Embedding,), {})
    tied = TiedWeight(embeddings, head)
    with torch.set_grad_enabled(case != "no gradients"):
        found = embeddings(IDS)
    assert tied.of_pass is None
    torch.testing.assert_close(found, functional.embedding(IDS, embeddings.weight))
