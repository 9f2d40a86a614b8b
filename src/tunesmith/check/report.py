"""What the check of a data set says: the shape of its answer, without and with sentences."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from tunesmith.messages import Language, sentence

Severity = Literal["error", "warning", "info"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Verdict(StrEnum):
    """What to do with the data set."""

    READY = "ready"
    WARNINGS = "ready_with_warnings"
    ERRORS = "must_be_mended"


class Place(_Part):
    """A row, and another one it has to do with."""

    file: str
    line: int
    """Line (JSONL) or row, from 1."""
    other_file: str | None = None
    other_line: int | None = None
    text: str | None = None
    """How the row's question begins."""


class Finding(_Part):
    """Something about the data set that its owner should know."""

    severity: Severity
    code: str
    """`check.<rule>`."""
    params: dict[str, Any]
    message: str = ""
    """The sentence, where a language is known (`with_messages`)."""
    count: int
    examples: list[Place]


class WrongRow(_Part):
    """A row that is no sample."""

    file: str
    line: int
    field: str | None
    code: str
    params: dict[str, Any]
    message: str = ""


class SplitReport(_Part):
    """A split: what was read of it."""

    name: str
    file: str
    format: str
    encoding: str
    rows: int
    bad_rows: int
    turns: int


class Bin(_Part):
    """A bar of a histogram: samples of `low` up to `high` units, both included."""

    low: int
    high: int
    count: int


class Lengths(_Part):
    """How long samples are."""

    unit: Literal["tokens", "characters"]
    samples: int
    """Samples that were measured."""
    mean: float
    percentiles: dict[str, int]
    """"50", "90", "95", "99" and "100", the longest."""
    histogram: list[Bin]
    max_seq_length: int | None
    """Tokens at which samples are cut; None where tokens were not counted."""
    cut: int
    without_answer: int
    """Samples of which nothing would be learnt: no token of an answer is left."""


class Duplicates(_Part):
    """Samples that are there more than once in their split."""

    exact: int
    """Copies beyond the first."""
    conflicting: int
    """Questions that have different answers."""
    near: int
    near_complete: bool
    """False: there may be more near duplicates, so many samples are alike."""
    compared: int
    """Samples that were compared for near duplicates."""
    threshold: float


class Leakage(_Part):
    """Samples of a split that are in train too."""

    split: str
    exact: int
    near: int


class Repeated(_Part):
    """A text that many samples share."""

    text: str
    count: int
    line: int
    """The first one, in `file`."""
    file: str


class Diversity(_Part):
    """How different samples are."""

    questions: int
    distinct_questions: int
    openings: list[Repeated]
    answers: list[Repeated]


class ShownTurn(_Part):
    question: str
    answer: str


class Shown(_Part):
    """A sample as it was understood."""

    file: str
    line: int
    system: str | None
    turns: list[ShownTurn]


class Report(_Part):
    """Everything the check found."""

    dataset_path: str
    base_model: str | None
    complete: bool
    """Whether every row was read; False when the time ran out first."""
    verdict: Verdict
    message: str = ""
    rows: int
    """Samples, without bad rows."""
    sampled: int
    """Samples whose tokens and near duplicates were looked at, by seeded chance."""
    findings: list[Finding]
    splits: list[SplitReport]
    bad_rows: list[WrongRow]
    """The first ones."""
    duplicates: Duplicates
    leakage: list[Leakage]
    lengths: Lengths | None
    diversity: Diversity
    samples: list[Shown]
    """The first ones."""
    fixed: "Fixed | None" = None


class Fixed(_Part):
    """What the cleaned copy has."""

    path: str
    kept: int
    dropped: int
    reasons: dict[str, int]
    """Dropped rows per reason; line by line they are in `dropped.jsonl` there."""


def with_messages(report: Report, language: Language) -> Report:
    """Return `report` with its sentences in `language`."""

    def said(each: Finding | WrongRow) -> dict[str, Any]:
        return {"message": sentence(each.code, language, each.params)}

    errors = sum(finding.severity == "error" for finding in report.findings)
    warnings = sum(finding.severity == "warning" for finding in report.findings)
    params: Mapping[str, Any] = {"errors": errors, "warnings": warnings, "rows": report.rows}
    return report.model_copy(
        update={
            "message": sentence(f"check.verdict.{report.verdict.value}", language, params),
            "findings": [each.model_copy(update=said(each)) for each in report.findings],
            "bad_rows": [each.model_copy(update=said(each)) for each in report.bad_rows],
        }
    )
