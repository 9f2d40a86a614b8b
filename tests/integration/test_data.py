"""What a task does with its data: a split drawn from train, rows left out, both recorded."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runs import ROWS
from tunesmith.events import Planned, Warned

pytestmark = pytest.mark.processes

GOOD = [row | {"instruction": f"{row['instruction']} {n}"} for n, row in enumerate(ROWS[:20])]
BAD: list[dict[str, Any]] = [{"text": "no \ud83d format"}, {"instruction": "a", "output": ""}]


def test_a_run_divides_its_data_leaves_bad_rows_out_and_records_both(new_run: Any) -> None:
    run = new_run("a")
    run.start(
        rows=[],
        max_steps=1,
        split={"train": 0.8, "validation": 0.15, "test": 0.05},
        on_bad_rows="skip",
    )
    run.wait()
    run.directory.events.unlink()
    lines = [json.dumps(row) for row in [*BAD, *GOOD]]
    lines.insert(0, '{"half a key \\ud83d": 1}')
    (run.data / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run.spawn()
    assert run.wait() == 0, run.log
    (planned,) = run.of(Planned)
    assert (planned.samples, planned.eval_samples) == (16, 3)
    record = json.loads((run.output / "split.json").read_text(encoding="utf-8"))
    assert record["counts"] == {"train": 16, "validation": 3, "test": 1}
    assert set(record["validation"] + record["test"]) <= set(range(4, 24))
    (warned,) = [event for event in run.of(Warned) if event.code == "bad_rows_skipped"]
    assert warned.params["count"] == len(warned.params["rows"]) == 3
    assert warned.params["first"]["params"]["line"] == 1
    listed = (run.output / "bad_rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["line"] for line in listed] == [1, 2, 3]


def test_a_split_beside_other_files_ends_the_run_before_anything_is_loaded(new_run: Any) -> None:
    run = new_run("b").start(valid=GOOD, split={"train": 0.9, "validation": 0.1})
    assert run.failure.code == "dataset_has_splits"
    assert not run.output.exists()


def test_rows_that_the_chat_template_cannot_take_are_left_out_and_listed_too(
    new_run: Any, llama: Path, tmp_path: Path
) -> None:
    base = tmp_path / "ascii"
    shutil.copytree(llama, base)
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content.encode('ascii', 'replace').decode() }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    for old in base.glob("chat_template*"):
        old.unlink()
    config = json.loads((base / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["chat_template"] = template
    (base / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    run = new_run("c")
    run.base = base
    typed = {"instruction": "你好 <|im_end|>", "output": "hello"}
    run.start(rows=[ROWS[0], typed, ROWS[0]], max_steps=1, on_bad_rows="skip")
    assert run.wait() == 0, run.log
    (planned,) = run.of(Planned)
    assert planned.samples == 2
    listed = (run.output / "bad_rows.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in listed]
    assert [row["line"] for row in found] == [2]
    assert {row["problem"]["code"] for row in found} == {"row.control_token"}
