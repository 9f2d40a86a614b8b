"""One row in each format, and each way in which a row can be no sample."""

import json

import pytest

from tests.unit.dataset.files import ROW, write
from tunesmith.dataset import (
    BadRow,
    Conversation,
    Turn,
    open_dataset,
    read_conversations,
    read_rows,
)
from tunesmith.errors import RunFailure
from tunesmith.messages import catalogue, sentence

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def read_one(tmp_path, row):
    (found,) = read_rows(write(tmp_path / "train.jsonl", row))
    return found


@pytest.mark.parametrize(
    ("row", "turns", "system"),
    [
        ({"instruction": "i", "input": "n", "output": "o"}, [("i\nn", "o")], None),
        ({"instruction": "i", "output": "o", "input": None}, [("i", "o")], None),
        (
            {"instruction": "i", "output": "o", "history": [["q", "a"]], "system": "s"},
            [("q", "a"), ("i", "o")],
            "s",
        ),
        ({"instruction": "i", "output": "o", "history": None, "system": " "}, [("i", "o")], None),
        ({"messages": [USER, ANSWER, USER, ANSWER]}, [("q", "a"), ("q", "a")], None),
        (
            {"messages": [{"role": "system", "content": "s"}, USER, ANSWER], "instruction": ""},
            [("q", "a")],
            "s",
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "q"},
                    {"from": "gpt", "value": "a"},
                ],
                "system": "s",
            },
            [("q", "a")],
            "s",
        ),
        ({"conversations": [USER, ANSWER]}, [("q", "a")], None),
        ({"prompt": "q", "completion": "a"}, [("q", "a")], None),
        ({"prompt": [USER], "completion": [ANSWER]}, [("q", "a")], None),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "q"}, {"type": "text", "text": "r"}],
                    },
                    ANSWER,
                ]
            },
            [("qr", "a")],
            None,
        ),
        ({"messages": None, "instruction": "i", "output": "o"}, [("i", "o")], None),
    ],
)
def test_every_format_is_recognised_by_itself(tmp_path, row, turns, system):
    expected = Conversation(tuple(Turn(*turn) for turn in turns), system, 1)
    assert read_one(tmp_path, row) == expected


@pytest.mark.parametrize(
    ("line", "problem", "named"),
    [
        (b'{"instruction": "a", "output": ', "json", {"column": 33}),
        (b"[1]", "object", {}),
        (b'"text"', "object", {}),
        (b'{"instruction": "a"}', "field_missing", {"name": "output"}),
        (b'{"output": "a"}', "field_missing", {"name": "instruction"}),
        (b'{"instruction": "a", "output": 3}', "field_type", {"name": "output"}),
        (b'{"instruction": "a", "output": "b", "input": {}}', "field_type", {"name": "input"}),
        (b'{"instruction": "a", "output": null}', "field_type", {"found": "null"}),
        (b'{"instruction": " ", "output": "b"}', "field_empty", {"name": "instruction"}),
        (b'{"instruction": "a", "output": ""}', "field_empty", {"name": "output"}),
        (b'{"instruction": "\xff", "output": "b"}', "encoding", {"position": 18}),
        (b"[" * 100_000, "json", {}),
        (b'{"n": ' + b"9" * 5000 + b', "instruction": "a", "output": "b"}', "json", {}),
        (b'{"instruction": "hi \\ud83d", "output": "b"}', "half_character", {}),
        ({"text": "a", "id": 3}, "unknown_format", {"found": ["text", "id"]}),
        ({}, "no_fields", {}),
        ({"instruction": "i", "output": "o", "history": "x"}, "field_list", {"name": "history"}),
        ({"instruction": "i", "output": "o", "history": [["q"]]}, "history_pair", {}),
        ({"messages": "x"}, "field_list", {"name": "messages"}),
        ({"messages": []}, "no_messages", {}),
        ({"messages": [USER, "x"]}, "message_object", {"message": 2}),
        ({"messages": [USER, USER]}, "two_questions", {"message": 2}),
        ({"messages": [ANSWER, USER]}, "answer_without_question", {"message": 1}),
        ({"messages": [USER, ANSWER, ANSWER]}, "answer_without_question", {"message": 3}),
        ({"messages": [USER, ANSWER, USER]}, "ends_without_answer", {"message": 3}),
        (
            {"messages": [USER, ANSWER, {"role": "system", "content": "s"}]},
            "system_not_first",
            {"message": 3},
        ),
        ({"messages": [USER, {"role": "tool", "content": "x"}]}, "tool_message", {"message": 2}),
        (
            {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{}]}]},
            "tool_message",
            {"message": 2},
        ),
        ({"messages": [{"role": "bot", "content": "x"}]}, "role_unknown", {"role": "bot"}),
        ({"messages": [{"role": "user", "content": 1}]}, "field_type", {}),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "not_text",
            {"message": 1, "found": "image_url"},
        ),
        ({"messages": [{"role": "user", "content": " "}, ANSWER]}, "field_empty", {}),
        ({"prompt": "q", "completion": ""}, "field_empty", {"name": "completion"}),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_problem(tmp_path, line, problem, named):
    good, found = read_rows(write(tmp_path / "train.jsonl", ROW, b"", line))
    assert isinstance(good, Conversation) and isinstance(found, BadRow)
    assert (found.file, found.line, found.unit) == ("train.jsonl", 3, "line")
    assert found.problem["code"] == f"row.{problem}"
    assert named.items() <= found.problem["params"].items()
    # The sentence is there, and all of its parameters are given.
    for language in ("en", "zh"):
        assert found.problem["code"] in catalogue(language)
        text = sentence(found.problem["code"], language, found.problem["params"])
        assert not any(f"{{{name}}}" in text for name in ("message", "name", "found", "known"))
    with pytest.raises(RunFailure, match=r"^train.jsonl, line 3: "):
        raise found.failure()


def test_blank_lines_a_byte_order_mark_and_other_keys_are_fine(tmp_path):
    row = json.dumps({"instruction": "a", "output": "b", "category": []}).encode()
    file = write(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + row, b"", b"  \r", row + b"\r")
    assert [sample.line for sample in read_rows(file)] == [1, 4]


def test_a_file_without_newlines_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith.dataset.source.LONGEST_ROW", 1000)
    _, found = read_rows(write(tmp_path / "train.jsonl", ROW, b"x" * 5000))
    assert found.problem["code"] == "row.too_long" and found.ends_file


def test_conversations_of_a_split_raise_or_hand_over_what_is_bad(tmp_path):
    split = open_dataset(write(tmp_path / "train.jsonl", ROW, b"{", ROW)).splits["train"]
    bad = []
    assert [row.line for row in read_conversations(split, bad.append)] == [1, 3]
    assert [row.line for row in bad] == [2]
    with pytest.raises(RunFailure) as raised:
        list(read_conversations(split))
    assert (raised.value.code, raised.value.params["line"]) == ("bad_row", 2)


def test_what_ends_a_file_is_never_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith.dataset.source.LONGEST_ROW", 1000)
    split = open_dataset(write(tmp_path / "train.jsonl", b"x" * 5000, ROW)).splits["train"]
    with pytest.raises(RunFailure):
        list(read_conversations(split, lambda row: None))
