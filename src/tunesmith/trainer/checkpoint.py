"""Checkpoints: `checkpoint-<step>/` in the output path, whole or not there, the oldest pruned."""

import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tunesmith.run_directory import write_json
from tunesmith.trainer.adapter import adapter_bytes, write_adapter
from tunesmith.trainer.disk import draft, flush


@dataclass(frozen=True)
class TrainerState:
    """Where a run is: with the spec, this and the files beside it, it can go on."""

    step: int
    total_steps: int
    epoch: float
    micro_batch: int
    """Micro-batches done in the epoch that `step` lies in."""
    seed: int
    samples: int
    base_model: str
    format: int = 1


class Checkpoints:
    """Saves and prunes the checkpoints of one output directory."""

    def __init__(self, output: Path, keep: int) -> None:
        self._output = output
        self._keep = keep
        self.last_step: int | None = None

    def needed_bytes(self, model: Any) -> int:
        """Return about what a checkpoint takes: the adapter and AdamW's two moments of it."""
        return 3 * adapter_bytes(model)

    def save(
        self,
        model: Any,
        optimizer: torch.optim.Optimizer,
        rng: dict[str, torch.Tensor],
        state: TrainerState,
    ) -> Path:
        """Write a checkpoint and return its directory. Raises RunFailure `disk_full`."""
        target = self._output / f"checkpoint-{state.step}"
        with draft(self._output, target.name, self.needed_bytes(model)) as directory:
            write_adapter(model, state.base_model, directory)
            torch.save(optimizer.state_dict(), directory / "optimizer.pt")
            torch.save(rng, directory / "rng_state.pt")
            write_json(directory / "trainer_state.json", asdict(state))
            flush(directory)
            directory.rename(target)
        self.last_step = state.step
        self._prune()
        return target

    def _prune(self) -> None:
        for _, path in sorted(find_checkpoints(self._output))[: -self._keep]:
            shutil.rmtree(path)


def find_checkpoints(output: Path) -> list[tuple[int, Path]]:
    """Return (step, directory) of the checkpoints in `output`."""
    found = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in output.iterdir())
    return [(int(match[1]), path) for match, path in found if match]


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of the random number generators that training draws from (dropout)."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state
