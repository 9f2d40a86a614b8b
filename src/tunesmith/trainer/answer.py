"""Answers questions with a base model, or with an adapter on it: JSON on stdin, JSON on stdout.

`{"base_model", "adapter": path or null, "system_prompt": text or null, "questions": [...],
"max_new_tokens": 48}` gives `{"answers": [...]}`. Greedy, with the prompts of training.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tunesmith.trainer import environment


def main() -> None:
    request = json.load(sys.stdin)
    answers = answer(
        Path(request["base_model"]),
        request.get("adapter"),
        request.get("system_prompt"),
        request["questions"],
        request.get("max_new_tokens", 48),
    )
    sys.stdout.write(json.dumps({"answers": answers}, ensure_ascii=False) + "\n")


def answer(
    base_model: Path,
    adapter: str | None,
    system_prompt: str | None,
    questions: list[str],
    max_new_tokens: int,
) -> list[str]:
    """Return one answer a question, without the end-of-turn token.

    Raises RunFailure, or InvalidInput for a base model that cannot be converted.
    """
    environment.prepare()
    from tunesmith.chatglm.cache import converted
    from tunesmith.chatglm.original import is_original_directory
    from tunesmith.families import family_of
    from tunesmith.prompt.prompt import Prompt
    from tunesmith.prompt.tokenizer import load_tokenizer
    from tunesmith.settings import load_settings
    from tunesmith.trainer import model

    if is_original_directory(base_model):
        base_model, _ = converted(base_model, load_settings().cache_dir)
    device = model.any_device()
    tokenizer = load_tokenizer(base_model)
    prompt = Prompt(tokenizer, family_of(base_model), system_prompt)
    tuned = model.load_base_model(base_model, model.choose_dtype("auto", device), device)
    if adapter is not None:
        tuned = model.load_adapter(tuned, adapter)
    tuned.eval()
    return [_generate(tuned, tokenizer, prompt, question, max_new_tokens) for question in questions]


def _generate(model: Any, tokenizer: Any, prompt: Any, question: str, max_new_tokens: int) -> str:
    import torch
    from transformers import GenerationConfig

    ids = prompt.prompt_ids(question)
    given = torch.tensor([ids], device=model.device)
    ends = prompt.stop_token_ids
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id or (ends or [0])[0],
    )
    with torch.no_grad():
        output = model.generate(
            input_ids=given, attention_mask=torch.ones_like(given), generation_config=config
        )
    return str(tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)).strip()


if __name__ == "__main__":
    main()
