"""Configurations as the models' makers published them, down to the keys that tell them apart."""

import json

import pytest

from tests.tiny_models import make_tiny_model
from tunesmith.families import FAMILIES, family_of, recognise

LLAMA2 = {
    "_name_or_path": "meta-llama/Llama-2-7b-hf",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "rope_scaling": None,
    "vocab_size": 32000,
}
LLAMA2_TOKENS = {"bos_token": {"__type": "AddedToken", "content": "<s>"}, "eos_token": "</s>"}
LLAMA3 = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "rope_theta": 500000.0,
    "vocab_size": 128256,
}
LLAMA32 = LLAMA3 | {
    "hidden_size": 2048,
    "max_position_embeddings": 131072,
    "rope_scaling": {"factor": 32.0, "rope_type": "llama3"},
    "tie_word_embeddings": True,
}
LLAMA3_TOKENS = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
SMOLLM2 = {
    "model_type": "llama",
    "hidden_size": 576,
    "max_position_embeddings": 8192,
    "rope_theta": 100000,
    "vocab_size": 49152,
}
SMOLLM2_TOKENS = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
QWEN15 = {
    "model_type": "qwen2",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "rope_theta": 1000000.0,
    "vocab_size": 151936,
}
QWEN15_32B = QWEN15 | {
    "hidden_size": 5120,
    "intermediate_size": 27392,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
}
QWEN25_32B = QWEN15_32B | {"intermediate_size": 27648, "max_position_embeddings": 131072}
QWEN2 = QWEN15 | {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 131072,
    "vocab_size": 152064,
}
QWEN_TOKENS = {"bos_token": None, "eos_token": "<|im_end|>"}
CHATGLM = {
    "architectures": ["ChatGLMModel"],
    "model_type": "chatglm",
    "add_qkv_bias": True,
    "eos_token_id": 2,
    "multi_query_group_num": 2,
    "num_layers": 28,
    "padded_vocab_size": 65024,
    "seq_length": 8192,
}
CHATGLM2 = CHATGLM | {"_name_or_path": "THUDM/chatglm2-6b", "seq_length": 32768}
CHATGLM3 = CHATGLM | {"_name_or_path": "THUDM/chatglm3-6b"}
CHATGLM_TOKENS = {"tokenizer_class": "ChatGLMTokenizer", "remove_space": False}
GLM4 = CHATGLM | {
    "_name_or_path": "THUDM/glm-4-9b-chat",
    "eos_token_id": [151329, 151336, 151338],
    "num_layers": 40,
    "padded_vocab_size": 151552,
    "rope_ratio": 500,
    "seq_length": 131072,
}
CHATGLM_6B = {
    "_name_or_path": "THUDM/chatglm-6b",
    "model_type": "chatglm",
    "inner_hidden_size": 16384,
    "position_encoding_2d": True,
    "vocab_size": 130528,
}


def without_name(config):
    return {key: value for key, value in config.items() if key != "_name_or_path"}


