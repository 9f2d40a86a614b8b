"""Validation: mean loss of the answer tokens, and how many of them the model finds most likely."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.trainer.batches import split
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.stop import Stop

ROWS_AT_ONCE = 256  # answer tokens whose logits are turned into fp32 together


@dataclass(frozen=True)
class Scores:
    eval_loss: float
    token_accuracy: float


def evaluate(
    forward: Forward, samples: EncodedSamples, batch_size: int, stop: Stop
) -> Scores | None:
    """Score `samples`, `batch_size` at a time; None if a stop came in between.

    Never takes more memory than training with the same batch size: no gradients, logits of the
    answer tokens only, and those in fp32 a few at a time.
    """
    model = forward.model
    # Samples of like length side by side: a long one does not make short ones wait.
    order = np.argsort(samples.lengths, kind="stable")
    loss = torch.zeros((), dtype=torch.float64)
    right = 0
    model.eval()
    try:
        with torch.no_grad():
            for indices in split(order, batch_size):
                if stop.requested:
                    return None
                logits, targets = forward.logits(samples, indices)
                for start in range(0, len(targets), ROWS_AT_ONCE):
                    rows = logits[start : start + ROWS_AT_ONCE].float()
                    wanted = targets[start : start + ROWS_AT_ONCE]
                    loss += functional.cross_entropy(rows, wanted, reduction="sum").double().cpu()
                    right += int((rows.argmax(-1) == wanted).sum())
    finally:
        model.train()
    labels = samples.count_labels(order)
    return Scores(float(loss) / labels, right / labels)
