import re
from pathlib import Path

import pytest

from tunesmith.families import CATALOGUE, FAMILIES, find_entry, find_variant

SPECIFICATION = Path(__file__).parents[4] / "shared" / "spec" / "finetuning.md"
ROW = re.compile(r"^\| ([^|]+?) \| (\d+B) \| (~\d+GB) \| ([^|]+?) \|$", re.M)


def test_the_catalogue_has_the_specifications_table_word_by_word():
    if not SPECIFICATION.is_file():
        pytest.skip(f"{SPECIFICATION} is not here: the table cannot be compared")
    told = ROW.findall(SPECIFICATION.read_text(encoding="utf-8"))
    ours = [(e.name, e.size, e.memory, e.remark_zh) for e in CATALOGUE if e.specified]
    assert len(told) == 12 and ours == told


def test_every_entry_is_whole():
    families = {family.name for family in FAMILIES}
    names = [entry.name for entry in CATALOGUE]
    assert len(set(names)) == len(names)
    for entry in CATALOGUE:
        assert entry.family in families - {"generic", "llama"}
        assert entry.remark_zh and entry.remark_en.isascii()
        assert set(entry.successors) <= set(names) - {entry.name}
        assert bool(entry.successors) == entry.specified
        assert [variant.kind for variant in entry.variants] in (["base", "chat"], ["chat"])
        billions = float(entry.size.removesuffix("B"))
        assert entry.parameters == pytest.approx(billions * 1e9, rel=0.25)
        for variant in entry.variants:
            assert all(re.fullmatch(r"[\w-]+/[\w.-]+", repo) for repo in variant.ids)
            assert variant.gated == variant.huggingface.startswith("meta-llama/")


def decoder(vocabulary, hidden, layers, heads, groups, inner, *, head=0, tied=False, extra=0):
    """Count the parameters of a LLaMA-like decoder; `extra` are a layer's biases and norms."""
    head = head or hidden // heads
    layer = 2 * hidden * head * (heads + groups) + 3 * hidden * inner + 2 * hidden + extra
    return vocabulary * hidden * (1 if tied else 2) + layers * layer + hidden


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("LLaMA 2-13B", decoder(32000, 5120, 40, 40, 40, 13824)),
        ("LLaMA 3-70B", decoder(128256, 8192, 80, 64, 8, 28672)),
        ("LLaMA 3.2-1B", decoder(128256, 2048, 16, 32, 8, 8192, tied=True)),
        ("ChatGLM3-6B", decoder(65024, 4096, 28, 32, 2, 13696, extra=36 * 128)),
        ("GLM-4-9B", decoder(151552, 4096, 40, 32, 2, 13696, extra=36 * 128)),
        ("Qwen1.5-14B", decoder(152064, 5120, 40, 40, 40, 13696, extra=120 * 128)),
        ("Qwen2-72B", decoder(152064, 8192, 80, 64, 8, 29568, extra=80 * 128)),
        ("Qwen3-4B", decoder(151936, 2560, 36, 32, 8, 9728, head=128, tied=True, extra=256)),
    ],
)
def test_parameters_are_those_of_the_published_shapes(name, parameters):
    assert find_entry(name).parameters == parameters


@pytest.mark.parametrize(
    ("value", "entry", "kind"),
    [
        ("THUDM/chatglm3-6b", "ChatGLM3-6B", "chat"),
        ("zai-org/chatglm3-6b-base", "ChatGLM3-6B", "base"),
        ("ZhipuAI/glm-4-9b-chat-hf", "GLM-4-9B-HF", "chat"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "LLaMA 3.1-8B", "chat"),
        ("modelscope/Llama-2-7b-ms", "LLaMA 2-7B", "base"),
        ("LLM-Research/Llama-3___2-1B-Instruct", "LLaMA 3.2-1B", "chat"),  # ModelScope's cache
        ("qwen/qwen2-7b", "Qwen2-7B", "base"),
        ("Qwen2.5-0.5B-Instruct", "Qwen2.5-0.5B", "chat"),
        ("Qwen3-8B", "Qwen3-8B", "chat"),
    ],
)
def test_an_id_is_found_in_every_spelling(value, entry, kind):
    found, variant = find_variant(value)
    assert (found.name, variant.kind) == (entry, kind)
    assert find_entry(value) is found


def test_a_name_of_the_catalogue_is_found_and_nothing_else():
    assert find_entry("llama 2-7b").name == "LLaMA 2-7B"
    assert find_variant("LLaMA 2-7B") is None
    assert find_entry("HuggingFaceTB/SmolLM2-135M") is None
    assert find_entry("") is None
