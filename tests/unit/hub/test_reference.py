from pathlib import Path

import pytest

from tunesmith.hub.reference import Reference, read_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Qwen/Qwen2-7B", Reference("Qwen", "Qwen2-7B")),
        ("01-ai/Yi-6B@main", Reference("01-ai", "Yi-6B", "main")),
        ("o/n@refs/pr/1", Reference("o", "n", "refs/pr/1")),
        ("a/b/c", None),
        ("./o/n", None),
        ("../n", None),
        ("o/..", None),
        ("o/n@../x", None),
        ("name", None),
        ("/o/n", None),
        ("组织/模型", None),
        ("o/n@", None),
    ],
)
def test_a_hub_id_is_told_from_a_path(text, expected):
    assert read_reference(text) == expected


def test_a_revision_lies_beside_the_default():
    models = Path("/m")
    reference = Reference("o", "n", "main")
    assert reference.directory(models) == Path("/m/o/n")
    assert reference.directory(models, "0123456789abcdef") == Path("/m/o/n@0123456789ab")
    assert reference.directory(models, "refs/pr/1") == Path("/m/o/n@refs-pr-1")
