"""Pieces, similarity and candidates of near duplicates."""

import random

import numpy as np

from tunesmith.check.near import THRESHOLD, near_duplicates, pieces, signatures, similarity


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
    found = near_duplicates(signatures(texts, 0), lambda rows: [texts[row] for row in rows])
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
    found = near_duplicates(signatures(texts, 0), lambda rows: [texts[row] for row in rows])
    assert found == dict.fromkeys(range(1, 50), 0)


def test_no_texts():
    assert near_duplicates(signatures([], 0), lambda rows: []) == {}
