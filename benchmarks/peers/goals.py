"""What Tunesmith means to reach against its peers, and what it has reached. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.peers.environments import PEERS
from benchmarks.peers.figures import OURS, Cell, Summary

PACKING = ("packing", "padding_free")
Found = Mapping[Cell, Summary]


@dataclass(frozen=True)
class Goal:
    """A figure to reach, and the one measured; None where a run for it is missing."""

    words: str
    wanted: float
    reached: float | None
    unit: str = "x"
    at_least: bool = True

    @property
    def sentence(self) -> str:
        sign = ">=" if self.at_least else "<="
        text = f"{self.words}: {sign} {self.wanted:g} {self.unit}, "
        if self.reached is None:
            return text + "not measured"
        good = self.reached >= self.wanted if self.at_least else self.reached <= self.wanted
        return text + f"{self.reached:.3g} {self.unit}" + ("" if good else ": **not reached**")


def goals(found: Found) -> Iterator[Goal]:
    for method, trl, others, limit, memory in (
        ("lora", 2.4, 1.8, 65, 0.45),
        ("full", 2.3, 1.7, 70, 0.65),
    ):
        ours = found.get(Cell("mixed", method, OURS, "plain"))
        share = 100 * ours.share_of_limit if ours else None
        yield Goal(f"mixed, {method}: speed, TRL", trl, speed(found, "mixed", method, ("trl",)))
        peers = ("llamafactory", "ms-swift")
        reached = speed(found, "mixed", method, peers)
        yield Goal(f"mixed, {method}: speed, LLaMA-Factory and ms-swift", others, reached)
        if method == "lora":
            reached = speed(found, "mixed", method, PEERS, PACKING)
            yield Goal("mixed, lora: speed, the best packing mode of any", 1.3, reached)
        yield Goal(f"mixed, {method}: of the limit", limit, share, "%")
        reached = memory_ratio(found, method, PEERS, "plain")
        words = f"mixed, {method}: peak memory, any peer without checkpointing"
        yield Goal(words, memory, reached, at_least=False)
    reached = memory_ratio(found, "lora", ("trl",), "checkpointing")
    yield Goal("mixed, lora: peak memory, both checkpointing, TRL", 0.45, reached, at_least=False)
    for workload, wanted in (("system300", 4), ("vocab152k", 5), ("oneword", 2)):
        yield Goal(
            f"{workload}, lora: speed, TRL", wanted, speed(found, workload, "lora", ("trl",))
        )
    tiny = found.get(Cell("tiny", "lora", OURS, "plain"))
    first = tiny.first_step_seconds if tiny else None
    yield Goal("tiny, lora: start to first step", 5, first, "s", at_least=False)


def speed(
    found: Found,
    workload: str,
    method: str,
    peers: tuple[str, ...],
    modes: tuple[str, ...] = ("plain",),
) -> float | None:
    """Return our tokens/s by those of the fastest of `peers` in `modes`."""
    ours = found.get(Cell(workload, method, OURS, "plain"))
    theirs = _of(found, workload, method, peers, modes)
    if ours is None or not theirs:
        return None
    return ours.tokens_per_second / max(each.tokens_per_second for each in theirs)


def memory_ratio(found: Found, method: str, peers: tuple[str, ...], mode: str) -> float | None:
    """Return our peak on `mixed` by that of the leanest of `peers`, in the same mode."""
    ours = found.get(Cell("mixed", method, OURS, mode))
    theirs = _of(found, "mixed", method, peers, (mode,))
    if ours is None or not theirs:
        return None
    return ours.peak_mib / min(each.peak_mib for each in theirs)


def _of(
    found: Found, workload: str, method: str, peers: tuple[str, ...], modes: tuple[str, ...]
) -> list[Summary]:
    cells = (Cell(workload, method, peer, mode) for peer in peers for mode in modes)
    return [found[cell] for cell in cells if cell in found]
