"""A sample on the screen: coloured for a person, with marks in a pipe."""

import io
import json
import re

import pytest
from rich.console import Console

from tests.tiny_models import make_tiny_model
from tunesmith.cli import terminal

ROW = {"instruction": "Who \x1b[2Jare you?", "output": "Smithy [bold]is me."}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def shown(run, base, tmp_path):
    data = tmp_path / "train.jsonl"
    data.write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    return lambda *more: run("preview", "--base-model", str(base), "--dataset", str(data), *more)


def test_in_a_pipe_marks_stand_around_what_is_learnt(shown):
    found = shown()
    assert found.exit_code == 0
    assert "«Smithy [bold]is me.<|im_end|>»" in found.stdout and "\x1b" not in found.stdout


def test_for_a_person_what_is_learnt_is_green_and_control_tokens_are_dim(shown, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setattr(
        terminal,
        "console",
        lambda: Console(file=screen, force_terminal=True, color_system="standard", markup=False),
    )
    assert shown().exit_code == 0
    text = screen.getvalue()
    assert "«" not in text
    assert "\x1b[1;32mSm" in text  # bold green
    assert "\x1b[1;2;32m<|im_end|>" in text  # the learnt end, dim as well
    assert "\x1b[2m<|im_start|>" in text
    # Markup of the data's is text, and nothing of it clears the screen.
    assert "Smithy [bold]is me." in re.sub(r"\x1b\[[\d;]*m", "", text)
    assert "\x1b[2J" not in text


def test_a_sample_that_is_cut_is_told(shown):
    found = shown("--max-seq-length", "30")
    assert found.exit_code == 0 and "30" in found.stderr
