import json
from pathlib import Path

import pytest

from tests.tiny_chatglm import make_tiny_chatglm
from tunesmith.errors import InvalidInput
from tunesmith.settings import Settings
from tunesmith.spec import Spec, TaskRequest
from tunesmith.tasks import resolve


def resolved(base: Path, tmp_path: Path) -> Spec:
    data = tmp_path / "train.jsonl"
    data.write_text(json.dumps({"instruction": "a", "input": "", "output": "b"}) + "\n")
    settings = Settings(data_dir=tmp_path / "data", allowed_roots=(tmp_path,), devices="none")
    wanted = {"name": "n", "baseModel": str(base), "datasetPath": str(data)}
    request = TaskRequest.model_validate(wanted)
    return resolve(request, settings=settings, roots=None, devices=[])


def test_a_task_on_an_original_directory_is_taken(tmp_path: Path) -> None:
    base = make_tiny_chatglm(tmp_path / "original")
    assert resolved(base, tmp_path).base_model == str(base)


@pytest.mark.parametrize(
    ("key", "value"), [("pre_seq_len", 128), ("quantization_bit", 4), ("rmsnorm", False)]
)
def test_one_that_cannot_be_converted_is_refused_at_creation(
    key: str, value: object, tmp_path: Path
) -> None:
    base = make_tiny_chatglm(tmp_path / "original", **{key: value})
    with pytest.raises(InvalidInput) as refused:
        resolved(base, tmp_path)
    (problem,) = refused.value.problems
    assert problem.field == "baseModel"
    assert key in str(refused.value)