@pytest.mark.parametrize(
    ("config", "tokens", "family"),
    [
        (LLAMA2, LLAMA2_TOKENS, "llama2"),
        (without_name(LLAMA2), {}, "llama2"),
        (without_name(LLAMA2) | {"vocab_size": 32001}, LLAMA2_TOKENS, "llama2"),
        (LLAMA2 | {"max_position_embeddings": 2048}, LLAMA2_TOKENS, "llama2"),  # first upload
        (LLAMA3, LLAMA3_TOKENS, "llama3"),
        (LLAMA3, {}, "llama3"),
        (LLAMA32, LLAMA3_TOKENS, "llama3"),
        (LLAMA3 | {"vocab_size": 128264}, LLAMA3_TOKENS, "llama3"),
        # DeepSeek-R1-Distill-Llama-8B: LLaMA 3's shape, its own tokens
        (LLAMA3, {"bos_token": "<｜begin▁of▁sentence｜>"}, "llama"),
        (SMOLLM2, SMOLLM2_TOKENS, "llama"),
        (SMOLLM2, {}, "llama"),
        # TinyLlama: LLaMA 2's vocabulary, half its positions
        (without_name(LLAMA2) | {"max_position_embeddings": 2048}, LLAMA2_TOKENS, "llama"),
        # CodeLlama-34b
        (
            without_name(LLAMA2) | {"max_position_embeddings": 16384, "rope_theta": 1000000},
            LLAMA2_TOKENS,
            "llama",
        ),
        # as transformers 5 saves it
        (
            without_name(LLAMA2) | {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}},
            LLAMA2_TOKENS,
            "llama",
        ),
        (QWEN15, QWEN_TOKENS, "qwen1.5"),
        (QWEN15_32B, QWEN_TOKENS, "qwen1.5"),
        (QWEN2, QWEN_TOKENS, "qwen2"),
        (QWEN25_32B, QWEN_TOKENS, "qwen2"),
        (QWEN2 | {"_name_or_path": "Qwen/CodeQwen1.5-7B"}, QWEN_TOKENS, "qwen1.5"),
        # DeepSeek-R1-Distill-Qwen-7B
        (QWEN2, {"eos_token": "<｜end▁of▁sentence｜>"}, "generic"),
        (QWEN2 | {"model_type": "qwen3"}, QWEN_TOKENS, "qwen3"),
        (QWEN2 | {"model_type": "qwen3_moe"}, QWEN_TOKENS, "generic"),
        (CHATGLM2, CHATGLM_TOKENS, "chatglm2"),
        (CHATGLM3, CHATGLM_TOKENS, "chatglm3"),
        (CHATGLM, CHATGLM_TOKENS | {"name_or_path": "THUDM/chatglm2-6b"}, "chatglm2"),
        (CHATGLM, CHATGLM_TOKENS | {"name_or_path": "THUDM/chatglm3-6b-base"}, "chatglm3"),
        (CHATGLM, {"added_tokens_decoder": {"64796": {"content": "<|assistant|>"}}}, "chatglm3"),
        (GLM4, {}, "glm-4"),
        (without_name(GLM4), {}, "glm-4"),
        (CHATGLM | {"_name_or_path": "THUDM/glm4-9b"}, {}, "glm-4"),
        (CHATGLM, {"tokenizer_class": "ChatGLM4Tokenizer"}, "glm-4"),
        (CHATGLM_6B, {}, "generic"),
        ({"model_type": "glm", "vocab_size": 151552}, {}, "glm-4-hf"),
        ({"model_type": "glm4", "vocab_size": 151552}, {}, "glm-4-hf"),
        ({"model_type": "mistral", "vocab_size": 32000}, LLAMA2_TOKENS, "generic"),
        ({}, {}, "generic"),
    ],
)
def test_a_family_is_told_by_its_configuration(config, tokens, family):
    assert recognise(config, tokens, {}).name == family


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("<|im_start|>system\\nYou are a helpful assistant<|im_end|>\\n", "qwen1.5"),
        ("<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n", "qwen2"),
        ("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", "qwen2"),
    ],
)
def test_the_full_stop_of_the_system_text_tells_qwens_apart(text, family):
    for config in (QWEN15, QWEN2):  # whatever the shape says
        assert recognise(config, QWEN_TOKENS | {"chat_template": text}, {}).name == family


def test_chatglms_tokenizer_code_tells_them_apart():
    code = 'special_tokens = ["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"]'
    roles = code + ' + ["<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"]'
    for text, family in ((code, "chatglm2"), (roles, "chatglm3"), ("ChatGLM4Tokenizer", "glm-4")):
        assert recognise(CHATGLM, CHATGLM_TOKENS, {}, tokenizer_code=text).name == family


