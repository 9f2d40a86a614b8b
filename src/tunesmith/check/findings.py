"""What the numbers mean: findings with a severity, and the verdict. Thresholds are here."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tunesmith.advice import FEW_SAMPLES
from tunesmith.check.corpus import EXAMPLES, Repeats, ScannedFile, ScannedSplit, conflicts
from tunesmith.check.encoding import UTF8_BOM, needs_rewriting
from tunesmith.check.quality import Rule
from tunesmith.check.report import Diversity, Finding, Lengths, Place, Severity, Verdict

# Parts of the data set.
ENDS_PROPERLY = 0.8  # of the long answers: then one that does not is suspicious
LABELS = 0.5  # one-character answers: then they are meant
CUT = 0.05  # samples cut at max_seq_length: more is a warning
SAME_QUESTION = 0.5  # distinct questions: fewer is a warning
SAME_OPENING = 0.3
SAME_ANSWER = 0.1
ENOUGH_TO_JUDGE = 20  # samples from which shares mean something
SPLIT_SHARES = {"validation": (0.01, 0.4), "test": (0.0, 0.4)}  # usual parts, least and most


def finding(
    severity: Severity,
    code: str,
    count: int,
    examples: Sequence[Place] = (),
    **params: Any,
) -> Finding:
    return Finding(
        severity=severity,
        code=f"check.{code}",
        params={"count": count} | params,
        count=count,
        examples=list(examples)[:EXAMPLES],
    )


def verdict(findings: Sequence[Finding]) -> Verdict:
    severities = {each.severity for each in findings}
    if "error" in severities:
        return Verdict.ERRORS
    return Verdict.WARNINGS if "warning" in severities else Verdict.READY


def of_files(files: Sequence[ScannedFile], skip_bad_rows: bool) -> Iterator[Finding]:
    """Findings about encodings and rows that are no samples."""
    for file in files:
        name = file.path.name
        if needs_rewriting(file.encoding):
            yield finding("error", "encoding", 1, file=name, encoding=file.encoding)
        elif file.encoding == UTF8_BOM:
            yield finding("info", "byte_order_mark", 1, file=name)
        if bad := len(file.scan.bad_lines):
            places = [Place(file=name, line=int(line)) for line in file.scan.bad_lines[:EXAMPLES]]
            severity: Severity = "warning" if skip_bad_rows else "error"
            yield finding(severity, "bad_rows", bad, places, file=name)
        if (line := file.scan.unreadable_from) is not None:
            yield finding("error", "rest_unreadable", 1, [Place(file=name, line=line)], file=name)


def of_sizes(splits: Sequence[ScannedSplit], complete: bool) -> Iterator[Finding]:
    """Findings about how many samples there are."""
    sizes = {split.name: len(split.indices) for split in splits}
    total = sum(sizes.values())
    for split in splits:
        if not len(split.indices) and complete:
            severity: Severity = "warning" if split.name == "test" else "error"
            yield finding(severity, "empty", 0, file=split.file.path.name)
    if complete and 0 < sizes["train"] < FEW_SAMPLES:
        yield finding("warning", "few_samples", sizes["train"], advised=FEW_SAMPLES)
    for name, (least, most) in SPLIT_SHARES.items():
        if complete and (size := sizes.get(name, 0)):
            share = size / total
            if not least <= share <= most:
                yield finding("info", "split_share", size, split=name, percent=percent(share))


def of_repeats(splits: Sequence[ScannedSplit], repeats: Repeats) -> Iterator[Finding]:
    """Findings about duplicates and leakage."""
    for split, copies, firsts in repeats.copies:
        if len(copies):
            pairs = zip(copies[:EXAMPLES].tolist(), firsts.tolist(), strict=False)
            places = [split.file.place(one, (split.file, other)) for one, other in pairs]
            yield finding("warning", "duplicates", len(copies), places, split=split.name)
    train = splits[0]
    if differing := conflicts(train):
        places = [train.file.place(o, (train.file, f)) for f, o in differing[:EXAMPLES]]
        yield finding("warning", "conflicts", len(differing), places)
    near = [each for each in repeats.near if each[0] is each[2]]
    if near:
        places = [a.file.place(i, (b.file, j)) for a, i, b, j in near[:EXAMPLES]]
        yield finding("warning", "near_duplicates", len(near), places, compared=repeats.compared)
    if not repeats.near_complete:
        yield finding("info", "near_incomplete", repeats.compared)
    for split, leaked, sources in repeats.leaks:
        if len(leaked):
            pairs = zip(leaked[:EXAMPLES].tolist(), sources.tolist(), strict=False)
            places = [split.file.place(one, (train.file, other)) for one, other in pairs]
            share = percent(len(leaked) / len(split.indices))
            yield finding(
                "warning", "leakage", len(leaked), places, split=split.name, percent=share
            )
    for split in splits[1:]:
        crossing = [e for e in repeats.near if e[0] is split and e[2] is not split]
        if crossing:
            places = [a.file.place(i, (b.file, j)) for a, i, b, j in crossing[:EXAMPLES]]
            yield finding("warning", "near_leakage", len(crossing), places, split=split.name)


def of_quality(splits: Sequence[ScannedSplit]) -> Iterator[Finding]:
    """Findings by the rules of `quality`."""
    total = sum(len(split.indices) for split in splits)
    if not total:
        return
    long = sum(len(split.having(Rule.LONG)) for split in splits)
    ended = sum(len(split.having(Rule.ENDED)) for split in splits)
    one_character = sum(len(split.having(Rule.ONE_CHARACTER)) for split in splits)
    for rule, code in (
        (Rule.ONE_CHARACTER, "one_character"),
        (Rule.ECHO, "answer_is_question"),
        (Rule.UNFINISHED, "unfinished"),
        (Rule.UNCLOSED, "unclosed"),
        (Rule.GARBLED, "garbled"),
        (Rule.LOOP, "loop"),
        (Rule.CONTROL, "control_tokens"),
    ):
        if rule is Rule.UNFINISHED and ended < ENDS_PROPERLY * long:
            continue
        count = sum(len(split.having(rule)) for split in splits)
        if not count:
            continue
        labels = rule is Rule.ONE_CHARACTER and one_character > LABELS * total
        places = [
            split.file.place(index)
            for split in splits
            for index in split.having(rule)[:EXAMPLES].tolist()
        ]
        yield finding("info" if labels else "warning", code, count, places)


def of_lengths(lengths: Lengths | None) -> Iterator[Finding]:
    """Findings about samples that are cut at max_seq_length."""
    if lengths is None or lengths.max_seq_length is None:
        return
    limit = lengths.max_seq_length
    if lengths.cut:
        share = lengths.cut / lengths.samples
        yield finding(
            "warning" if share > CUT else "info",
            "cut",
            lengths.cut,
            percent=percent(share),
            max_seq_length=limit,
            longest=lengths.percentiles["100"],
        )
    if silent := lengths.without_answer:
        severity: Severity = "error" if silent >= lengths.samples else "warning"
        yield finding(severity, "without_answer", silent, max_seq_length=limit)


def of_diversity(diversity: Diversity, sampled: int) -> Iterator[Finding]:
    """Findings about samples that are much alike."""
    total = diversity.questions
    if total < ENOUGH_TO_JUDGE:
        return
    distinct = diversity.distinct_questions / total
    if distinct < SAME_QUESTION:
        yield finding(
            "warning", "same_questions", diversity.distinct_questions, percent=percent(distinct)
        )
    for code, repeated, whole, limit in (
        ("same_openings", diversity.openings, sampled, SAME_OPENING),
        ("same_answers", diversity.answers, total, SAME_ANSWER),
    ):
        if repeated and repeated[0].count > limit * whole:
            first = repeated[0]
            place = Place(file=first.file, line=first.line)
            share = percent(first.count / whole)
            yield finding("info", code, first.count, [place], percent=share, text=first.text)


def percent(share: float) -> str:
    """Return a share of 0-1 as a number for a sentence, which adds the sign."""
    value = 100 * share
    return f"{value:.0f}" if value >= 10 or not value else f"{np.ceil(value * 10) / 10:.1f}"
