"""What a task does with its data: a split drawn from train, rows left out, both recorded."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_trainer import ROWS, Run
from tests.tiny_models import make_tiny_model
from tunesmith.events import Planned, Warned

pytestmark = pytest.mark.processes

GOOD = [row | {"instruction": f"{row['instruction']} {n}"} for n, row in enumerate(ROWS[:20])]
BAD: list[dict[str, Any]] = [{"text": "no \ud83d format"}, {"instruction": "a", "output": ""}]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def new_run(tmp_path: Path, llama: Path) -> Iterator[Callable[[str], Run]]:
    made: list[Run] = []

    def make(name: str) -> Run:
        made.append(Run(tmp_path / name, llama))
        return made[-1]

    yield make
    for run in made:
        if run.process is not None and run.process.poll() is None:
            run.process.kill()
            run.process.wait()


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
