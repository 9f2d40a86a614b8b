"""Shows a sample as training will see it: `python -m tunesmith.trainer.preview`, JSON in and out.

`{"base_model", "dataset_path" or "sample", "row": 1, "system_prompt", "max_seq_length"}` gives
what `wire.Preview` holds. Needs the base model's tokenizer only; asked by server and command line
through `side_process`, so that they stay free of transformers.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from tunesmith.dataset import BadRow, Conversation, open_dataset, read_rows
from tunesmith.errors import FieldProblem, InvalidInput, Refused, RunFailure
from tunesmith.side_process import answer_one
from tunesmith.trainer import environment

OF_DATA = (
    *("dataset_missing", "dataset_no_train", "dataset_ambiguous"),
    *("dataset_unreadable", "dataset_encoding", "bad_row"),
)


def show(request: dict[str, Any]) -> dict[str, Any]:
    """Return the preview that `request` asks for. Raises InvalidInput or Refused."""
    try:
        conversation = _conversation(request)
        return _shown(Path(request["base_model"]), conversation, request)
    except RunFailure as failure:
        if failure.code in OF_DATA:
            field = "sample" if request.get("sample") else "datasetPath"
            problem = FieldProblem(field, f"field.{failure.code}", failure.params)
            raise InvalidInput(problem) from None
        raise Refused(failure.code, **failure.params) from None


def _shown(base_model: Path, conversation: Conversation, request: dict[str, Any]) -> dict[str, Any]:
    environment.prepare()
    from tunesmith.chatglm.original import original_tokenizer
    from tunesmith.families import family_of
    from tunesmith.prompt.preview import preview
    from tunesmith.prompt.prompt import Prompt
    from tunesmith.prompt.tokenizer import load_tokenizer

    tokenizer = original_tokenizer(base_model) or load_tokenizer(base_model)
    family = family_of(base_model)
    prompt = Prompt(tokenizer, family, request.get("system_prompt"))
    found = preview(prompt, tokenizer, conversation, request["max_seq_length"])
    return {
        "text": found.text,
        "family": family.name,
        "promptFormat": prompt.format_name,
        "tokens": [vars(token) for token in found.tokens],
        "learntTokens": found.learnt,
        "totalTokens": found.total,
        "truncated": found.total > len(found.tokens),
    }


def _conversation(request: dict[str, Any]) -> Conversation:
    if sample := request.get("sample"):
        with tempfile.TemporaryDirectory() as directory:  # read as a file of a data set would be
            file = Path(directory) / "sample.jsonl"
            file.write_text(json.dumps(sample) + "\n", encoding="utf-8")
            return _row(file, 1)
    return _row(open_dataset(Path(request["dataset_path"])).files["train"], request.get("row", 1))


def _row(file: Path, row: int) -> Conversation:
    count = 0
    for count, found in enumerate(read_rows(file), start=1):
        if count == row:
            if isinstance(found, BadRow):
                raise found.failure()
            return found
    raise InvalidInput(FieldProblem("row", "field.row_missing", {"count": count, "row": row}))


if __name__ == "__main__":
    answer_one(show)
