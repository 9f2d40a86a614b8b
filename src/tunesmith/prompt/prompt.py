"""Conversations -> token ids, and which of them are learnt.

Every text is encoded apart from the control tokens around it, blind to them, so that no text of
a user or a data set can become one. Prompt and answer are encoded apart too, as they are at
inference, where the answer does not exist yet when the prompt is encoded.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.families import Family
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.prompt.formats import FORMATS, Format
from tunesmith.prompt.pieces import (
    Content,
    Control,
    Piece,
    Shape,
    Span,
    finish,
    prompt_of,
    with_system_in_question,
)
from tunesmith.prompt.segments import SegmentEncoder, Text, Tokens, literal
from tunesmith.prompt.template import ChatTemplate, RowAltered, plain_template, shape_of

ROWS_AT_ONCE = 2000  # the fewer chunks, the fewer waits of two threads for one interpreter
CHARACTERS_AT_ONCE = 1 << 20
AHEAD = 2  # chunks that the tokenizer has before it, so that it never waits for Python


@dataclass(frozen=True)
class Encoded:
    """The encoded samples of a file, and what had to be done to fit them."""

    samples: EncodedSamples
    read: int
    truncated: int
    longest: int
    """Tokens of the longest sample before it was cut."""
    skipped: int
    first_skipped: int | None
    """Line of the first sample that has no answer token left."""
    refused: tuple[tuple[int, str], ...] = ()
    """Rows left out, by line, and the control token typed in each that cannot be kept apart."""
    with_system: int = 0
    """How many conversations have a system text."""


class Prompt:
    """Encodes conversations for one tokenizer, family and system text.

    Raises RunFailure `template_mismatch` for a chat template that cannot be used for training.
    """

    def __init__(self, tokenizer: Any, family: Family, system_prompt: str | None) -> None:
        self._tokenizer = tokenizer
        self._family = family
        self._system = system_prompt
        vocabulary = tokenizer.get_vocab()
        self._stops = [token for token in family.stop_tokens if token in vocabulary]
        own_template = bool(tokenizer.chat_template)
        self.format = _format_of(family, vocabulary, own_template)
        """The family's format in use; None where a chat template is."""
        self.template: ChatTemplate | None = None
        if self.format is None:
            if not own_template:
                tokenizer.chat_template = plain_template(tokenizer)
            self.template = ChatTemplate(tokenizer, next(iter(self._stops), None))
            controls = {*self.template.control_tokens} & vocabulary.keys()
        else:
            controls = {token.content for token in tokenizer.added_tokens_decoder.values()}
            controls |= {*tokenizer.all_special_tokens, *self.format.controls}
            controls = {token for token in controls if token in vocabulary}
        self._encoder = SegmentEncoder(tokenizer, controls)
        self._pool: list[Tokens] = []
        self._places: dict[tuple[str, bool | None], int] = {}
        opens = self._probe_opens()
        if self.template is not None:
            self.template.opens_after_control(opens)
        self.is_plain = not own_template and self.format is None
        """Neither the tokenizer nor the family has a format: a plain one is used."""
        self.own_template: str | None = None
        """A chat template for the result, where the tokenizer had none."""
        if not own_template:
            blank = "" if opens else " "
            self.own_template = (
                tokenizer.chat_template
                if self.format is None
                else self.format.template.replace("OPEN", blank)
            )
        self._plans: dict[tuple[Shape, bool], _Plan] = {}
        self._plan(self._shape(Shape(1, system_prompt is not None)), system_prompt is not None)

    @property
    def format_name(self) -> str:
        """The family's format, "plain", or "template" for the tokenizer's own."""
        if self.format is not None:
            return self._family.prompt_format
        return "plain" if self.is_plain else "template"

    @property
    def has_system_role(self) -> bool:
        """Without one a system text goes before the first question."""
        if self.template is not None:
            return self.template.has_system_role
        return self.format is not None and self.format.has_system_role

    @property
    def end_token_id(self) -> int | None:
        """The token that ends an answer."""
        last = self._pieces(self._shape(Shape(1, self._system is not None)))[-1]
        return self._encoder.control_id(last.token) if isinstance(last, Control) else None

    @property
    def stop_token_ids(self) -> list[int]:
        """All tokens at which a generated answer has ended, the trained one first."""
        ids = [self.end_token_id, *map(self._encoder.control_id, self._stops)]
        ids.append(self._tokenizer.eos_token_id)
        return list(dict.fromkeys(each for each in ids if each is not None))

    @property
    def fingerprint(self) -> str:
        """Everything that decides which tokens a conversation becomes, as text."""
        template = self._tokenizer.get_chat_template() if self.template is not None else ""
        return "\0".join([self._encoder.state, self.format_name, template, str(self._system)])

    def prompt_ids(
        self, question: str, history: Sequence[Turn] = (), system: str | None = None
    ) -> list[int]:
        """Return the token ids a model must see to answer `question`."""
        turns = (*history, Turn(question, "-"))
        conversation = self._complete(Conversation(turns, system, 0))
        pieces = prompt_of(self._pieces_of(conversation))
        return [int(token) for token in self._encode_pieces(pieces, conversation)[0]]

    def encode_one(self, conversation: Conversation) -> tuple[Tokens, NDArray[np.bool_]]:
        """Return all tokens of a conversation, uncut, and which of them are learnt.

        Raises RowAltered.
        """
        conversation = self._complete(conversation)
        tokens, learnt = self._encode_pieces(self._pieces_of(conversation), conversation)
        learnt[:1] = False
        return tokens, learnt

    def is_control(self, token: int) -> bool:
        return self._encoder.is_control(token)

    def encode(self, conversations: Iterable[Conversation], max_seq_length: int) -> Encoded:
        """Encode `conversations`, cutting each to `max_seq_length` tokens."""
        found = _Found(max_seq_length)
        chunks = _chunks(conversations)
        # Python reads and lays out rows while the tokenizer, which needs no interpreter, works.
        with ThreadPoolExecutor(1, "encode") as worker:
            waiting: deque[tuple[_Chunk, Future[list[Any]]]] = deque()
            for rows in chunks:
                chunk = self._lay_out(rows)
                waiting.append((chunk, worker.submit(self._encoder.start, chunk.texts)))
                if len(waiting) > AHEAD:
                    self._take(found, *waiting.popleft())
            for chunk, future in waiting:
                self._take(found, chunk, future)
        return found.encoded()

    def _take(self, found: "_Found", chunk: "_Chunk", future: Future[list[Any]]) -> None:
        found.take(chunk, *self._encoder.collect(chunk.texts, future.result()))

    def _lay_out(self, rows: list[Conversation]) -> "_Chunk":
        """Return the chunk's distinct texts, and each row as places in them."""
        chunk = _Chunk()
        known: dict[Text, int] = {}
        for row in rows:
            chunk.with_system += row.system is not None or self._system is not None
            default = row.system is None
            conversation = self._complete(row)
            shape = shape_of(conversation)
            try:
                own = self.template.row(conversation, shape) if self.template else None
            except RowAltered as altered:
                chunk.refused.append((row.line, altered.token))
                continue
            plan = (
                self._plan(shape, default)
                if own is None
                else self._compile(own, default_system=False, keeps=False)
            )
            places = chunk.places
            for piece in plan.pieces:
                if isinstance(piece, int):
                    places.append(piece)
                else:
                    key = piece.text(conversation), piece.opens
                    place = known.setdefault(key, len(known))
                    places.append(-1 - place)
            chunk.learnt += plan.learnt
            chunk.counts.append(len(plan.pieces))
            chunk.lines.append(row.line)
        chunk.texts = list(known)
        chunk.pool = [*self._pool]
        return chunk

    def _complete(self, conversation: Conversation) -> Conversation:
        """Put in the task's system text, in the place where the format has one."""
        if conversation.system is None and self._system is not None:
            conversation = replace(conversation, system=self._system)
        if conversation.system is not None and not self.has_system_role:
            return with_system_in_question(conversation)
        return conversation

    def _shape(self, shape: Shape) -> Shape:
        return shape if self.has_system_role else Shape(shape.turns, False)

    def _pieces(self, shape: Shape) -> tuple[Piece, ...]:
        if self.template is not None:
            return self.template.shape(shape)
        assert self.format is not None
        return finish(self.format.pieces(shape))

    def _pieces_of(self, conversation: Conversation) -> tuple[Piece, ...]:
        shape = shape_of(conversation)
        own = self.template.row(conversation, shape) if self.template else None
        return self._pieces(shape) if own is None else own

    def _plan(self, shape: Shape, default_system: bool) -> "_Plan":
        key = shape, default_system
        if key not in self._plans:
            self._plans[key] = self._compile(self._pieces(shape), default_system)
        return self._plans[key]

    def _compile(
        self, pieces: Sequence[Piece], default_system: bool, keeps: bool = True
    ) -> "_Plan":
        """Replace what is the same in every row by places in the pool of fixed tokens."""
        compiled: list[int | Span] = []
        for piece in pieces:
            if isinstance(piece, Control):
                compiled.append(self._keep(piece.token, None))
                continue
            span = self._with_system(piece) if default_system else piece
            text = literal(span) if keeps else None
            compiled.append(span if text is None else self._keep(*text))
        return _Plan(tuple(compiled), tuple(piece.learnt for piece in pieces))

    def _with_system(self, span: Span) -> Span:
        """Put the task's system text, the same for all rows, in its place."""
        if self._system is None:
            return span
        parts = tuple(
            part.treat(self._system)
            if isinstance(part, Content) and part.kind == "system"
            else part
            for part in span.parts
        )
        return replace(span, parts=parts)

    def _keep(self, text: str, opens: bool | None) -> int:
        """Return the place of these tokens in the pool; `opens` None is a control token."""
        key = text, opens
        if key not in self._places:
            if opens is None:
                tokens = np.array([self._encoder.control_id(text)], dtype=np.int32)
            else:
                tokens, _ = self._encoder.encode([(text, opens)])
            self._places[key] = len(self._pool)
            self._pool.append(tokens)
        return self._places[key]

    def _encode_pieces(
        self, pieces: Sequence[Piece], conversation: Conversation
    ) -> tuple[Tokens, NDArray[np.bool_]]:
        parts, learnt = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.bool_)]
        for piece in pieces:
            if isinstance(piece, Control):
                tokens = np.array([self._encoder.control_id(piece.token)], dtype=np.int32)
            else:
                tokens, _ = self._encoder.encode([(piece.text(conversation), piece.opens)])
            parts.append(tokens)
            learnt.append(np.full(len(tokens), piece.learnt))
        return np.concatenate(parts), np.concatenate(learnt)

    def _probe_opens(self) -> bool:
        """Whether the tokenizer begins a text anew after a control token."""
        controls = (
            self.format.controls if self.format is not None else sorted(self._encoder.controls)
        )
        # A token that swallows blanks would swallow the one that is looked for.
        added = {token.content: token for token in self._tokenizer.added_tokens_decoder.values()}
        usable = [text for text in controls if text in added and not added[text].rstrip]
        return not usable or self._encoder.prefixes_after_control(self._tokenizer, usable[0])


