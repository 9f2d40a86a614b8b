"""Makes real base model directories that are tiny: two layers, a tokenizer trained on the spot."""

from pathlib import Path
from typing import Any, Literal

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = [
    "What is your name? My name is Smithy, and I am a small assistant.",
    "Which tool do you like best? My favourite tool is a small hammer.",
    "system user assistant instruction input output question answer",
    "你叫什么名字？我叫小匠，是一个小助手。你最喜欢什么工具？我最喜欢小锤子。",
]


def make_tiny_model(
    path: Path, family: Literal["llama", "qwen2"] = "llama", chat_template: bool = True
) -> Path:
    """Write a model of about 100,000 random parameters with its tokenizer to `path`; return it.

    Equal calls give equal weights and tokens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = make_tokenizer(chat_template)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = (
            LlamaForCausalLM(LlamaConfig(**shape))
            if family == "llama"
            else Qwen2ForCausalLM(Qwen2Config(**shape))
        )
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_tokenizer(chat_template: bool = True) -> Any:
    """Return a byte-level BPE tokenizer of about 400 tokens, with ChatML's control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>" if chat_template else "<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    if chat_template:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