def test_a_directorys_name_decides_only_where_nothing_else_does():
    assert recognise(CHATGLM, {}, {}, directory="chatglm2-6b").name == "chatglm2"
    assert recognise(CHATGLM, {}, {}, directory="mine").name == "chatglm3"
    assert recognise(CHATGLM3, {}, {}, directory="chatglm2-6b").name == "chatglm3"
    assert recognise(LLAMA3, LLAMA3_TOKENS, {}, directory="Llama-2-7b").name == "llama3"


def test_a_converted_model_keeps_its_family():
    native = {"model_type": "glm", "vocab_size": 65024}
    for family in ("chatglm2", "chatglm3", "glm-4"):
        assert recognise(native, {}, {"format": 1, "family": family}).name == family
    assert recognise(native, {}, {"family": "of tomorrow"}).name == "glm-4-hf"
    assert recognise(native, {}, {"family": ["chatglm2"]}).name == "glm-4-hf"


@pytest.mark.parametrize("junk", [None, 7, "x", [], {}, [1, "x"], True, 1.5])
def test_junk_in_a_configuration_is_generic_at_worst(junk):
    keys = ("vocab_size", "rope_theta", "rope_parameters", "num_attention_heads", "eos_token_id",
            "max_position_embeddings", "padded_vocab_size", "_name_or_path")  # fmt: skip
    tokens = dict.fromkeys(
        ("bos_token", "eos_token", "chat_template", "name_or_path", "added_tokens_decoder"), junk
    )
    for kind in ("llama", "qwen2", "qwen3", "chatglm", "glm", junk):
        config = {**dict.fromkeys(keys, junk), "model_type": kind}
        assert recognise(config, tokens, {"family": junk}) in FAMILIES


def test_a_directory_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CHATGLM))
    (tmp_path / "tokenization_chatglm.py").write_text("raise SystemExit  # '[gMASK]', 'sop'")
    assert family_of(tmp_path).name == "chatglm2"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "glm"}))
    (tmp_path / "tunesmith_conversion.json").write_text('{"format": 1, "family": "chatglm2"}')
    assert family_of(tmp_path).name == "chatglm2"


def test_a_template_in_a_file_of_its_own_counts(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(QWEN2))
    (tmp_path / "chat_template.jinja").write_text("You are a helpful assistant<|im_end|>")
    assert family_of(tmp_path).name == "qwen1.5"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_directory_that_cannot_be_read_is_generic(tmp_path, content):
    for name in ("config.json", "tokenizer_config.json", "tunesmith_conversion.json"):
        (tmp_path / name).write_bytes(content)
    assert family_of(tmp_path).name == "generic"
    assert family_of(tmp_path / "nowhere").name == "generic"


def test_an_endless_file_is_not_read(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.write(b'{"model_type": "qwen3"}')
        file.truncate(40 << 20)
    assert family_of(tmp_path).name == "generic"


@pytest.mark.parametrize(("kind", "family"), [("llama", "llama"), ("qwen2", "qwen2")])
def test_a_real_directory_has_the_layers_its_family_names(tmp_path, kind, family):
    from safetensors import safe_open

    found = family_of(make_tiny_model(tmp_path / "model", kind))
    assert found.name == family
    with safe_open(tmp_path / "model" / "model.safetensors", "np") as file:
        layers = {name.split(".")[-2] for name in file.keys() if ".layers." in name}  # noqa: SIM118
    assert {layer for layer in layers if layer.endswith("_proj")} == set(found.lora_targets)


def test_every_family_can_be_reached_by_its_name():
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    formats = {family.name: family.stop_tokens[:1] for family in FAMILIES if family.stop_tokens}
    assert formats == {
        "llama2": ("</s>",),
        "llama3": ("<|eot_id|>",),
        "chatglm2": ("</s>",),
        "chatglm3": ("</s>",),
        "glm-4": ("<|user|>",),
        "glm-4-hf": ("<|user|>",),
        "qwen1.5": ("<|im_end|>",),
        "qwen2": ("<|im_end|>",),
        "qwen3": ("<|im_end|>",),
    }
