"""The preview of a sample: what it says, through the real process, API and command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import make_tokenizer
from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.errors import InvalidInput, Refused
from tunesmith.families.family import GENERIC
from tunesmith.prompt.preview import preview
from tunesmith.prompt.prompt import Prompt
from tunesmith.side_process import ask

ROW = Conversation((Turn("你叫什么名字？", "鑫🙂 <|im_end|>"),), None, 1)


def test_texts_of_tokens_together_are_the_text_and_nothing_is_half_a_character() -> None:
    tokenizer = make_tokenizer()
    found = preview(Prompt(tokenizer, GENERIC, "Be brief."), tokenizer, ROW, 500)
    assert found.text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n你叫什么名字？<|im_end|>\n"
        "<|im_start|>assistant\n鑫🙂 <|im_end|><|im_end|>"
    )
    learnt = "".join(token.text for token in found.tokens if token.learnt)
    assert learnt == "鑫🙂 <|im_end|><|im_end|>"
    controls = [token.text for token in found.tokens if token.control]
    assert controls == ["<|im_start|>", "<|im_end|>"] * 3
    assert found.total == len(found.tokens) and found.learnt > 4


def test_a_preview_is_cut_as_in_training() -> None:
    tokenizer = make_tokenizer()
    found = preview(Prompt(tokenizer, GENERIC, None), tokenizer, ROW, 20)
    assert len(found.tokens) == 20 < found.total


@pytest.fixture
def request_of(llama: Path, tmp_path: Path) -> Any:
    file = tmp_path / "data.jsonl"
    rows = [{"instruction": f"Q{n}", "output": f"A{n}"} for n in (1, 2)]
    file.write_text("\n".join(map(json.dumps, rows)))
    request = {"base_model": str(llama), "dataset_path": str(file), "max_seq_length": 99}
    return lambda **changes: request | changes


def test_the_process_shows_a_row(request_of: Any) -> None:
    shown = ask("tunesmith.trainer.preview", request_of(row=2, system_prompt="S"))
    assert "S<|im_end|>" in shown["text"] and "Q2" in shown["text"]
    assert shown["promptFormat"] == "template" and shown["learntTokens"] > 1
    given = request_of(dataset_path=None, sample={"instruction": "Hi", "output": "Ho"})
    assert "Ho<|im_end|>" in ask("tunesmith.trainer.preview", given)["text"]


def test_the_process_says_what_is_wrong(request_of: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        ask("tunesmith.trainer.preview", request_of(row=3))
    assert refused.value.problems[0].params == {"count": 2, "row": 3}
    with pytest.raises(InvalidInput) as refused:
        ask("tunesmith.trainer.preview", request_of(dataset_path=None, sample={"output": 1}))
    assert refused.value.problems[0].field == "sample"
    with pytest.raises(Refused) as failed:
        ask("tunesmith.trainer.preview", request_of(base_model="/nowhere"))
    assert failed.value.code == "base_model_missing"
