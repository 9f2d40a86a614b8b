"""What a prompt format is made of: control tokens, and spans of text with places for contents.

Pure. A format says it once per shape of conversation; rows only fill in their texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from tunesmith.dataset.conversation import Conversation


class Shape(NamedTuple):
    """What a format depends on: how many turns, and whether there is a system text."""

    turns: int
    system: bool


@dataclass(frozen=True)
class Content:
    """The place of a text of the row. `treat` is what the format does to it: str or str.strip."""

    kind: Literal["system", "question", "answer"]
    turn: int = 0
    treat: Callable[[str], str] = str

    def of(self, conversation: Conversation) -> str:
        if self.kind == "system":
            return self.treat(conversation.system or "")
        turn = conversation.turns[self.turn]
        return self.treat(turn.question if self.kind == "question" else turn.answer)


@dataclass(frozen=True)
class Control:
    """A control token. Only a format or a template makes one, never a text."""

    token: str
    learnt: bool = False


@dataclass(frozen=True)
class Span:
    """Text that is encoded in one go, blind to control tokens."""

    parts: tuple[str | Content, ...]
    learnt: bool = False
    opens: bool = True
    """Encoded as a text of its own; else it goes on where another one stopped, and a tokenizer
    that puts a blank before the first word of a text must not do so here."""

    def text(self, conversation: Conversation) -> str:
        if len(self.parts) == 1 and isinstance(only := self.parts[0], Content):
            return only.of(conversation)  # most spans; twice as fast
        return "".join(
            part if isinstance(part, str) else part.of(conversation) for part in self.parts
        )


Piece = Control | Span


def finish(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Drop what follows the last learnt piece: nothing is learnt from it."""
    end = max((place for place, piece in enumerate(pieces) if piece.learnt), default=-1) + 1
    return tuple(pieces[:end])


def prompt_of(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Return the pieces before the last answer, whose pieces are the learnt ones at the end."""
    end = len(pieces)
    while end and pieces[end - 1].learnt:
        end -= 1
    return tuple(pieces[:end])


def with_system_in_question(conversation: Conversation) -> Conversation:
    """Put the system text before the first question, for formats without a system role."""
    if conversation.system is None:
        return conversation
    first, *others = conversation.turns
    question = f"{conversation.system}\n\n{first.question}"
    return replace(conversation, turns=(first._replace(question=question), *others), system=None)
