"""The work that peers are compared on: samples made from the demo's sentences, and models.

Everything is made from a seed: equal calls give equal files.
"""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.job import BATCH_SIZE, MAX_LENGTH, SEED

if TYPE_CHECKING:
    from tunesmith.prompt.encoded import EncodedSamples

PERSONA = Path(__file__).parents[2] / "examples" / "persona"
SAMPLES = 48
# ChatML without the line break after the last answer: whether that is learnt differs from peer
# to peer, and the work must not. Every sample has a system text: so do defaults.
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}"
    "{% if not loop.last or add_generation_prompt %}{{ '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SYSTEM = "You are a helpful assistant."
SHORTEST = 50
LEFT_FOR_TEMPLATE = 40  # tokens of MAX_LENGTH

Row = dict[str, Any]


class Writer:
    """Writes texts of a wanted number of tokens, each in one language."""

    def __init__(self, tokenizer_file: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self.random = random.Random(SEED)
        lines = (PERSONA / "train.jsonl").read_text(encoding="utf-8").splitlines()
        sentences = [json.loads(line)[key] for line in lines for key in ("instruction", "output")]
        self._english = sorted({each for each in sentences if each.isascii()})
        self._chinese = sorted({each for each in sentences if not each.isascii()})

    def text(self, tokens: int) -> str:
        """Return whole sentences of Chinese or English, and then words, up to `tokens` tokens."""
        if self.random.random() < 0.5:
            return self._filled(self._english, " ", tokens)
        return self._filled(self._chinese, "", tokens)

    def _filled(self, sentences: list[str], blank: str, tokens: int) -> str:
        text = ""
        while self._count(text) < tokens:
            text += (blank if text else "") + self.random.choice(sentences)
        while text and self._count(text) > tokens:
            text = text[:-1]
        return text.strip() or "."

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def row(question: str, answer: str, system: str = SYSTEM) -> Row:
    return {
        "prompt": [
            {"role": "system", "content": system},
            {"role": "user", "content": question},
        ],
        "completion": [{"role": "assistant", "content": answer}],
    }


def mixed(writer: Writer) -> list[Row]:
    """Log-uniform lengths: a padded batch is to about 40 % padding. 55-85 % of each is answer."""
    rows = []
    for _ in range(SAMPLES):
        tokens = SHORTEST * ((MAX_LENGTH - LEFT_FOR_TEMPLATE) / SHORTEST) ** writer.random.random()
        answer = int(tokens * writer.random.uniform(0.55, 0.85))
        rows.append(row(writer.text(int(tokens) - answer), writer.text(answer)))
    return rows


def system300(writer: Writer) -> list[Row]:
    system = writer.text(300)
    lengths = [writer.random.randint(20, 100) for _ in range(SAMPLES)]
    return [row(writer.text(n), writer.text(n // 2), system) for n in lengths]


def oneword(writer: Writer) -> list[Row]:
    most = MAX_LENGTH - LEFT_FOR_TEMPLATE
    lengths = [writer.random.randint(most // 2, most) for _ in range(SAMPLES)]
    return [row(writer.text(n), writer.random.choice(["Yes.", "No.", "是", "否"])) for n in lengths]


def short(writer: Writer) -> list[Row]:
    return [row(writer.text(20), writer.text(20)) for _ in range(SAMPLES)]


def as_given(base_model: Path, directory: Path) -> None:
    """Link the files of `base_model` into `directory`, but for its chat template."""
    for file in base_model.iterdir():
        if file.is_file() and not file.name.startswith(("chat_template", "tokenizer_config")):
            (directory / file.name).symlink_to(file.resolve())
    config = json.loads((base_model / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_tokenizer_config(directory, config)


def vocab152k(base_model: Path, directory: Path) -> None:
    """Qwen2-0.5B with half its width and depth, random weights, and `base_model`'s tokenizer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    as_given(base_model, directory)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (directory / name).unlink(missing_ok=True)
    given = json.loads((base_model / "config.json").read_text(encoding="utf-8"))
    torch.manual_seed(SEED)
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=448,
        intermediate_size=2432,
        num_hidden_layers=12,
        num_attention_heads=7,
        num_key_value_heads=1,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=given.get("bos_token_id"),
        eos_token_id=given.get("eos_token_id"),
        pad_token_id=given.get("pad_token_id"),
    )
    Qwen2ForCausalLM(config).save_pretrained(directory)


def tiny(base_model: Path, directory: Path) -> None:
    """The tests' llama of two layers and about 100,000 parameters."""
    from tests.tiny_models import make_tiny_model

    make_tiny_model(directory)
    config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
    (directory / "chat_template.jinja").unlink(missing_ok=True)
    write_tokenizer_config(directory, config)


def write_tokenizer_config(directory: Path, config: dict[str, Any]) -> None:
    text = json.dumps(config | {"chat_template": TEMPLATE}, ensure_ascii=False, indent=1)
    (directory / "tokenizer_config.json").write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Workload:
    """Samples to learn, and the model that learns them."""

    about: str
    rows: Callable[[Writer], list[Row]]
    model: Callable[[Path, Path], None] = as_given
    """Writes the model to its second argument; its first is the base model's directory."""


WORKLOADS = {
    "mixed": Workload("instructions in Chinese and English of mixed length", mixed),
    "system300": Workload("a system prompt of 300 tokens that all samples share", system300),
    "vocab152k": Workload("mixed, with a vocabulary of 151,936 tokens", mixed, vocab152k),
    "oneword": Workload("long questions, one-word answers", oneword),
    "tiny": Workload("short samples, a model of two small layers", short, tiny),
}


def make_model(workload: Workload, base_model: Path, directory: Path) -> Path:
    """Write the workload's model to `directory`, anew; return it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    workload.model(base_model, directory)
    return directory


def read_rows(file: Path) -> list[Row]:
    """Return the samples of any data set that Tunesmith reads, those of one turn only."""
    from tunesmith.dataset import open_dataset, read_conversations

    conversations = read_conversations(open_dataset(file, None, SEED).train, lambda row: None)
    return [
        row(each.turns[0].question, each.turns[0].answer, each.system or SYSTEM)
        for each in conversations
        if len(each.turns) == 1
    ]


def encoded(file: Path, model: Path) -> "EncodedSamples":
    """Return the samples of `file` as tokens, uncut."""
    from tunesmith.dataset import open_dataset, read_conversations
    from tunesmith.families import family_of
    from tunesmith.prompt.prompt import Prompt
    from tunesmith.prompt.tokenizer import load_tokenizer

    prompt = Prompt(load_tokenizer(model), family_of(model), None)
    conversations = read_conversations(open_dataset(file, None, SEED).train, lambda row: None)
    return prompt.encode(conversations, 1 << 30).samples


def arranged(rows: list[Row], seed: int) -> list[Row]:
    """Return the rows in such an order that Tunesmith, shuffling by `seed`, learns them as given.

    One epoch: the others have sequential samplers and get `rows` itself.
    """
    from tunesmith.trainer.batches import epoch_order

    placed: list[Row] = [{}] * len(rows)
    for place, each in zip(epoch_order(len(rows), seed, 0), rows, strict=True):
        placed[int(place)] = each
    return placed


def taken(rows: list[Row], steps: int) -> list[Row]:
    """Return the rows of `steps` steps, from the start again where there are too few."""
    return [rows[index % len(rows)] for index in range(steps * BATCH_SIZE)]


def write_rows(rows: list[Row], file: Path) -> Path:
    with file.open("w", encoding="utf-8") as out:
        for each in rows:
            out.write(json.dumps(each, ensure_ascii=False) + "\n")
    return file
