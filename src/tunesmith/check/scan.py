"""One pass over the rows of a file: a few numbers of each, and the texts of a seeded sample."""

import random
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.check.quality import judge
from tunesmith.dataset import BadRow, Conversation

BAD_ROWS_KEPT = 100
FIRST_KEPT = 5
ROWS_PER_REPORT = 5000
MOST_CHARACTERS = 128 << 20  # of the texts of a sample: from then on it is a smaller one
ROWS_OF_A_TURN = 1000  # rows that one of several processes takes before the next one's turn

_BETWEEN = "\x1f"  # between the texts of a sample: "ab" + "c" is not "a" + "bc"


@dataclass(frozen=True)
class Scan:
    """What was found in a file, one entry a sample in each array, in the file's order."""

    samples: NDArray[np.uint64]
    """Hash of all texts of the sample, blanks around them left out."""
    contexts: NDArray[np.uint64]
    """Hash of everything before the last answer."""
    questions: NDArray[np.uint64]
    """Hash of the first question."""
    answers: NDArray[np.uint64]
    """Hash of the last answer."""
    characters: NDArray[np.uint32]
    rules: NDArray[np.uint16]
    """`quality.Rule` bits."""
    lines: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    """Which row of the file it is, from 0, bad ones counted."""
    turns: NDArray[np.uint32]
    bad_lines: NDArray[np.int64]
    unreadable_from: int | None
    """Line of the bad row after which nothing could be read."""
    first_bad: list[BadRow]
    chosen: list[tuple[int, Conversation]]
    """The sample drawn: index into the arrays, and the conversation; by index."""
    first: list[Conversation]
    complete: bool

    @property
    def rows(self) -> int:
        return len(self.samples) + len(self.bad_lines)


def scan(
    rows: Iterable[Conversation | BadRow],
    *,
    sample_size: int,
    seed: int,
    has_control: Callable[[str], bool],
    deadline: float | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    part: tuple[int, int] = (0, 1),
    most_characters: int = MOST_CHARACTERS,
) -> Scan:
    """Read `rows` until they or the time (`time.monotonic`) ends.

    `progress` hears now and then how many rows were read. `part` (which, of how many) leaves all
    rows but every n-th thousand to other processes: `merged` puts the parts together. A sample with
    more than `most_characters` is halved, as often as it must be.
    """
    which, parts = part
    chance = random.Random(seed)  # noqa: S311  (a sample, no secret)
    samples, contexts, questions, answers = (array("Q") for _ in range(4))
    characters, turns, rules = array("I"), array("I"), array("H")
    lines, ordinals, bad_lines = (array("q") for _ in range(3))
    first_bad: list[BadRow] = []
    chosen: list[tuple[int, Conversation]] = []
    characters_chosen = 0
    unreadable_from: int | None = None
    complete = True
    for ordinal, row in enumerate(rows):
        if ordinal % ROWS_PER_REPORT == ROWS_PER_REPORT - 1:
            progress(ordinal + 1)
            if deadline is not None and time.monotonic() > deadline:
                complete = False
                break
        if ordinal // ROWS_OF_A_TURN % parts != which:
            continue
        if isinstance(row, BadRow):
            bad_lines.append(row.line)
            if row.ends_file:
                unreadable_from = row.line
            if len(first_bad) < BAD_ROWS_KEPT:
                first_bad.append(row)
            continue
        text = whole_text(row)
        encoded = text.encode("utf-8", "surrogatepass")
        last = row.turns[-1].answer.strip().encode("utf-8", "surrogatepass")
        first_question = row.turns[0].question.strip().encode("utf-8", "surrogatepass")
        index = len(samples)
        samples.append(_hash(encoded))
        contexts.append(_hash(encoded[: len(encoded) - len(last)]))
        questions.append(_hash(first_question))
        answers.append(_hash(last))
        characters.append(min(len(text), 0xFFFFFFFF))
        rules.append(judge(row, text, encoded, has_control))
        lines.append(row.line)
        ordinals.append(ordinal)
        turns.append(len(row.turns))
        # Reservoir sampling (Vitter's algorithm R): each row with the same probability.
        if len(chosen) < sample_size and len(chosen) == index:
            chosen.append((index, row))
        elif (place := int(chance.random() * (index + 1))) < sample_size:
            characters_chosen -= characters[chosen[place][0]]
            chosen[place] = (index, row)
        else:
            continue
        characters_chosen += len(text)
        while characters_chosen > most_characters and len(chosen) > 1:
            # A part of a sample by chance is one, too.
            sample_size = len(chosen) // 2
            chosen = chance.sample(chosen, sample_size)
            characters_chosen = sum(characters[each] for each, _ in chosen)
    chosen.sort(key=lambda each: each[0])

    def array_of(values: "array[int]", kind: Any) -> Any:
        return np.array(values, dtype=kind)

    return Scan(
        samples=array_of(samples, np.uint64),
        contexts=array_of(contexts, np.uint64),
        questions=array_of(questions, np.uint64),
        answers=array_of(answers, np.uint64),
        characters=array_of(characters, np.uint32),
        rules=array_of(rules, np.uint16),
        lines=array_of(lines, np.int64),
        ordinals=array_of(ordinals, np.int64),
        turns=array_of(turns, np.uint32),
        bad_lines=array_of(bad_lines, np.int64),
        unreadable_from=unreadable_from,
        first_bad=first_bad,
        chosen=chosen,
        first=[row for _, row in chosen[:FIRST_KEPT]],
        complete=complete,
    )


def merged(scans: Sequence[Scan]) -> Scan:
    """Return what the parts of one file found, in the file's order."""
    if len(scans) == 1:
        return scans[0]
    order = np.argsort(np.concatenate([each.ordinals for each in scans]), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))

    def joined(name: str) -> Any:
        return np.concatenate([getattr(each, name) for each in scans])[order]

    first_bad = sorted((row for each in scans for row in each.first_bad), key=lambda row: row.line)
    chosen: list[tuple[int, Conversation]] = []
    before = 0
    for each in scans:
        chosen += ((int(place[before + index]), row) for index, row in each.chosen)
        before += len(each.samples)
    chosen.sort(key=lambda each: each[0])
    names = [each.name for each in fields(Scan)]
    arrays = [name for name in names if isinstance(getattr(scans[0], name), np.ndarray)]
    arrays.remove("bad_lines")
    return Scan(
        **{name: joined(name) for name in arrays},
        bad_lines=np.sort(np.concatenate([each.bad_lines for each in scans])),
        unreadable_from=next((e.unreadable_from for e in scans if e.unreadable_from), None),
        first_bad=first_bad[:BAD_ROWS_KEPT],
        chosen=chosen,
        first=[row for _, row in chosen[:FIRST_KEPT]],
        complete=all(each.complete for each in scans),
    )


def whole_text(row: Conversation) -> str:
    """Return all texts of a sample; the last answer is the end of it."""
    parts = [(row.system or "").strip()]
    for question, answer in row.turns:
        parts += (question.strip(), answer.strip())
    return _BETWEEN.join(parts)


def _hash(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
