"""`tunesmith plan`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]
FULL = ("plan", "--model", "LLaMA 2-7B", "--method", "full", "--quick", "--device-memory", "80")


def test_a_divided_run_is_told(run: Run) -> None:
    one, four = run(*FULL).output, run(*FULL, "--devices", "4").output
    assert "does not fit" in one and "devices=2" in one and "divided" not in one
    assert "divided among 4" in four and "It fits" in four and "the formula" in four
    whole = run(*FULL, "--devices", "4", "--set", "sharding=none").output
    assert "the whole model (4 in all)" in whole and "devices=" not in whole


def test_a_divided_run_is_told_in_chinese(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert "模型切分到 4 个设备" in run(*FULL, "--devices", "4").output


@pytest.mark.parametrize("name", ["", "  "])
def test_no_model_is_not_the_directory_that_we_are_in(
    run: Run, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run("plan", "--model", name, "--quick")
    assert refused.exit_code == 2
    assert "baseModel: must not be empty" in refused.output
