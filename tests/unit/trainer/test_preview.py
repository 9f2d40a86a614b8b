"""The preview's way to a row: the same reader as training, whatever file and format."""

import json

import pytest

from tunesmith.errors import InvalidInput
from tunesmith.trainer.preview import show

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "Smithy."},
    {"role": "user", "content": "And you?"},
    {"role": "assistant", "content": "Smithy too."},
]


@pytest.fixture
def ask(llama, tmp_path):
    (tmp_path / "train.json").write_text(
        json.dumps([{"text": "x"}, {"messages": CHAT}]), encoding="utf-8"
    )

    def ask(**request):
        given = {"base_model": str(llama), "dataset_path": str(tmp_path), "max_seq_length": 512}
        return show(given | request)

    return ask


@pytest.mark.parametrize("request_", [{"row": 2}, {"sample": {"messages": CHAT}}])
def test_a_row_of_any_format_is_shown(ask, request_):
    shown = ask(**request_)
    for message in CHAT:
        assert message["content"] in shown["text"]
    assert shown["learntTokens"] > 0


@pytest.mark.parametrize(
    ("request_", "field", "code"),
    [
        ({"row": 1}, "datasetPath", "field.bad_row"),
        ({"row": 3}, "row", "field.row_missing"),
        ({"sample": {"messages": CHAT[:2]}}, "sample", "field.bad_row"),
        ({"dataset_path": "/nowhere"}, "datasetPath", "field.dataset_missing"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(ask, request_, field, code):
    with pytest.raises(InvalidInput) as refused:
        ask(**request_)
    (problem,) = refused.value.problems
    assert (problem.field, problem.code) == (field, code)
