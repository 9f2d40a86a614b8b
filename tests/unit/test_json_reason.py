"""What Python says of broken JSON comes in the reader's language."""

import json

import pytest

from tunesmith.dataset import BadRow, read_rows
from tunesmith.messages import catalogue, sentence
from tunesmith.messages.json_reason import KEYS, json_reason

BROKEN = {
    '{"a": }': "value",
    "{a: 1}": "name",
    '{"a" 1}': "colon",
    '{"a": 1 "b": 2}': "comma",
    '["a": 1]': "comma",
    '{"a": "b': "unterminated",
    '{"a": 1} {}': "extra",
    '{"a": "\n"}': "control_character",
    '{"a": "\\x"}': "escape",
    '{"a": "\\u12"}': "escape",
    "\ufeff{}": "byte_order_mark",
    "9" * 5000: "digits",
    "[" * 100_000: "depth",
}


@pytest.mark.parametrize(("text", "key"), BROKEN.items(), ids=BROKEN.values())
def test_what_json_says_is_known(text, key):
    with pytest.raises((ValueError, RecursionError)) as caught:
        json.loads(text)
    assert json_reason(caught.value) == {"code": f"json_error.{key}", "params": {}}


def test_each_reason_has_its_sentence():
    for key in KEYS.values():
        assert f"json_error.{key}" in catalogue("zh")


def test_what_a_later_python_may_say_stays_as_it_is():
    assert json_reason(json.JSONDecodeError("Something new", "{", 0)) == "Something new"
    trailing = json_reason("Illegal trailing comma before end of object")  # Python 3.13
    assert trailing == {"code": "json_error.trailing_comma", "params": {}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.jsonl", '{"instruction": "a", "output": }\n'),
        ("train.jsonl", "[" * 100_000),
        ("train.jsonl", '{"n": ' + "9" * 5000 + "}"),
        ("train.json", '[{"instruction": }]'),
        ("train.json", "[[[" + "[" * 100_000),
        ("train.json", "[1 2]"),
        ("train.json", "[1] 2"),
    ],
)
def test_a_bad_row_is_told_in_chinese_alone(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    *_, found = read_rows(tmp_path / name)
    assert isinstance(found, BadRow)
    told = sentence(found.problem["code"], "zh", found.problem["params"] | {"near": "…"})
    assert told.startswith("不是有效的 JSON：")
    assert not set("aeiou") & set(told.removeprefix("不是有效的 JSON"))
