"""Which ways through a model compute what the model computes: tried with numbers before a run."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.trainer.batches import Batch, pack, pad
from tunesmith.trainer.failures import is_out_of_memory, short_reason
from tunesmith.trainer.kernels.norm import wide

if TYPE_CHECKING:
    from tunesmith.trainer.forward import Forward, Way

# Of the root mean square of the logits. Rounding stays well below; another sample that is seen
# through the mask, or positions that run on, are far above.
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.int8: 0.2}
# The same, for what one sample's tokens change in another's logits. That is nothing, but where
# experts or LLM.int8 cut their work by the whole batch.
LEAK = {torch.float64: 1e-5, torch.float32: 1e-4, torch.bfloat16: 5e-3, torch.int8: 0.2}
SCALED = 1000.0  # makes any cap on logits show


def choose_way(forward: "Forward", ways: tuple["Way", ...]) -> "Way":
    """Return the first of `ways`, the fastest first, that gives the logits of two samples laid end
    to end which each gives alone through the model as it is; else `padded`.

    Architectures that ignore position_ids, or carry a state over, cannot be packed; the head or
    the layers of some compute more than our kernels do. Why one was not taken is in
    `forward.passed_over`.
    """
    samples = _probe(forward.vocabulary)
    training = forward.model.training
    forward.model.eval()
    try:
        with torch.no_grad():
            forward.take("padded")
            each = [forward.logits(pad(samples, np.array([index]), 0)) for index in (0, 1)]
            alone = wide(torch.cat(each))
            # Of the head our kernels know the matrix product only.
            more = _refused_as(lambda: _after_head(forward, samples))
            for way in ways:
                if not forward.take(way):
                    continue
                refusal = more if forward.by_kernels else None
                refusal = refusal or _refused_as(lambda: _difference(forward, samples, alone))
                if refusal is None:
                    return way
                forward.passed_over[way] = refusal
        forward.take("padded")
        return "padded"
    finally:
        forward.model.train(training)


def _refused_as(reason: Any) -> str | None:
    """Return what `reason` finds. What it raises is a reason, too: a position_ids that a forward
    pass lacks, heads of unequal sizes, or whatever else an architecture has of its own."""
    try:
        found: str | None = reason()
        return found
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return short_reason(error)


def _difference(forward: "Forward", samples: EncodedSamples, alone: torch.Tensor) -> str | None:
    """Return why the way that `forward` has taken is not for its model, None if it is."""
    both = np.array([0, 1])
    batches = [pack(samples, both)]
    if forward.by_kernels:
        batches.append(pack(samples, both, share_prefix=True))
    scale = alone.square().mean().sqrt()
    for batch in batches:
        difference = _distance(forward.logits(batch), alone) / scale
        if not difference <= TOLERANCE.get(forward.precision, TOLERANCE[torch.bfloat16]):
            return f"logits differ by {float(difference):.1%}"
    seen = _distance(*(_of_second(forward, each) for each in (samples, _other_first(samples))))
    if not seen / scale <= LEAK.get(forward.precision, LEAK[torch.bfloat16]):
        return f"a sample changes the next one's logits by {float(seen / scale):.1%}"
    # Dropout within the attention comes in training only.
    forward.model.train()
    try:
        forward.logits(pack(samples, both[:1]))
    finally:
        forward.model.eval()
    return None


def _distance(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return (wide(logits) - wide(others)).square().mean().sqrt()


def _of_second(forward: "Forward", samples: EncodedSamples) -> torch.Tensor:
    """Return the logits of all tokens of the second sample, packed behind the first."""
    learnt = np.arange(len(samples.tokens)) > samples.starts[1]
    return forward.logits(pack(replace(samples, learnt=learnt), np.array([0, 1])))


def _other_first(samples: EncodedSamples) -> EncodedSamples:
    """Return the samples with other tokens in the first one."""
    tokens = samples.tokens.copy()
    first = slice(0, samples.starts[1])
    tokens[first] = tokens[first][::-1]
    return replace(samples, tokens=tokens)


def _after_head(forward: "Forward", samples: EncodedSamples) -> str | None:
    """Return what the model does before or after its head beside the matrix product, None if
    nothing: logits that are scaled or capped may look alike while they are small."""
    batch: Batch = pad(samples, np.array([0]), 0)
    with _watched(forward) as seen:
        logits = forward.model(input_ids=forward.tensor(batch.input_ids), use_cache=False).logits
    if not torch.equal(seen["hidden"], seen["into"]):
        return "what goes into its head is not what its layers give"
    if not torch.equal(logits.to(seen["out"].dtype), seen["out"]):
        return "its logits are not what its head gives"
    return None


@contextmanager
def _watched(forward: "Forward") -> Iterator[dict[str, torch.Tensor]]:
    """Note what comes out of the layers, what goes into the head, and, scaled, what leaves it."""
    seen: dict[str, torch.Tensor] = {}

    def decoded(_module: Any, _inputs: Any, output: Any) -> None:
        seen["hidden"] = output[0]

    def scaled(_module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        seen["into"], seen["out"] = inputs[0], output * SCALED
        return seen["out"]

    with ExitStack() as hooks:
        for module, hook in ((forward.decoder, decoded), (forward.head, scaled)):
            hooks.callback(module.register_forward_hook(hook).remove)
        yield seen


def _probe(vocabulary: int) -> EncodedSamples:
    """Two samples that begin alike, of 49 and 52 tokens; the last 10 and 13 are learnt."""
    random = np.random.default_rng(0)
    prefix = random.integers(0, vocabulary, 36)
    parts = [prefix, random.integers(0, vocabulary, 13), prefix, random.integers(0, vocabulary, 16)]
    lengths = [49, 52]
    learnt = np.concatenate([np.arange(length) >= 39 for length in lengths])
    starts = np.array([0, *np.cumsum(lengths)])
    return EncodedSamples(np.concatenate(parts).astype(np.int32), starts, learnt)
