"""What is written: the best checkpoint of an earlier task, and the tokenizer beside an adapter."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny_models import make_tokenizer
from tests.unit.trainer.test_methods import Run
from tunesmith.errors import RunFailure
from tunesmith.prompt.tokenizer import load_tokenizer
from tunesmith.trainer.checkpoint import Checkpoints
from tunesmith.trainer.result import write_result


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    small = tmp_path / "small disk"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs root and mount to make a disk that is full")
    yield small
    subprocess.run(["umount", str(small)], check=True)


@pytest.fixture
def best(llama: Path, tmp_path: Path) -> Path:
    Run(llama, tmp_path / "earlier", save_steps=1, max_steps=2).train()
    path = tmp_path / "earlier" / "checkpoint-1"
    (path / "large").write_bytes(bytes(4 << 20))
    return path


def test_a_best_checkpoint_that_does_not_fit_is_told_before_it_is_copied(
    best: Path, small_disk: Path
) -> None:
    with pytest.raises(RunFailure) as failed:
        Checkpoints(small_disk, 1).adopt(best)
    assert (failed.value.code, failed.value.params) == ("disk_full", {"path": str(small_disk)})
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_while_the_best_checkpoint_is_copied_is_told(
    best: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Somebody else fills it after it was looked at.
    monkeypatch.setattr("tunesmith.trainer.disk.require_space", lambda *_: None)
    kept = Checkpoints(small_disk, 1)
    with pytest.raises(RunFailure) as failed:
        kept.adopt(best)
    assert (failed.value.code, failed.value.params) == ("disk_full", {"path": str(small_disk)})
    assert list(small_disk.iterdir()) == [] and kept.best is None
    assert (best / "large").is_file()  # the earlier task's stays


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
def test_a_tokenizer_whose_class_only_the_base_s_config_tells_is_the_same_beside_an_adapter(
    tmp_path: Path,
) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    base = tmp_path / "gpt2"
    tokenizer = make_tokenizer()
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=64)
    ).save_pretrained(base)
    tokenizer.save_pretrained(base)
    config = base / "tokenizer_config.json"
    values = json.loads(config.read_text())
    del values["tokenizer_class"], values["backend"]  # as gpt2's repository has it
    config.write_text(json.dumps(values))
    loaded = load_tokenizer(base)
    output = tmp_path / "output"
    run = Run(base, output)
    write_result(
        output,
        run.forward.model,
        base,
        "card",
        tokenizer=loaded,
        chat_template=None,
        stop_token_ids=[loaded.eos_token_id],
    )
    beside = AutoTokenizer.from_pretrained(output)
    assert type(beside) is type(loaded) and "GPT2" in type(beside).__name__
    assert beside("Who are you? 你").input_ids == loaded("Who are you? 你").input_ids
    written = json.loads((output / "tokenizer_config.json").read_text())
    assert written == values | {"tokenizer_class": type(loaded).__name__}