@dataclass(frozen=True)
class _Plan:
    """A shape's pieces: places in the pool, and spans that are filled with a row's texts."""

    pieces: tuple[int | Span, ...]
    learnt: tuple[bool, ...]


@dataclass
class _Chunk:
    """Some rows, laid out: which texts and fixed tokens each is made of, in order."""

    texts: list[Text] = field(default_factory=list)
    pool: list[Tokens] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """In the pool from 0 on; -1, -2, ... in `texts`."""
    learnt: list[bool] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    """Pieces of each row."""
    lines: list[int] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    with_system: int = 0


class _Found:
    """Gathers the chunks' rows, each cut to `limit` tokens."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tokens: list[Tokens] = []
        self._learnt: list[NDArray[np.bool_]] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._read = self._truncated = self._longest = self._skipped = self._with_system = 0
        self._first_skipped: int | None = None
        self._refused: list[tuple[int, str]] = []

    def take(self, chunk: _Chunk, flat: Tokens, text_lengths: NDArray[np.int64]) -> None:
        """Lay the rows' tokens end to end, without a step of Python per row or token."""
        self._read += len(chunk.counts) + len(chunk.refused)
        self._refused += chunk.refused
        self._with_system += chunk.with_system
        if not chunk.counts:
            return
        source = np.concatenate([*chunk.pool, flat])
        pool_lengths = np.fromiter(map(len, chunk.pool), dtype=np.int64, count=len(chunk.pool))
        lengths_of = np.concatenate([pool_lengths, text_lengths])
        starts_of = np.cumsum(lengths_of) - lengths_of
        places = np.array(chunk.places, dtype=np.int64)
        places = np.where(places < 0, len(chunk.pool) - 1 - places, places)
        counts = np.array(chunk.counts, dtype=np.int64)
        lengths = lengths_of[places]
        ends = np.cumsum(lengths)
        total = int(ends[-1])
        # Where each token comes from, and where in its row it stands.
        index = np.repeat(starts_of[places] - (ends - lengths), lengths) + np.arange(total)
        learnt = np.repeat(np.array(chunk.learnt, dtype=np.bool_), lengths)
        row_ends = ends[np.cumsum(counts) - 1]
        row_lengths = np.diff(row_ends, prepend=0)
        row_starts = row_ends - row_lengths
        learnt[row_starts] = False  # the first token of all follows from nothing
        kept = np.arange(total) - np.repeat(row_starts, row_lengths) < self._limit
        left = np.add.reduceat(learnt & kept, row_starts, dtype=np.int64) > 0
        self._longest = max(self._longest, int(row_lengths.max()))
        self._truncated += int(np.count_nonzero(left & (row_lengths > self._limit)))
        if not left.all():
            self._skipped += int(np.count_nonzero(~left))
            if self._first_skipped is None:
                self._first_skipped = chunk.lines[int(np.argmin(left))]
            kept &= np.repeat(left, row_lengths)
        self._tokens.append(source[index[kept]])
        self._learnt.append(learnt[kept])
        self._lengths.append(np.minimum(row_lengths[left], self._limit))

    def encoded(self) -> Encoded:
        lengths = np.concatenate([np.zeros(1, dtype=np.int64), *self._lengths])
        samples = EncodedSamples(
            np.concatenate([np.zeros(0, dtype=np.int32), *self._tokens]),
            np.cumsum(lengths),
            np.concatenate([np.zeros(0, dtype=np.bool_), *self._learnt]),
        )
        return Encoded(
            samples,
            self._read,
            self._truncated,
            self._longest,
            self._skipped,
            self._first_skipped,
            tuple(self._refused),
            self._with_system,
        )


def _chunks(conversations: Iterable[Conversation]) -> Iterator[list[Conversation]]:
    """Few enough rows, and characters, that a chunk of long texts fits in memory."""
    rows: list[Conversation] = []
    characters = 0
    for row in conversations:
        rows.append(row)
        for turn in row.turns:
            characters += len(turn.question) + len(turn.answer)
        if len(rows) >= ROWS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
            yield rows
            rows, characters = [], 0
    if rows:
        yield rows


def _format_of(family: Family, vocabulary: Any, own_template: bool) -> Format | None:
    """Return the family's format where it is used, and its control tokens are there."""
    if own_template and not family.format_wins:
        return None
    found = FORMATS.get(family.prompt_format)
    return found if found and all(token in vocabulary for token in found.controls) else None
