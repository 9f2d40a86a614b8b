"""One forward pass: a batch's arrays -> the loss of the tokens that are learnt."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch.nn import functional

from tunesmith.prompt.encoded import EncodedSamples, Ints
from tunesmith.trainer.batches import Batch, cut, pack, pad, sample_lengths, turned_alike
from tunesmith.trainer.kernels import backend, layers
from tunesmith.trainer.kernels.cross_entropy import linear_cross_entropy, linear_scores
from tunesmith.trainer.kernels.norm import wide
from tunesmith.trainer.kernels.tied import TiedWeight
from tunesmith.trainer.memory import compact
from tunesmith.trainer.neftune import EmbeddingNoise
from tunesmith.trainer.ways import choose_way

Way = Literal["layers", "attention", "packed", "padded"]
"""How batches go through the model, the fastest first:

layers: packed, layers and head by our kernels
attention: packed, attention and head by our kernels
packed: samples end to end, all else by transformers
padded: a row for each sample, all by transformers
"""
WAYS: tuple[Way, ...] = ("layers", "attention", "packed")
PLAIN_WAYS: tuple[Way, ...] = ("packed",)


class Forward:
    """Runs micro-batches through `model` in the fastest way that computes what it computes."""

    def __init__(
        self,
        model: Any,
        padding: int,
        *,
        autocast: bool = False,
        neftune_noise_alpha: float | None = None,
        kernels: Literal["auto", "plain"] = "auto",
        verify: bool = True,
        head_numbers: int | None = None,
    ) -> None:
        """`autocast` computes in bf16 over weights in fp32.

        Two for plans of memory, whose weights are no numbers and on no device: without `verify`
        the first way that this kind of model has is taken untried; `head_numbers` is how many
        logits are held at once, else what is best for the device.
        """
        self.model = model
        self._head_numbers = head_numbers
        self._autocast = autocast
        self.device = next(model.parameters()).device
        self._padding = padding
        self._noise: EmbeddingNoise | None = None
        self._base = model.get_base_model() if hasattr(model, "get_base_model") else model
        config = getattr(self._base, "config", None)
        self._attention = getattr(config, "_attn_implementation", None)
        self.decoder: Any = getattr(self._base, getattr(self._base, "base_model_prefix", ""), None)
        self._length_limit = _length_limit(config)
        parameters = inspect.signature(self._base.forward).parameters
        self._takes_positions = "logits_to_keep" in parameters
        self.passed_over: dict[Way, str] = {}
        """Why a way that this kind of model has was not taken."""
        self.way: Way = "padded"
        ways = WAYS if kernels == "auto" else PLAIN_WAYS
        self.way = choose_way(self, ways) if verify else next(way for way in ways if self.take(way))
        embeddings = model.get_input_embeddings()
        self._tied = TiedWeight(embeddings, self.head) if self.by_kernels else None
        if neftune_noise_alpha is not None:
            self._noise = EmbeddingNoise(model, neftune_noise_alpha)
        _compact_at_peaks(embeddings, self.decoder, self.head, self._tied)

    @property
    def packed(self) -> bool:
        return self.way != "padded"

    def batches(self, samples: EncodedSamples, indices: Ints, tokens: int) -> Iterator[Batch]:
        """Yield the micro-batches of `indices`, of at most `tokens` tokens where that can be."""
        for alike in turned_alike(samples, indices, self._length_limit):
            for part in cut(samples, alike, tokens, packed=self.packed):
                yield self.batch(samples, part)

    def batch(self, samples: EncodedSamples, indices: Ints) -> Batch:
        if not self.packed:
            return pad(samples, indices, self._padding)
        # Noise is drawn for each sample; a common prefix has no noise of its own.
        share = self.by_kernels and self._noise is None
        return pack(samples, indices, share_prefix=share)

    def loss_sum(self, batch: Batch) -> torch.Tensor:
        """Return the sum of the cross-entropy of all learnt tokens, differentiable, in fp32."""
        targets = self.tensor(batch.targets)
        if not self.by_kernels:
            return functional.cross_entropy(wide(self.logits(batch)), targets, reduction="sum")
        hidden = self._hidden(batch)
        compact()  # our kernels do not call the head
        tied = self._tied.of_pass if self._tied is not None else None
        return linear_cross_entropy(hidden, *self._head, targets, self._head_numbers, tied)

    @torch.no_grad()
    def scores(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return that sum in fp64, and how many learnt tokens the model finds most likely."""
        targets = self.tensor(batch.targets)
        if self.by_kernels:
            return linear_scores(self._hidden(batch), *self._head, targets)
        logits = wide(self.logits(batch))
        loss = functional.cross_entropy(logits, targets, reduction="sum")
        return loss.double(), (logits.argmax(-1) == targets).sum()

    def logits(self, batch: Batch) -> torch.Tensor:
        """Return the logits of the learnt tokens [answer tokens, vocabulary], as the model's own
        forward pass gives them."""
        if self.by_kernels:
            hidden, (weight, bias) = self._hidden(batch), self._head
            return functional.linear(hidden, weight.to(hidden.dtype), bias)
        given: dict[str, torch.Tensor] = {"input_ids": self.tensor(batch.input_ids)}
        if batch.position_ids is not None:
            # With no mask given, transformers keeps samples apart where positions start again.
            given["position_ids"] = self.tensor(batch.position_ids)
        if batch.attention_mask is not None:
            given["attention_mask"] = self.tensor(batch.attention_mask)
        kept = self.tensor(batch.kept)
        if self._takes_positions:
            given["logits_to_keep"] = kept
        with self._computing(batch):
            logits: torch.Tensor = self.model(**given, use_cache=False).logits
        if not self._takes_positions:
            logits = logits[:, kept]
        if batch.attention_mask is None:
            return logits[0]
        return logits[self.tensor(batch.rows), self.tensor(batch.columns)]

    @property
    def by_kernels(self) -> bool:
        return self.way in ("layers", "attention")

    @property
    def precision(self) -> torch.dtype:
        """The number format that the logits are as exact as."""
        # LLM.int8 rounds activations, and which columns it spares hangs on the whole batch.
        if getattr(self._base, "is_loaded_in_8bit", False) and self.device.type != "cpu":
            return torch.int8
        if self._autocast:
            return torch.bfloat16
        dtype: torch.dtype = self.model.dtype
        return dtype

    def take(self, way: Way) -> bool:
        """Prepare the model for `way`; False if it is not for this model."""
        if self.by_kernels and self.decoder is not None:
            layers.uninstall(self.decoder)
            backend.uninstall(self._base, self._attention)
        self.way = way
        if self.by_kernels:
            usable = self.decoder is not None and self._attention is not None
            if not usable or type(self.head) is not torch.nn.Linear:
                self.way = "padded"
                return False
            backend.install(self._base)
        return way != "layers" or layers.install(self.decoder)

    @property
    def head(self) -> Any:
        return self._base.get_output_embeddings()

    @property
    def vocabulary(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def _head(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight and bias, as they are at this moment: sharding exchanges them."""
        return self.head.weight, self.head.bias

    def _hidden(self, batch: Batch) -> torch.Tensor:
        """Return what goes into the head for the learnt tokens [answer tokens, size]."""
        kept = self.tensor(batch.kept)
        by_layers = self.way == "layers"
        with self._computing(batch):
            hidden: torch.Tensor = self.decoder(
                input_ids=self.tensor(batch.input_ids),
                position_ids=self.tensor(batch.position_ids),
                attention_mask=backend.no_mask(self.device),
                use_cache=False,
                sequences=batch.sequences,
                **({"kept": kept} if by_layers else {}),
            ).last_hidden_state[0]
        if not by_layers:
            hidden = hidden.index_select(0, kept)
        return hidden.to(torch.bfloat16) if self._autocast else hidden

    @contextmanager
    def _computing(self, batch: Batch) -> Iterator[None]:
        if self._noise is not None:
            self._noise.lengths = self.tensor(sample_lengths(batch))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            yield

    def tensor(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def _compact_at_peaks(embeddings: Any, decoder: Any, head: Any, tied: TiedWeight | None) -> None:
    """Have free memory given back where a step is about to take most.

    Before the head, where it is called, all activations are there and logits are to come. When the
    embeddings' gradient comes, as large as they are unless it is added to the head's, all others
    are there; and nearly all when the bottom layer is computed again for its own. Pages given back
    are cleared when they are taken again: more often than needed cost 1.5 % of a step.
    """

    def before_logits(module: Any, _inputs: Any) -> None:
        if module.training:
            compact()

    def before_gradient(module: Any, _inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if module is embeddings:
            large = tied is None or tied.of_pass is None
        else:
            large = module.gradient_checkpointing
        if large and hidden.requires_grad:
            hidden.register_hook(lambda _gradient: compact())

    if head is not None:
        head.register_forward_pre_hook(before_logits)
    embeddings.register_forward_hook(before_gradient)
    for bottom in list(getattr(decoder, "layers", ()))[:1]:
        if hasattr(bottom, "gradient_checkpointing"):
            bottom.register_forward_hook(before_gradient)


def _length_limit(config: Any) -> int | None:
    """Return up to how many tokens a sample's rotary angles do not hang on its batch; None: ever.

    `dynamic` and `longrope` turn all samples of a batch by the longest one.
    """
    given = getattr(config, "rope_parameters", None) or {}
    each_kind = [each for each in given.values() if isinstance(each, dict)] or [given]
    limits = [
        each.get("original_max_position_embeddings") or config.max_position_embeddings
        for each in each_kind
        if each.get("rope_type") in ("dynamic", "longrope")
    ]
    return min(limits, default=None)
