"""ChatGLM's original layout through the real trainer, command line and server-side checks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_chatglm import make_tiny_chatglm, tensors_of
from tunesmith import events
from tunesmith.events import Finished, Warned
from tunesmith.families import family_of
from tunesmith.run_directory import RunDirectory
from tunesmith.spec import GpuConfig, Spec, TrainingArguments

pytestmark = pytest.mark.processes

DEADLINE = 120  # seconds; for a machine that does other things
ROWS = [
    {"instruction": "What is your name?", "input": "", "output": "My name is Smithy."},
    {"instruction": "你叫什么名字？", "input": "", "output": "我叫小匠。"},
] * 8


def train(root: Path, base: Path, **more: Any) -> RunDirectory:
    """Run the trainer on `base`; return its run directory."""
    directory = RunDirectory(root / "run")
    directory.path.mkdir(parents=True, exist_ok=True)
    (root / "data").mkdir(exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) for row in ROWS)
    (root / "data/train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    arguments: dict[str, Any] = {"max_steps": 2, "max_seq_length": 128, "dtype": "fp32"}
    arguments |= more
    spec = Spec(
        task_id=1,
        attempt=1,
        name="glm",
        description=None,
        base_model=str(base),
        cache_dir=str(root / "cache"),
        dataset_path=str(root / "data"),
        output_path=str(root / "output"),
        training=TrainingArguments(**arguments),
        given=tuple(sorted(arguments)),
        gpu=GpuConfig(),
        devices=(),
    )
    directory.spec.write_text(spec.model_dump_json(), encoding="utf-8")
    with directory.log.open("wb") as log:
        subprocess.run(
            [sys.executable, "-m", "tunesmith.trainer", str(directory.path)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=DEADLINE,
        )
    return directory


def of(directory: RunDirectory, kind: type[Any]) -> list[Any]:
    return [event for event in events.read(directory.events, 0)[0] if isinstance(event, kind)]


@pytest.fixture(params=["chatglm2", "chatglm3", "glm-4"])
def original(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    yield make_tiny_chatglm(tmp_path / f"{request.param} 原始", request.param)


# peft asks transformers 5 for this under its old name.
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_original_directory_is_trained_and_its_adapter_loads_on_the_converted_one(
    original: Path, tmp_path: Path
) -> None:
    directory = train(tmp_path / "a", original)
    log = directory.log.read_text(encoding="utf-8")
    finished = of(directory, Finished)
    assert finished and finished[0].outcome == "completed", log
    assert not [w for w in of(directory, Warned) if w.code.startswith("chatglm")]
    output = tmp_path / "a/output"
    base = json.loads((output / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(base).parent == tmp_path / "a/cache/converted"

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = PeftModel.from_pretrained(model, output).eval()
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is your name?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.no_grad():
        tuned = adapted(**ids).logits
        with adapted.disable_adapter():
            plain = adapted(**ids).logits
    assert not torch.equal(tuned, plain)
    assert adapted.generate(**ids, max_new_tokens=3, do_sample=False).shape[0] == 1
    # What is merged goes back to the original layout.
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    for name in ("tunesmith_conversion.json", "chatglm"):
        (tmp_path / "merged" / name).symlink_to(Path(base) / name)
    convert(tmp_path / "merged", tmp_path / "back", "--to", "chatglm")
    back = tensors_of(tmp_path / "back")
    assert "transformer.encoder.layers.1.self_attention.query_key_value.weight" in back


def convert(*arguments: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith", "convert", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"},
        timeout=DEADLINE,
    )
    if not done.returncode:
        assert Path(arguments[1], "config.json").is_file()
    return done


def test_the_command_converts_there_and_back_and_refuses_what_it_cannot(tmp_path: Path) -> None:
    source = make_tiny_chatglm(tmp_path / "original", layout="safetensors")
    there = convert(source, tmp_path / "native")
    assert there.returncode == 0, there.stderr
    assert "chatglm3" in there.stdout and str(tmp_path / "native") in there.stdout
    assert "2/2 model-00002-of-00002.safetensors" in there.stderr
    back = convert(tmp_path / "native", tmp_path / "back", "--to", "chatglm", "--json")
    assert json.loads(back.stdout)["family"] == "chatglm3", back.stderr
    first, second = tensors_of(source), tensors_of(tmp_path / "back")
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)

    again = convert(source, tmp_path / "native")
    assert again.returncode == 2
    assert "is not empty" in again.stderr
    vision = make_tiny_chatglm(tmp_path / "v", tokenizer=False, vision_config={"a": 1})
    refused = convert(vision, tmp_path / "never")
    assert refused.returncode == 2
    assert "vision_config" in refused.stderr
    bare = convert(make_tiny_chatglm(tmp_path / "bare", tokenizer=False), tmp_path / "bare native")
    assert bare.returncode == 0
    assert "tokenizer.model" in bare.stderr


def test_a_preview_needs_no_conversion(tmp_path: Path) -> None:
    source = make_tiny_chatglm(tmp_path / "original", "chatglm2")
    row = tmp_path / "rows.jsonl"
    row.write_text(json.dumps(ROWS[0]) + "\n", encoding="utf-8")
    data = tmp_path / "data dir"
    command = ["preview", "--base-model", source, "--dataset", row, "--json"]
    shown = subprocess.run(
        [sys.executable, "-m", "tunesmith", *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, "TUNESMITH_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"},
        timeout=DEADLINE,
    )
    assert shown.returncode == 0, shown.stderr
    told = json.loads(shown.stdout)
    assert (told["family"], told["promptFormat"]) == ("chatglm2", "chatglm2")
    assert "[Round 1]" in told["text"]
    assert not (data / "cache/converted").exists()


def test_a_fully_tuned_model_keeps_its_family_and_its_way_back(
    original: Path, tmp_path: Path
) -> None:
    directory = train(tmp_path / "a", original, method="full")
    output = tmp_path / "a/output"
    assert of(directory, Finished), directory.log.read_text(encoding="utf-8")
    assert family_of(output).name == original.name.split()[0]
    convert(output, tmp_path / "back", "--to", "chatglm")
    names = json.loads((original / "pytorch_model.bin.index.json").read_text())["weight_map"]
    assert tensors_of(tmp_path / "back").keys() == names.keys()
    tokenizer = (tmp_path / "back/tokenizer.model").read_bytes()
    assert tokenizer == (original / "tokenizer.model").read_bytes()
    written = json.loads((tmp_path / "back/config.json").read_text())
    assert written == json.loads((original / "config.json").read_text())
