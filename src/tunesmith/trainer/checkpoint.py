"""Checkpoints: `checkpoint-<step>/` in the output path, whole or not there, the oldest pruned."""

import hashlib
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import RunFailure
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.run_directory import read_json, write_json
from tunesmith.spec import Spec
from tunesmith.trainer.disk import draft, flush
from tunesmith.trainer.optimizer_file import OPTIMIZER, load_optimizer, write_optimizer
from tunesmith.trainer.ranks import ALONE, Place
from tunesmith.trainer.weights import trained_parameters, weights_bytes, write_weights

FORMAT = 3
RNG, STATE = "rng_state.pt", "trainer_state.json"
# A run that goes on with another of these would be another run.
MUST_MATCH = (
    "method",
    "quantization_bits",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_target_modules",
    "use_rslora",
    "use_dora",
    "max_seq_length",
    "seed",
)
SAMPLES_PER_STEP = "per_device_train_batch_size x gradient_accumulation_steps x devices"


@dataclass(frozen=True)
class Best:
    """The evaluation with the lowest eval_loss so far, and its checkpoint."""

    step: int
    eval_loss: float
    token_accuracy: float
    path: str
    worse: int = 0
    """Evaluations since then."""


@dataclass(frozen=True)
class TrainerState:
    """Where a run is: with the spec, this and the files beside it, it can go on."""

    step: int
    total_steps: int
    samples: int
    data: str
    """SHA-256 of the training samples' token ids and label masks."""
    base_model: str
    arguments: dict[str, Any]
    """The training arguments of the run."""
    loss_sum: float
    labels: int
    """Loss and answer tokens since the last metrics event."""
    final: dict[str, float]
    best: Best | None = None
    evaluated: int = 0
    """The step of the last evaluation."""
    devices: int = 1
    """Processes that the run had, one a device."""
    format: int = FORMAT


@dataclass(frozen=True)
class Resume:
    """A checkpoint to go on from."""

    path: Path
    state: TrainerState = field(repr=False)


class Checkpoints:
    """Saves and prunes the checkpoints of one output directory."""

    def __init__(self, output: Path, keep: int, *, writes: bool = True) -> None:
        """Of several ranks one `writes`; where weights are divided, the others send it theirs."""
        self._output = output
        self._keep = keep
        self._writes = writes
        self.last_step: int | None = None
        self.best: Path | None = None
        """Never pruned."""

    def path_of(self, step: int) -> Path:
        return self._output / f"checkpoint-{step}"

    def needed_bytes(self, model: Any) -> int:
        """Return about what a checkpoint takes: the trained weights and AdamW's two moments."""
        return weights_bytes(model) + 2 * sum(p.numel() * 4 for p in trained_parameters(model))

    def save(
        self,
        model: Any,
        optimizer: torch.optim.Optimizer,
        rng: list[dict[str, torch.Tensor]],
        state: TrainerState,
    ) -> Path:
        """Write a checkpoint and return its directory. Raises RunFailure `disk_full`.

        `rng` holds `rng_state` of each rank.
        """
        target = self.path_of(state.step)
        self.last_step = state.step
        if not self._writes:
            write_weights(model, state.base_model, None, original_names=False)
            write_optimizer(optimizer, None)
            return target
        with draft(self._output, target.name, self.needed_bytes(model)) as directory:
            write_weights(model, state.base_model, directory, original_names=False)
            write_optimizer(optimizer, directory)
            torch.save(rng, directory / RNG)
            write_json(directory / STATE, asdict(state))
            flush(directory)
            if target.exists():  # damaged: a whole one would have been gone on from
                shutil.rmtree(target)
            directory.rename(target)
        self._prune()
        return target

    def adopt(self, path: Path) -> Path:
        """Make the best checkpoint of an earlier task part of this output; return where it is.

        That output may be deleted while this run goes on. Raises RunFailure `checkpoint_unusable`
        or `disk_full`.
        """
        target = self._output / path.name
        if path != target and self._writes:
            read_state(path)
            needed = sum(file.stat().st_size for file in path.iterdir())
            with draft(self._output, target.name, needed) as directory:
                shutil.copytree(path, directory, dirs_exist_ok=True)
                flush(directory)
                directory.rename(target)
        self.best = target
        return target

    def _prune(self) -> None:
        for _, path in sorted(find_checkpoints(self._output))[: -self._keep]:
            if path != self.best:
                shutil.rmtree(path)


