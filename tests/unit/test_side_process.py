"""One question to another process: what it leaves behind, whatever becomes of it."""

import tempfile

import pytest

from tunesmith.errors import Refused
from tunesmith.side_process import ask

MODULE = """
import sys, tempfile, time
from tunesmith.side_process import answer_one

def answer(request):
    name = tempfile.mkstemp()[1]
    while request.get("hangs"):
        time.sleep(60)
    return name

answer_one(answer)
"""


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    (tmp_path / "asked_of.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # where `python -m` looks
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))
    return scratch


def test_its_temporary_files_go_with_the_answer(scratch):
    assert ask("asked_of", {}).startswith(f"{scratch}/")
    assert list(scratch.iterdir()) == []


def test_nothing_is_left_of_a_process_that_was_killed(scratch):
    with pytest.raises(Refused) as refused:
        ask("asked_of", {"hangs": True}, seconds=3.0)
    assert refused.value.code == "side_process_timeout"
    assert list(scratch.iterdir()) == []
