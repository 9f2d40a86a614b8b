"""One forward pass: a batch's arrays -> logits of the positions that are learnt."""

import inspect
from typing import Any

import numpy as np
import torch

from tunesmith.prompt.encoded import EncodedSamples, Ints
from tunesmith.trainer.batches import Batch, pack, pad, sample_lengths
from tunesmith.trainer.neftune import EmbeddingNoise

# Of the root mean square of the logits. Rounding stays well below; another sample that is seen
# through the mask, or positions that run on, are far above.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}


class Forward:
    """Runs micro-batches through `model`: packed end to end if that is exact, else padded."""

    def __init__(
        self,
        model: Any,
        padding: int,
        *,
        autocast: bool = False,
        neftune_noise_alpha: float | None = None,
    ) -> None:
        """`autocast` computes in bf16 over weights in fp32."""
        self.model = model
        self._autocast = autocast
        self.device = next(model.parameters()).device
        self._padding = padding
        self._noise: EmbeddingNoise | None = None
        self._base = model.get_base_model() if hasattr(model, "get_base_model") else model
        parameters = inspect.signature(self._base.forward).parameters
        self._takes_positions = "logits_to_keep" in parameters
        self.packed = packs_exactly(self)
        if neftune_noise_alpha is not None:
            self._noise = EmbeddingNoise(model, neftune_noise_alpha)

    def logits(self, samples: EncodedSamples, indices: Ints) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits [answer tokens, vocabulary] and the token ids [answer tokens] that follow.

        The logits have the base model's dtype.
        """
        batch = pack(samples, indices) if self.packed else pad(samples, indices, self._padding)
        return self.run(batch), self._tensor(batch.targets)

    def run(self, batch: Batch) -> torch.Tensor:
        given: dict[str, torch.Tensor] = {"input_ids": self._tensor(batch.input_ids)}
        if batch.position_ids is not None:
            # With no mask given, transformers keeps samples apart where positions start again.
            given["position_ids"] = self._tensor(batch.position_ids)
        if batch.attention_mask is not None:
            given["attention_mask"] = self._tensor(batch.attention_mask)
        kept = self._tensor(batch.kept)
        if self._takes_positions:
            given["logits_to_keep"] = kept
        if self._noise is not None:
            self._noise.lengths = self._tensor(sample_lengths(batch))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            logits: torch.Tensor = self.model(**given, use_cache=False).logits
        if not self._takes_positions:
            logits = logits[:, kept]
        if batch.attention_mask is None:
            return logits[0]
        return logits[self._tensor(batch.rows), self._tensor(batch.columns)]

    @property
    def precision(self) -> torch.dtype:
        """The number format that the logits are as exact as."""
        # LLM.int8 rounds activations, and which columns it spares hangs on the whole batch.
        if self._autocast or getattr(self._base, "is_loaded_in_8bit", False):
            return torch.bfloat16
        dtype: torch.dtype = self.model.dtype
        return dtype

    def _tensor(self, array: Ints) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def packs_exactly(forward: Forward) -> bool:
    """Try whether two samples laid end to end give the logits that each gives alone.

    Architectures that ignore position_ids, or carry a state over, do not.
    """
    model = forward.model
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = np.random.default_rng(0).integers(0, vocabulary, 20).astype(np.int32)
    starts = np.array([0, 9, 20])
    learnt = ~np.isin(np.arange(20), starts)
    samples = EncodedSamples(tokens, starts, learnt)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            both = forward.run(pack(samples, np.array([0, 1]))).float()
            each = [forward.run(pack(samples, np.array([index]))).float() for index in (0, 1)]
    except (TypeError, ValueError):
        return False  # no position_ids in its forward
    finally:
        model.train(training)
    alone = torch.cat(each)
    scale = alone.square().mean().sqrt()
    difference = (both - alone).square().mean().sqrt()
    tolerance = TOLERANCE.get(forward.precision, TOLERANCE[torch.bfloat16])
    return bool(difference <= tolerance * scale)
