"""How different samples are: distinct questions, repeated answers and openings."""

from collections import Counter

import numpy as np

from tunesmith.check.corpus import ScannedSplit, most_common, shown
from tunesmith.check.report import Diversity, Repeated

MOST_REPEATED = 5
CHARACTERS_OF_OPENING, WORDS_OF_OPENING = 8, 4


def diversity_of(train: ScannedSplit) -> Diversity:
    """Return how different the samples of a split are; openings are those of its drawn samples."""
    scan, file = train.file.scan, train.file
    questions, answers = scan.questions[train.indices], scan.answers[train.indices]
    openings: Counter[str] = Counter()
    first: dict[str, int] = {}
    members = set(train.indices.tolist())
    for index, row in scan.chosen:
        if index in members:
            opening = opening_of(row.turns[0].question)
            openings[opening] += 1
            first.setdefault(opening, index)
    repeated = []
    for place, count in most_common(answers, MOST_REPEATED):
        index = int(train.indices[place])
        same = np.flatnonzero(answers == answers[place])
        known = next((file.texts[i] for i in train.indices[same].tolist() if i in file.texts), None)
        text = "" if known is None else shown(known.turns[-1].answer)
        line = int(scan.lines[index])
        repeated.append(Repeated(text=text, count=count, line=line, file=file.path.name))
    return Diversity(
        questions=len(questions),
        distinct_questions=len(np.unique(questions)),
        openings=[
            Repeated(text=text, count=count, line=int(scan.lines[first[text]]), file=file.path.name)
            for text, count in openings.most_common(MOST_REPEATED)
            if count > 1
        ],
        answers=repeated,
    )


def opening_of(question: str) -> str:
    """Return the first words of a question; of one without spaces its first characters."""
    words = question[:200].split(maxsplit=WORDS_OF_OPENING)[:WORDS_OF_OPENING]
    text = " ".join(words)
    return text if text.isascii() else text[:CHARACTERS_OF_OPENING]
