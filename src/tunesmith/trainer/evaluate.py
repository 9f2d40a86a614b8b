"""Validation: mean loss of the answer tokens, and how many of them the model finds most likely."""

from dataclasses import dataclass

import numpy as np

from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.stop import Stop


@dataclass(frozen=True)
class Scores:
    eval_loss: float
    token_accuracy: float


def evaluate(
    forward: Forward, samples: EncodedSamples, tokens_at_once: int, stop: Stop
) -> Scores | None:
    """Score `samples`, at most `tokens_at_once` tokens at a time; None if a stop came in between.

    By our kernels it never takes more memory than training with the same number: no gradients,
    logits of the answer tokens only, and a few of those at a time. Other ways hold the logits of
    all answer tokens of a micro-batch, of which validation may have more.
    """
    model = forward.model
    loss, right = 0.0, 0
    model.eval()
    try:
        for batch in forward.batches(samples, np.arange(len(samples)), tokens_at_once):
            if stop.requested:
                return None
            total, found = forward.scores(batch)
            loss += float(total)
            right += int(found)
    finally:
        model.train()
    labels = samples.count_labels(np.arange(len(samples)))
    return Scores(loss / labels, right / labels)
