"""What is known about each family of base models: the table. Data only; imports no torch."""

from dataclasses import dataclass
from typing import Literal

PromptFormat = Literal[
    "llama2", "llama3", "chatglm2", "chatglm3", "glm-4", "qwen1.5", "qwen2", "qwen3", "plain"
]
"""A prompt format of `tunesmith.prompt.formats`; "plain" where nothing better is known."""


@dataclass(frozen=True)
class Family:
    """Base models that share architecture, prompt format and stop tokens."""

    name: str
    """On the wire and in messages: "llama3", "chatglm2", "generic"."""
    title: str
    """For people: "LLaMA 3"."""
    model_types: tuple[str, ...]
    """`model_type` in config.json; () means any."""
    prompt_format: PromptFormat
    """Used where the tokenizer has no chat template of its own."""
    format_wins: bool
    """The family's format is used even where the tokenizer has a template, which cannot say it
    exactly (ChatGLM encodes role and text apart)."""
    stop_tokens: tuple[str, ...]
    """Tokens that end an answer; the first is the one that is trained. () means the tokenizer's
    own end token, whichever that is."""
    lora_targets: tuple[str, ...]
    """Linear layers of a decoder block, by their short names; () where they are not known."""


_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_LLAMA_LAYERS = (*_ATTENTION, "gate_proj", "up_proj", "down_proj")
_GLM_LAYERS = (*_ATTENTION, "gate_up_proj", "down_proj")
# A turn of the user ends the answer: that is what GLM-4's own chat models were trained on.
_GLM4_STOPS = ("<|user|>", "<|endoftext|>", "<|observation|>")
_CHATML_STOPS = ("<|im_end|>", "<|endoftext|>")

LLAMA2 = Family("llama2", "LLaMA 2", ("llama",), "llama2", False, ("</s>",), _LLAMA_LAYERS)
LLAMA3 = Family(
    "llama3",
    "LLaMA 3",
    ("llama",),
    "llama3",
    False,
    ("<|eot_id|>", "<|end_of_text|>"),
    _LLAMA_LAYERS,
)
# SmolLM2, Yi, TinyLlama: the layers are LLaMA's, tokens and prompts are not.
LLAMA = Family("llama", "LLaMA architecture", ("llama",), "plain", False, (), _LLAMA_LAYERS)
# In the original layout, and converted from it.
CHATGLM2 = Family(
    "chatglm2", "ChatGLM2", ("chatglm", "glm"), "chatglm2", True, ("</s>",), _GLM_LAYERS
)
CHATGLM3 = Family(
    "chatglm3",
    "ChatGLM3",
    ("chatglm", "glm"),
    "chatglm3",
    True,
    # Its own code stops at the next speaker, too.
    ("</s>", "<|user|>", "<|observation|>"),
    _GLM_LAYERS,
)
GLM4 = Family("glm-4", "GLM-4", ("chatglm", "glm"), "glm-4", True, _GLM4_STOPS, _GLM_LAYERS)
# glm-4-9b-hf, glm-4-9b-chat-hf, GLM-4-9B-0414: made for transformers, with a template of their own.
GLM4_NATIVE = Family(
    "glm-4-hf", "GLM-4 (transformers)", ("glm", "glm4"), "glm-4", False, _GLM4_STOPS, _GLM_LAYERS
)
QWEN15 = Family("qwen1.5", "Qwen1.5", ("qwen2",), "qwen1.5", False, _CHATML_STOPS, _LLAMA_LAYERS)
QWEN2 = Family("qwen2", "Qwen2", ("qwen2",), "qwen2", False, _CHATML_STOPS, _LLAMA_LAYERS)
QWEN3 = Family("qwen3", "Qwen3", ("qwen3",), "qwen3", False, _CHATML_STOPS, _LLAMA_LAYERS)
GENERIC = Family("generic", "Other", (), "plain", False, (), ())

FAMILIES = (
    LLAMA2,
    LLAMA3,
    LLAMA,
    CHATGLM2,
    CHATGLM3,
    GLM4,
    GLM4_NATIVE,
    QWEN15,
    QWEN2,
    QWEN3,
    GENERIC,
)
BY_NAME = {family.name: family for family in FAMILIES}
