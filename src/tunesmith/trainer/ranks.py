"""The processes of a run: alone, or one a device (a rank), and what they tell each other.

What decides where a run goes (a stop, a loss, a gradient) is the same on all ranks or is agreed on
here: a rank that left the loop a step earlier than another would leave that one waiting.
torch.distributed is imported by `Group` only: a run on one device never loads it.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np

from tunesmith.prompt.encoded import Ints
from tunesmith.run_directory import RunDirectory, read_json

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
RANK = "--rank"  # the argument of a process that is one of several
# Ranks wait while the first one writes a checkpoint. That a rank has died is noticed elsewhere
# (`several.py`), so this only ends what nobody can explain.
TIMEOUT = timedelta(hours=6)
MEETING_TIMEOUT = timedelta(minutes=5)  # for the first connection of ranks that are all there
LOOK_EVERY = 0.02  # seconds
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
BUCKET = 1 << 25  # numbers that are summed over ranks in one go: 128 MiB of fp32


class Place(NamedTuple):
    """Which process of a run this is."""

    rank: int = 0
    world_size: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that reports and writes."""
        return self.rank == 0


ALONE = Place()


def devices_of(directory: RunDirectory) -> int:
    """Return how many processes the run has: one a device. 1 where the spec cannot be read."""
    try:
        return max(1, len((read_json(directory.spec) or {}).get("devices", ())))
    except (OSError, ValueError, TypeError):
        return 1  # the trainer says what is wrong with it


def place_of_this_process() -> Place:
    """Return the place that torch's elastic launcher gave this process."""
    return Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends.

    Not SIGTERM: a rank that waits for one that is gone hears nothing.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


class Ranks(Protocol):
    """The processes of a run, seen from one of them. All call the same methods in the same order,
    `share` and `in_turn` apart from the rest."""

    place: Place

    def in_turn(self, work: Callable[[], T]) -> T:
        """Do `work` when the first rank has done it, and return its result.

        For what the first one leaves on the disk for the others: a download, a cache.
        """
        ...

    def share(self, indices: Ints, lengths: Ints) -> Ints:
        """Return this rank's part of the samples `indices`, [samples], of `lengths`, [samples].

        The parts hold about equally many tokens; one may be empty.
        """
        ...

    def any(self, here: bool) -> bool:
        """Return whether it is true on any rank."""
        ...

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sum over all ranks of each value, the same to the bit everywhere."""
        ...

    def highest(self, value: int) -> int:
        """Return the largest of all ranks' values."""
        ...

    def sum_gradients(self, parameters: "Sequence[torch.nn.Parameter]") -> None:
        """Give each of `parameters` the sum of all ranks' gradients."""
        ...

    def gather(self, state: "dict[str, torch.Tensor]") -> "list[dict[str, torch.Tensor]]":
        """Return every rank's `state`; its tensors lie on the CPU and have one shape and dtype."""
        ...


class Alone:
    """A run in one process: `Ranks` with nobody to ask."""

    place = ALONE

    def in_turn(self, work: Callable[[], T]) -> T:
        return work()

    def share(self, indices: Ints, lengths: Ints) -> Ints:
        return indices

    def any(self, here: bool) -> bool:
        return here

    def total(self, values: Sequence[float]) -> list[float]:
        return list(values)

    def highest(self, value: int) -> int:
        return value

    def sum_gradients(self, parameters: "Sequence[torch.nn.Parameter]") -> None:
        pass

    def gather(self, state: "dict[str, torch.Tensor]") -> "list[dict[str, torch.Tensor]]":
        return [state]


