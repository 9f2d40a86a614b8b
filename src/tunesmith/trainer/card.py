"""The model card of a result: README.md with what was trained, on what, how, and how it went."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith import __version__
from tunesmith.spec import Spec

CARD = """\
---
base_model: {base_yaml}
library_name: {library}
pipeline_tag: text-generation
tags:
- {method}
- tunesmith
---

# {name}

{description}{what} `{base}`, trained with Tunesmith {version}.

## Use

```python
{imports}

path = {output}
model = {loader}.from_pretrained(path)
tokenizer = AutoTokenizer.from_pretrained(path)
messages = {messages}
prompt = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**prompt, max_new_tokens=128{eos})
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))
```

## Data

| split | samples | used |
|---|---|---|
{splits}

From `{dataset}`; {tokens} tokens an epoch in the training split, of which {labels} (the answers)
were learnt.

## Results

| | |
|---|---|
{results}

## Arguments

| argument | value |
|---|---|
{arguments}
"""


WHAT = {
    "lora": "A LoRA adapter for the base model",
    "qlora": "A LoRA adapter, trained on {bits}-bit weights (QLoRA), for the base model",
    "full": "A model fine-tuned in full from the base model",
}
KINDS = {
    False: {
        "library": "peft",
        "imports": "from peft import AutoPeftModelForCausalLM\n"
        "from transformers import AutoTokenizer",
        "loader": "AutoPeftModelForCausalLM",
    },
    True: {
        "library": "transformers",
        "imports": "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "loader": "AutoModelForCausalLM",
    },
}


@dataclass(frozen=True)
class Facts:
    """What a card tells beyond the spec."""

    splits: dict[str, tuple[int, int]]
    """Samples in the file, and samples used, by split."""
    tokens: int
    labels: int
    results: dict[str, str]
    stop_token_ids: Sequence[int]


def model_card(spec: Spec, facts: Facts) -> str:
    messages = [{"role": "user", "content": "..."}]
    if spec.training.system_prompt is not None:
        messages.insert(0, {"role": "system", "content": spec.training.system_prompt})
    eos = f", eos_token_id={list(facts.stop_token_ids)}" if facts.stop_token_ids else ""
    return CARD.format(
        **KINDS[spec.training.method == "full"],
        what=WHAT[spec.training.method].format(bits=spec.training.quantization_bits),
        method=spec.training.method,
        base_yaml=json.dumps(spec.base_model, ensure_ascii=False),
        name=_one_line(spec.name),
        description=f"{spec.description}\n\n" if spec.description else "",
        base=spec.base_model,
        version=__version__,
        output=json.dumps(str(Path(spec.output_path)), ensure_ascii=False),
        messages=json.dumps(messages, ensure_ascii=False),
        eos=eos,
        splits=_table({name: f"{read} | {used}" for name, (read, used) in facts.splits.items()}),
        dataset=spec.dataset_path,
        tokens=facts.tokens,
        labels=facts.labels,
        results=_table(facts.results),
        arguments=_table(
            {
                name: json.dumps(value, ensure_ascii=False)
                for name, value in spec.training.model_dump(mode="json").items()
            }
        ),
    )


def _table(rows: dict[str, str]) -> str:
    return "\n".join(f"| {name} | {_one_line(value)} |" for name, value in rows.items())


def _one_line(text: str) -> str:
    return " ".join(text.split())
