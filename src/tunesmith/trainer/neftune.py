"""NEFTune (arXiv 2310.05914): noise on the embeddings, in training only."""

from typing import Any

import torch


class EmbeddingNoise:
    """Adds uniform noise of alpha / sqrt(L d) to what the embedding layer of `model` gives.

    L is the length of the sample that a token belongs to, packed or not, d the embedding's size.
    """

    def __init__(self, model: Any, alpha: float) -> None:
        self._alpha = alpha
        self.lengths: torch.Tensor | None = None
        """[rows, length]: of the next forward pass."""
        model.get_input_embeddings().register_forward_hook(self._add)

    def _add(self, module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if not module.training or self.lengths is None:
            return output
        scale = self._alpha / (self.lengths * output.shape[-1]).sqrt()
        noise = torch.empty_like(output).uniform_(-1, 1)
        return output + noise * scale.unsqueeze(-1).to(output.dtype)
