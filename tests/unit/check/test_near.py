"""Pieces, similarity and candidates of near duplicates."""

import random

import numpy as np
import pytest

from tunesmith.check import near
from tunesmith.check.near import (
    MOST_COMPARED,
    THRESHOLD,
    NearDuplicates,
    near_duplicates,
    pieces,
    signatures,
    similarity,
)


def compared(texts: list[str]) -> NearDuplicates:
    return near_duplicates(signatures(texts, 0), lambda rows: [texts[row] for row in rows])


def repeats_in(texts: list[str]) -> dict[int, int]:
    found = compared(texts)
    assert found.complete
    return found.repeats


def crowd(count: int, changed: int) -> list[str]:
    """Return texts of 100 words of which `changed` are others in each."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(100)]
    texts = []
    for number in range(count):
        own = list(words)
        for place in draw.sample(range(100), changed):
            own[place] = f"w{number}x{place}"
        texts.append(" ".join(own))
    return texts


def test_pieces_of_languages_without_spaces_are_three_characters():
    one, other = "今天天气很好我们去公园散步吧", "今天天气很好我们去公园跑步吧"
    # 12 pieces each; those that hold the changed character (散, 跑) are three.
    assert similarity(pieces(one), pieces(other)) == 9 / 15


def test_case_and_blanks_do_not_count():
    assert np.array_equal(pieces("Hello  World\n"), pieces("hello world"))
    assert similarity(pieces("a"), pieces("b")) == 0
    assert len(pieces("")) == 1


def test_pairs_are_those_with_real_jaccard_above_the_threshold():
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(500)]
    texts = [" ".join(draw.choices(words, k=60)) for _ in range(200)]
    for copy in range(100):  # with one to twenty words changed
        changed = texts[copy].split()
        for place in draw.sample(range(60), 1 + copy % 20):
            changed[place] = "changed"
        texts[100 + copy] = " ".join(changed)
    found = repeats_in(texts)
    real = {
        100 + n: n
        for n in range(100)
        if similarity(pieces(texts[n]), pieces(texts[100 + n])) >= THRESHOLD
    }
    assert len(real) > 10
    assert found.items() <= real.items()  # nothing that is not one
    assert len(found) >= 0.9 * len(real)


def test_the_first_of_many_equal_ones_is_kept():
    texts = ["a text that is here many times over"] * 50
    found = repeats_in(texts)
    assert found == dict.fromkeys(range(1, 50), 0)


def test_no_texts():
    assert repeats_in([]) == {}


@pytest.mark.parametrize("changed", [4, 6, 8, 30])
def test_where_all_texts_are_alike_each_is_compared_with_a_few_only(changed, monkeypatch):
    pairs = []

    def counted(one, other):
        pairs.append(1)
        return similarity(one, other)

    texts = crowd(400, changed)
    monkeypatch.setattr(near, "similarity", counted)
    monkeypatch.setattr(near, "MORE_COMPARED", 0)
    found = compared(texts)
    assert len(pairs) <= MOST_COMPARED * len(texts)
    real = [similarity(pieces(texts[0]), pieces(text)) >= THRESHOLD for text in texts[1:]]
    if changed == 4:  # each pair is one
        assert all(real) and found.complete and len(found.repeats) == 399
    if changed == 8:  # hardly any is, but all seem to be
        assert sum(real) == 0 and not found.complete
    if changed == 30:  # signatures say that none is
        assert not pairs and found.complete


def test_in_small_data_nothing_is_left_out():
    assert compared(crowd(400, 8)).complete


def test_memory_is_bounded_whatever_the_texts_length(monkeypatch):
    texts = crowd(60, 5)
    whole = compared(texts), signatures(texts, 0)
    monkeypatch.setattr(near, "PIECES_AT_ONCE", 1000)
    monkeypatch.setattr(near, "PIECES_KEPT", 1000)
    assert compared(texts) == whole[0] and np.array_equal(signatures(texts, 0), whole[1])
