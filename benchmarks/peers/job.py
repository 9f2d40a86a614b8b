"""What a runner is asked to do, and what it found. Standard library only: peers import it too."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

BATCH_SIZE, MAX_LENGTH = 4, 512
LORA_R, LORA_ALPHA = 8, 16
LEARNING_RATES = {"lora": 1e-4, "full": 2e-5}
SEED = 42


@dataclass(frozen=True)
class Job:
    """One run of one peer."""

    peer: str
    method: str
    """lora or full."""
    mode: str
    """plain, checkpointing, padding_free or packing."""
    model: str
    """Directory with config, weights and tokenizer; its chat template is `workloads.TEMPLATE`."""
    data: str
    """A .jsonl file of prompt/completion conversations, in the order in which they are learnt."""
    steps: int
    scratch: str
    """An empty directory for whatever the peer writes."""

    @property
    def learning_rate(self) -> float:
        return LEARNING_RATES[self.method]

    @classmethod
    def read(cls, path: str) -> Self:
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    def rows(self) -> list[dict[str, Any]]:
        with Path(self.data).open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]


@dataclass(frozen=True)
class Measured:
    """What a runner prints as its last line, in JSON."""

    seconds: list[float]
    """Of each step, from the end of the one before it (the first: from the training's start)."""
    tokens: list[int]
    """Of each step, without padding."""
    labels: list[int]
    """Of each step: tokens that are learnt."""
    losses: list[float]
    """Of each step: mean over its labels."""
    first_batch: list[str]
    """A hash of each sample of the first step; [] where packing hides them."""
    peak_bytes: int
    """Resident high water of the process up to the end of the last step."""
    before_model_bytes: int
    """Resident before the model's weights were loaded."""
    first_step_seconds: float
    """From the start of the process to the end of the first step."""
    versions: dict[str, str]

    def line(self) -> str:
        return json.dumps(asdict(self))