class Group:
    """`Ranks` that talk by gloo about numbers on the CPU, and by NCCL about those on GPUs.

    Decisions go by the CPU: no GPU has to be waited for, and none is stopped by them.
    """

    def __init__(self, place: Place, device: "torch.device") -> None:
        """Meet the other ranks. A stop may interrupt it until all are there."""
        import torch
        from torch import distributed as dist
        from torch.distributed.distributed_c10d import PrefixStore

        on_gpu = device.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(device)
        self.place = place
        # All ranks are processes of this machine.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        store = dist.TCPStore(  # type: ignore[attr-defined]
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=place.first and not served,
            timeout=MEETING_TIMEOUT,
            wait_for_workers=False,
        )
        self._store = PrefixStore("tunesmith", store)
        self._turns = 0
        self._tell(f"here/{place.rank}")
        for rank in range(place.world_size):
            self._wait_for(f"here/{rank}")
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "cpu:gloo",
            store=PrefixStore("group", store),
            rank=place.rank,
            world_size=place.world_size,
            timeout=TIMEOUT,
        )

    def in_turn(self, work: Callable[[], T]) -> T:
        self._turns += 1
        done = f"turn/{self._turns}"
        if not self.place.first:
            self._wait_for(done)
            return work()
        result = work()
        self._tell(done)
        return result

    def share(self, indices: Ints, lengths: Ints) -> Ints:
        return indices[divide(lengths, self.place.world_size)[self.place.rank]]

    def any(self, here: bool) -> bool:
        return self.total([float(here)])[0] > 0

    def total(self, values: Sequence[float]) -> list[float]:
        import torch
        import torch.distributed as dist

        summed = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(summed)
        return [float(value) for value in summed]

    def highest(self, value: int) -> int:
        import torch
        import torch.distributed as dist

        found = torch.tensor([value], dtype=torch.int64)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def sum_gradients(self, parameters: "Sequence[torch.nn.Parameter]") -> None:
        # Not DistributedDataParallel: that hooks into its own forward, which fused losses and
        # decoders called directly go round, and it waits for ever for a rank that has no samples.
        # Summing once an optimiser step, after the last micro-batch, is exact in any case. What it
        # gives up is doing so during the backward pass: next to nothing for an adapter (MBs); for
        # a small full run 4 bytes a weight once a step.
        import torch
        import torch.distributed as dist

        for together in _buckets(parameters):
            gradients = [
                torch.zeros_like(weight) if weight.grad is None else weight.grad
                for weight in together
            ]
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in gradients])
            for weight, part in zip(together, parts, strict=True):
                summed = part.view(weight.shape)
                if weight.grad is None:
                    weight.grad = summed.clone()  # a view would keep the whole bucket
                else:
                    weight.grad.copy_(summed)

    def gather(self, state: "dict[str, torch.Tensor]") -> "list[dict[str, torch.Tensor]]":
        import torch
        import torch.distributed as dist

        found: list[dict[str, torch.Tensor]] = [{} for _ in range(self.place.world_size)]
        for name, value in state.items():
            values = [torch.empty_like(value) for _ in range(self.place.world_size)]
            dist.all_gather(values, value)
            for there, gathered in zip(found, values, strict=True):
                there[name] = gathered
        return found

    def _tell(self, key: str) -> None:
        self._store.set(key, "")

    def _wait_for(self, key: str) -> None:
        # Not store.wait: a stop could not interrupt it.
        while not self._store.check([key]):
            time.sleep(LOOK_EVERY)


def divide(lengths: Ints, parts: int) -> list[Ints]:
    """Return, for each part, which of the samples of `lengths` [samples] are its own, in order.

    Longest first, always to the part with the fewest tokens (Graham's LPT rule: the fullest part
    has at most 4/3 of the best division's). Ties go to the first. Pure.
    """
    tokens = [0] * parts
    found: list[list[int]] = [[] for _ in range(parts)]
    for index in np.argsort(-lengths, kind="stable"):
        part = tokens.index(min(tokens))
        tokens[part] += int(lengths[index])
        found[part].append(int(index))
    return [np.array(sorted(chosen), dtype=np.int64) for chosen in found]


def is_lost_peer(error: BaseException) -> bool:
    """Whether `error` only says that another rank is gone, or does not answer."""
    text = f"{type(error).__name__}: {error}"
    # gloo raises RuntimeError with its source file in the text; torch has DistBackendError,
    # DistNetworkError, DistStoreError.
    return isinstance(error, RuntimeError) and any(
        sign in text
        for sign in ("gloo", "DistBackendError", "DistNetworkError", "DistStoreError", "NCCL")
    )


def _buckets(
    parameters: "Sequence[torch.nn.Parameter]",
) -> "Iterator[list[torch.nn.Parameter]]":
    """Yield lists of one dtype and BUCKET numbers at most, or of one parameter.

    Those of a sharded model are left out: their gradients are summed in the backward pass.
    """
    together: list[Any] = []
    numbers = 0
    for weight in parameters:
        if hasattr(weight, "full_tensor"):
            continue
        full = numbers + weight.numel() > BUCKET
        if together and (full or together[-1].dtype != weight.dtype):
            yield together
            together, numbers = [], 0
        together.append(weight)
        numbers += weight.numel()
    if together:
        yield together
