"""A split's samples -> tokens, by way of the cache; what the prompt's format could not take."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.dataset import BadRow, Split, read_conversations, unit_of
from tunesmith.spec import Spec
from tunesmith.trainer.report import Report

if TYPE_CHECKING:
    from tunesmith.prompt.prompt import Encoded, Prompt


def encode_split(prompt: "Prompt", split: Split, spec: Spec, report: Report) -> "Encoded":
    """Return the samples of `split` as tokens; warn of what had to be done to them.

    Raises RunFailure `bad_row`.
    """
    limit = spec.training.max_seq_length
    file = split.file
    encoded = _encode_once(prompt, split, spec)
    if encoded.refused:
        line, token = encoded.refused[0]
        if spec.training.on_bad_rows == "error":
            raise next(refused_rows(split, encoded)).failure()
        refused = {"count": len(encoded.refused), "line": line, "file": file.name}
        report.warning("rows_with_control_tokens", token=token, **refused)
    if encoded.with_system and not prompt.has_system_role:
        report.warning("no_system_role", count=encoded.with_system)
    if encoded.truncated:
        report.warning(
            "samples_truncated",
            count=encoded.truncated,
            max_seq_length=limit,
            longest=encoded.longest,
        )
    if encoded.skipped and len(encoded.samples):
        report.warning(
            "samples_skipped",
            count=encoded.skipped,
            max_seq_length=limit,
            line=encoded.first_skipped,
            file=file.name,
        )
    return encoded


def _encode_once(prompt: "Prompt", split: Split, spec: Spec) -> "Encoded":
    """Encode the samples of `split`, or take what an earlier run kept of the same."""
    from tunesmith import __version__
    from tunesmith.prompt.cache import TokenCache, cache_key

    limit = spec.training.max_seq_length

    def encode() -> "Encoded":
        # Every row has been checked: what is bad has been told, or has ended the run.
        return prompt.encode(read_conversations(split, lambda row: None), limit)

    if not spec.cache_dir:
        return encode()
    cache = TokenCache(Path(spec.cache_dir) / "tokens")
    try:
        data = cache.data_hash(split.file)
    except OSError:
        return encode()  # which says what is wrong with the file
    rows = "" if split.rows is None else hashlib.sha256(split.rows.tobytes()).hexdigest()
    kind = split.file.suffix.lower()  # the same bytes are other rows under another name
    asked = (str(limit), spec.training.on_bad_rows)
    key = cache_key([__version__, prompt.fingerprint, data, kind, rows, *asked])
    return cache.encoded(key, encode)


def refused_rows(split: Split, encoded: "Encoded") -> Iterator[BadRow]:
    """Yield the rows that the prompt's format could not take."""
    if encoded.refused:
        unit = unit_of(split.file)
        for line, token in encoded.refused:
            problem = {"code": "row.control_token", "params": {"token": token}}
            yield BadRow(split.file.name, line, problem, unit)
