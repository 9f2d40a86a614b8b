"""Tokenising: `Prompt.encode` against the tokenizer's bare `encode_batch_fast`, and the cache.

    python -m benchmarks.tokenising [BASE_MODEL_DIR] [--rows 20000] [--cached-rows 1000000]

Both encode the same conversations, Chinese and English; the bare tokenizer gets them rendered
already. They take turns, medians count. Without a base model a byte-level tokenizer is trained on
the spot. The cache is looked up in a new process's state: data hash remembered, files opened.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.families import family_of, recognise
from tunesmith.prompt.cache import TokenCache, cache_key
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.prompt.prompt import Encoded, Prompt
from tunesmith.prompt.tokenizer import load_tokenizer

RUNS = 15
ENGLISH_TEXT = (
    "please explain how to write good code in python with tests and examples for a small model "
    "that answers questions about tools and the weather in the city"
)
ENGLISH = ENGLISH_TEXT.split()
CHINESE = (
    "你叫什么名字我是一个小助手最喜欢的工具锤子请解释如何写好代码训练模型数据答案问题今天天气很好"
)
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def conversations(rows: int) -> list[Conversation]:
    """Return `rows` conversations, half Chinese, of some 100 tokens."""
    rng = random.Random(0)

    def text(words: int) -> str:
        if rng.random() < 0.5:
            return " ".join(rng.choices(ENGLISH, k=words)) + "."
        return "".join(rng.choices(CHINESE, k=2 * words)) + "。"

    return [Conversation((Turn(text(15), text(60)),), None, row + 1) for row in range(rows)]


def trained_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(
        (turn for row in conversations(500) for turn in row.turns[0]), trainer
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def rendered(tokenizer: Any, row: Conversation) -> str:
    messages = [
        {"role": role, "content": text}
        for turn in row.turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    return str(tokenizer.apply_chat_template(messages, tokenize=False))


def measure_encoding(tokenizer: Any, prompt: Prompt, rows: int) -> None:
    data = conversations(rows)
    texts = [rendered(tokenizer, row) for row in data]
    backend = tokenizer.backend_tokenizer
    bare, ours = [], []
    tokens = 0
    for _ in range(RUNS):
        began = time.perf_counter()
        backend.encode_batch_fast(texts, add_special_tokens=False)
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        tokens = len(prompt.encode(data, 1 << 20).samples.tokens)
        ours.append(time.perf_counter() - began)
    raw, full = statistics.median(bare), statistics.median(ours)
    print(f"{rows / raw:10,.0f} rows/s  the bare tokenizer")
    print(f"{rows / full:10,.0f} rows/s  Prompt.encode ({tokens / full:,.0f} tokens/s)")
    print(f"{raw / full:10.0%} of the bare tokenizer's speed (limit: at least 90 %)")


def measure_cache(rows: int) -> None:
    """Look an entry of `rows` samples up, its data file's hash remembered."""
    with tempfile.TemporaryDirectory() as root:
        file = Path(root) / "train.jsonl"
        file.write_text("{}\n")
        os.utime(file, ns=(10**18, 10**18))
        starts = np.arange(rows + 1, dtype=np.int64) * 100
        tokens = np.zeros(rows * 100, dtype=np.int32)
        learnt = np.ones(rows * 100, dtype=np.bool_)
        made = Encoded(EncodedSamples(tokens, starts, learnt), rows, 0, 100, 0, None)
        cache = TokenCache(Path(root) / "tokens")
        cache.encoded(cache_key(["benchmark", cache.data_hash(file)]), lambda: made)
        began = time.perf_counter()
        again = TokenCache(Path(root) / "tokens")
        found = again.encoded(cache_key(["benchmark", again.data_hash(file)]), lambda: made)
        seconds = time.perf_counter() - began
        assert found is not made, "the cache did not find it"
    print(f"{seconds:10.3f} s  to find {rows:,} samples in the cache (limit: 1 s)")


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("base_model", nargs="?", type=Path)
    asked.add_argument("--rows", type=int, default=20_000)
    asked.add_argument("--cached-rows", type=int, default=1_000_000)
    given = asked.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if given.base_model:
        tokenizer, family = load_tokenizer(given.base_model), family_of(given.base_model)
    else:
        tokenizer, family = trained_tokenizer(), recognise({}, {}, {})
    measure_encoding(tokenizer, Prompt(tokenizer, family, None), given.rows)
    measure_cache(given.cached_rows)


if __name__ == "__main__":
    main()