def find_checkpoints(output: Path) -> list[tuple[int, Path]]:
    """Return (step, directory) of the checkpoints in `output`."""
    found = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in output.iterdir())
    return [(int(match[1]), path) for match, path in found if match]


def find_resume(spec: Spec) -> Resume | None:
    """Return the newest whole checkpoint of an earlier attempt, else the one that `spec` names.

    Raises RunFailure `checkpoint_unusable` or `checkpoint_of_other_run`.
    """
    path = _newest_whole(Path(spec.output_path)) if spec.attempt > 1 else None
    if path is None:
        if spec.training.resume_from_checkpoint is None:
            return None
        path = Path(spec.training.resume_from_checkpoint)
    state = read_state(path)
    _require_same(spec, state, path)
    return Resume(path, state)


def read_state(path: Path) -> TrainerState:
    """Return the state in the checkpoint `path`. Raises RunFailure `checkpoint_unusable`."""
    missing = [name for name in (STATE, OPTIMIZER, RNG) if not (path / name).is_file()]
    if missing or not any(path.glob("*.safetensors")):
        lacking = ", ".join(missing) or "weights (*.safetensors)"
        raise RunFailure("checkpoint_unusable", path=str(path), reason=f"it has no {lacking}")
    try:
        values = read_json(path / STATE) or {}
        best = values.pop("best", None)
        state = TrainerState(**values, best=None if best is None else Best(**best))
    except (OSError, ValueError, TypeError) as error:
        raise RunFailure("checkpoint_unusable", path=str(path), reason=str(error)) from None
    if state.format != FORMAT:
        reason = f"its format is {state.format}; this version reads {FORMAT}"
        raise RunFailure("checkpoint_unusable", path=str(path), reason=reason)
    return state


def data_hash(samples: EncodedSamples) -> str:
    """Return what tells whether a run goes on with the data that it began with."""
    digest = hashlib.sha256()
    for array in (samples.tokens, samples.starts, samples.learnt):
        digest.update(array.tobytes())
    return digest.hexdigest()


def require_same_data(resume: Resume, samples: EncodedSamples) -> None:
    """Raise RunFailure `checkpoint_of_other_run` unless it was made with these samples."""
    if resume.state.data != data_hash(samples):
        there, here = f"{resume.state.samples} samples", f"{len(samples)} samples"
        if there == here:
            there, here = "others", "these"
        params = {"name": "the training samples", "there": there, "here": here}
        raise RunFailure("checkpoint_of_other_run", path=str(resume.path), **params)


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of the random number generators that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def restore(
    resume: Resume,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    place: Place = ALONE,
) -> None:
    """Put optimizer and random number generators where they were at the checkpoint.

    A rank that the run did not have then keeps the numbers that it starts with.
    """
    try:
        saved = torch.load(resume.path / RNG, weights_only=True)
        load_optimizer(optimizer, resume.path, device)
    except Exception as error:  # whatever a damaged file makes torch raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunFailure("checkpoint_unusable", path=str(resume.path), reason=reason) from error
    if place.rank < len(saved):
        set_rng_state(saved[place.rank], device)


def _newest_whole(output: Path) -> Path | None:
    saved = find_checkpoints(output) if output.is_dir() else []
    for _, path in sorted(saved, reverse=True):
        with suppress(RunFailure):
            read_state(path)
            return path
    return None


def _require_same(spec: Spec, state: TrainerState, path: Path) -> None:
    here = spec.training.model_dump(mode="json") | {"base_model": spec.base_model}
    there = state.arguments | {"base_model": state.base_model}
    # However many devices and micro-batches make it up.
    here[SAMPLES_PER_STEP] = spec.samples_per_step
    there[SAMPLES_PER_STEP] = (
        there["per_device_train_batch_size"] * there["gradient_accumulation_steps"] * state.devices
    )
    unused = {"full": ("lora", "use_", "quantization"), "lora": ("quantization",), "qlora": ()}
    for name in ("base_model", *MUST_MATCH, SAMPLES_PER_STEP):
        if name.startswith(unused[spec.training.method]) or there.get(name) == here[name]:
            continue
        params = {"name": name, "there": str(there.get(name)), "here": str(here[name])}
        raise RunFailure("checkpoint_of_other_run", path=str(path), **params)
