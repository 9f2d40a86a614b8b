"""What is known about a family of base models. Data only; imports no torch."""

from dataclasses import dataclass
from typing import Literal

PromptFormat = Literal[
    "llama2", "llama3", "chatglm2", "chatglm3", "glm-4", "qwen1.5", "qwen2", "plain"
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
    """`model_type` in config.json."""
    prompt_format: PromptFormat
    """Used where the tokenizer has no chat template of its own."""
    format_wins: bool
    """The family's format is used even where the tokenizer has a template, which cannot say it
    exactly (ChatGLM encodes role and text apart)."""
    stop_tokens: tuple[str, ...]
    """Tokens that end an answer; the first is the one that is trained."""
    lora_targets: tuple[str, ...]
    """Linear layers of a decoder block, by their short names; () where they are not known."""
