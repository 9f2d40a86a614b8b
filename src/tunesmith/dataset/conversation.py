"""One sample of a data set: a conversation of one or more turns."""

from dataclasses import dataclass
from typing import NamedTuple


class Turn(NamedTuple):
    """A question and its answer, which is what is learnt."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """One row. There is at least one turn; neither questions nor answers are empty."""

    turns: tuple[Turn, ...]
    system: str | None
    """System text of this row; it goes before the task's `system_prompt`."""
    line: int
    """Line of the file (JSONL), else row, from 1: for messages."""
