"""FSDP2: a model that one device cannot hold, its weights divided over all (torch `fully_shard`).

Imported only by runs that are sharded.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tunesmith.errors import RunFailure
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.ranks import Ranks


class Sharded:
    """A model whose weights are divided over the ranks, decoder layer by decoder layer.

    A layer is gathered when it runs and let go afterwards; what is no layer (embeddings, head,
    last norm) is gathered for as long as a pass through the model takes.
    """

    def __init__(self, base: Any, tuned: Any, device: torch.device, ranks: Ranks) -> None:
        """Divide `tuned`, of which `base` is a part: on the first rank's CPU, on `meta` elsewhere.

        One layer at a time goes to every rank's `device` and leaves a part there: the weights are
        read once, and lie in the machine's memory once.
        """
        self._ranks = ranks
        self._root = _Entry(tuned)
        layers = decoder_layers(base)
        mesh = init_device_mesh(device.type, (ranks.place.world_size,))
        # No MixedPrecisionPolicy: weights are gathered as they are and computed with under the same
        # autocast as on one device, so that losses are the same. (Gathering bf16 would halve what
        # goes over the wire.)
        for layer in layers:
            _spread(list(layer.modules()), base, device, ranks)
            fully_shard(layer, mesh=mesh)
        inside = {module for layer in layers for module in layer.modules()}
        rest = [module for module in self._root.modules() if module not in inside]
        _spread(rest, base, device, ranks)
        fully_shard(self._root, mesh=mesh)
        for module in self._root.modules():
            if isinstance(module, FSDPModule):
                # Sums, not means: a rank's loss is divided by the labels of the whole step already.
                # As a plain sum, because gloo knows no other way to scale.
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def call(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Return function(*given, **named), within which the model can be run. All ranks do so.

        Functions may go round the model's own forward and use the head's weight as it is.
        """
        result = self._root(function, *given, **named)
        if not torch.is_grad_enabled():
            # Else the root would stay gathered until a backward pass, and keep its old values if
            # weights are loaded meanwhile.
            self._root.reshard()  # type: ignore[operator]
        return result

    def join(self, forward: Forward, samples: EncodedSamples) -> None:
        """Make the passes of `forward` ones that all ranks take together.

        Ranks may take different numbers of them: one that has done its own calls `finish`, and
        takes the others' with them with the shortest of `samples`.
        """
        shortest = samples.lengths.argsort()[:1]
        self._idle = partial(forward.loss_sum, forward.batch(samples, shortest))
        loss_sum, scores = forward.loss_sum, forward.scores
        # On this object only; to those who call it, it is the same forward.
        forward.loss_sum = partial(self._pass, loss_sum)  # type: ignore[method-assign]
        forward.scores = torch.no_grad()(partial(self._pass, scores))  # type: ignore[method-assign]

    def finish(self) -> None:
        """Take part in the passes, and their backward passes, that other ranks still have."""
        while self._ranks.any(False):
            nothing = self.call(self._idle) * 0.0
            if torch.is_grad_enabled():
                nothing.backward()

    def _pass(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self._ranks.any(True)
        return self.call(function, *given, **named)


class _Entry(nn.Module):
    """The root of the division. Whatever runs inside its forward finds the weights gathered."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        return function(*given, **named)


def _spread(modules: Sequence[nn.Module], base: Any, device: torch.device, ranks: Ranks) -> None:
    """Put what the first rank's `modules` themselves hold on the `device` of every rank."""
    for module in modules:
        if ranks.place.first:
            module._apply(lambda each: each.to(device), recurse=False)  # type: ignore[no-untyped-call]
        else:
            module.to_empty(device=device, recurse=False)
    if not ranks.place.first:
        base.tie_weights()  # what was one tensor on meta has become two
    own = [
        tensor
        for module in modules
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
    ]
    for tensor in {id(each): each for each in own}.values():
        dist.broadcast(tensor.detach(), src=0)


def decoder_layers(base: Any) -> list[nn.Module]:
    """Return the equal layers that make up most of `base`.

    Raises RunFailure `sharding_impossible` if there are none.
    """
    stacks = [
        list(module)
        for module in base.modules()
        if isinstance(module, nn.ModuleList) and len({type(layer) for layer in module}) == 1
    ]
    if not stacks:
        reason = f"{type(base).__name__} has no list of layers"
        raise RunFailure("sharding_impossible", reason=reason)
    return max(stacks, key=lambda layers: sum(w.numel() for x in layers for w in x.parameters()))


def part_of(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of `whole`, divided as `like` is. Nothing goes between the ranks."""
    assert isinstance(like, DTensor)
    here = whole.to(like.device, like.dtype)
    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)
