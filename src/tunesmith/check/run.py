"""Checks a data set: reads it once, looks at a seeded sample of it, and says what it found."""

import tempfile
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.check import findings as find
from tunesmith.check.corpus import (
    Checked,
    Repeats,
    ScannedFile,
    ScannedSplit,
    conflicts,
    exact,
    nearly,
)
from tunesmith.check.diversity import diversity_of
from tunesmith.check.encoding import kind_and_encoding, rewrite
from tunesmith.check.fix import claim, fix
from tunesmith.check.lengths import Counter, in_parts, summary
from tunesmith.check.near import THRESHOLD
from tunesmith.check.quality import FAMILY_CONTROLS
from tunesmith.check.report import (
    Duplicates,
    Finding,
    Leakage,
    Lengths,
    Place,
    Report,
    Shown,
    ShownTurn,
    SplitReport,
    WrongRow,
)
from tunesmith.check.scan import BAD_ROWS_KEPT
from tunesmith.check.scan_file import FileToScan, scan_file
from tunesmith.dataset import Conversation, Dataset, Split, open_dataset
from tunesmith.dataset import check as read_all
from tunesmith.errors import FieldProblem, InvalidInput, Refused, RunFailure
from tunesmith.paths import inside_roots

SAMPLED = 100_000  # samples whose tokens and near duplicates are looked at
SAMPLED_OF_OTHERS = 10_000  # of them from validation and test each
DIVIDING_SHARE = 0.25  # of the time there is, to read all rows before they are divided
READING_SHARE = 0.5
UNDIVIDED = ("bad_row", "dataset_empty", "dataset_all_bad", "dataset_encoding")

Progress = Callable[[str, float], None]
"""Hears the stage (a key of `cli.check`) and how many rows of it are done."""


@dataclass(frozen=True)
class Request:
    """What is checked."""

    dataset_path: Path
    base_model: Path | None = None
    system_prompt: str | None = None
    max_seq_length: int = 512
    split: Mapping[str, float] | None = None
    seed: int = 42
    skip_bad_rows: bool = False
    seconds: float | None = None
    """Time there is; None reads everything."""
    roots: tuple[str, ...] | None = None
    """Directories that the files must be in; None allows any."""


def check(
    request: Request, workspace: Path, progress: Progress = lambda stage, rows: None
) -> Checked:
    """Check what `request` names; `workspace` is an empty directory for copies in UTF-8.

    Raises InvalidInput for a path that holds no data set or base model, and Refused for a base
    model whose tokenizer or template cannot be used.
    """
    end = None if request.seconds is None else time.monotonic() + request.seconds
    try:
        dataset, divided = _open(request)
        counter = None
        if request.base_model is not None:
            counter = _counter(request.base_model, request.system_prompt)
        files, readable = _scan_files(
            dataset.splits.values(), counter, request, workspace, end, progress
        )
    except RunFailure as failure:
        problem = FieldProblem("datasetPath", f"field.{failure.code}", failure.params)
        raise InvalidInput(problem) from None
    splits = [_scanned(split, files[split.file]) for split in dataset.splits.values()]
    report, repeats = _judge(request, list(files.values()), splits, counter, end, divided, progress)
    return Checked(report, list(files.values()), splits, repeats, readable)


def _open(request: Request) -> tuple[Dataset, bool]:
    """Return the data set, and whether it was divided as asked.

    One with so much wrong that it cannot be divided is looked at undivided: that is told then.
    """
    dataset = open_dataset(request.dataset_path, request.split, request.seed)
    if request.roots is not None:  # a file of an allowed directory may be a symlink out of it
        for file in dataset.files.values():
            inside_roots(str(file), "datasetPath", [Path(root) for root in request.roots])
    if request.split is None:
        return dataset, True
    seconds = None if request.seconds is None else DIVIDING_SHARE * request.seconds
    try:
        if read_all(dataset, "skip", seconds).complete:
            return dataset, True
    except RunFailure as failure:
        if failure.code not in UNDIVIDED:
            raise
    return open_dataset(request.dataset_path, None, request.seed), False


def _counter(base_model: Path, system_prompt: str | None) -> Counter:
    try:
        return Counter(base_model, system_prompt)
    except RunFailure as failure:
        if failure.code != "base_model_missing":
            raise Refused(failure.code, **failure.params) from None
        problem = FieldProblem("baseModel", "field.base_model_missing", failure.params)
        raise InvalidInput(problem) from None


def _scan_files(
    splits: Any,
    counter: Counter | None,
    request: Request,
    workspace: Path,
    end: float | None,
    progress: Progress,
) -> tuple[dict[Path, ScannedFile], dict[Path, Path]]:
    controls = tuple(counter.control_tokens if counter else FAMILY_CONTROLS)
    deadline = None
    if end is not None and request.seconds is not None:
        deadline = end - (1 - READING_SHARE) * request.seconds
    names: dict[Path, str] = {}
    for split in splits:
        names.setdefault(split.file, split.name)
    others = len(names) - 1
    files: dict[Path, ScannedFile] = {}
    readable: dict[Path, Path] = {}
    done = 0
    for file, name in names.items():
        size = SAMPLED - others * SAMPLED_OF_OTHERS if name == "train" else SAMPLED_OF_OTHERS
        asked = FileToScan(file, size, request.seed, controls, deadline)
        try:
            files[file], readable[file] = _scan(asked, workspace / name, _after(done, progress))
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFailure("dataset_unreadable", path=str(file), reason=reason) from None
        done += files[file].scan.rows
    return files, readable


def _scan(
    asked: FileToScan, workspace: Path, progress: Callable[[int], None]
) -> tuple[ScannedFile, Path]:
    """Scan a file, one in another encoding from a copy in UTF-8; return where it can be read."""
    file = readable = asked.path
    foreign: str | None = None
    try:
        found = scan_file(asked, progress)
    except RunFailure as failure:
        if failure.code != "dataset_encoding":
            raise
        foreign = failure.params["encoding"]
        workspace.mkdir()
        readable = rewrite(file, foreign, workspace / file.name)
        found = scan_file(replace(asked, path=readable), progress)
    kind, encoding = kind_and_encoding(readable)
    return ScannedFile(file, kind, foreign or encoding, found), readable


def _after(done: int, progress: Progress) -> Callable[[int], None]:
    return lambda rows: progress("reading", done + rows)


def _scanned(split: Split, file: ScannedFile) -> ScannedSplit:
    every = np.arange(len(file.scan.samples))
    if split.rows is None:
        return ScannedSplit(split.name, file, every, len(file.scan.bad_lines))
    belongs = np.isin(file.scan.ordinals, split.rows)
    # What cannot be divided is told with the first of them.
    bad = len(file.scan.bad_lines) if split.name == "train" else 0
    return ScannedSplit(split.name, file, every[belongs], bad)


def _judge(
    request: Request,
    files: list[ScannedFile],
    splits: list[ScannedSplit],
    counter: Counter | None,
    end: float | None,
    divided: bool,
    progress: Progress,
) -> tuple[Report, Repeats]:
    clock = _Clock(end)
    lengths, refused = _lengths(files, counter, request.max_seq_length, clock, progress)
    repeats = exact(splits)
    nearly(splits, repeats, request.seed, clock.steps(lambda n: progress("comparing", 1000 * n)))
    sampled = sum(len(file.scan.chosen) for file in files)
    diversity = diversity_of(splits[0])
    complete = clock.in_time and all(file.scan.complete for file in files)
    findings: list[Finding] = [
        *find.of_files(files, request.skip_bad_rows),
        *find.of_sizes(splits, complete),
        *([] if divided else [find.finding("warning", "undivided", 1)]),
        *refused,
        *find.of_repeats(splits, repeats),
        *find.of_lengths(lengths),
        *find.of_quality(splits),
        *find.of_diversity(diversity, splits[0].drawn),
    ]
    bad = [row for file in files for row in _wrong_rows(file)]
    report = Report(
        dataset_path=str(request.dataset_path),
        base_model=None if request.base_model is None else str(request.base_model),
        complete=complete,
        verdict=find.verdict(findings),
        rows=sum(len(split.indices) for split in splits),
        sampled=sampled,
        findings=findings,
        splits=[_split_report(split) for split in splits],
        bad_rows=bad[:BAD_ROWS_KEPT],
        duplicates=Duplicates(
            exact=sum(len(copies) for _, copies, _ in repeats.copies),
            conflicting=len(conflicts(splits[0])),
            near=sum(a is b for a, _, b, _ in repeats.near),
            near_complete=repeats.near_complete,
            compared=repeats.compared,
            threshold=THRESHOLD,
        ),
        leakage=[
            Leakage(
                split=split.name,
                exact=len(leaked),
                near=sum(a is split and b is not split for a, _, b, _ in repeats.near),
            )
            for split, leaked, _ in repeats.leaks
        ],
        lengths=lengths,
        diversity=diversity,
        samples=[_shown(files[0], row) for row in files[0].scan.first],
    )
    return report, repeats


class _Clock:
    """Lets parts of the work begin while there is time."""

    def __init__(self, end: float | None) -> None:
        self._end = end
        self.in_time = True

    def steps(self, progress: Callable[[int], None]) -> Iterator[None]:
        """Yield before each part; end when the time is over."""
        done = 0
        while self._end is None or time.monotonic() < self._end:
            progress(done)
            yield
            done += 1
        self.in_time = False


def _lengths(
    files: Sequence[ScannedFile],
    counter: Counter | None,
    limit: int,
    clock: _Clock,
    progress: Progress,
) -> tuple[Lengths | None, list[Finding]]:
    if counter is None:
        return summary(np.concatenate([file.scan.characters for file in files]), "characters"), []
    lengths = [np.zeros(0, dtype=np.int64)]
    silent = 0
    refused: list[Place] = []
    tokens: Counts[str] = Counts()
    rows = 0
    steps = clock.steps(lambda _: progress("counting", rows))
    for file in files:
        for part, _ in zip(in_parts([row for _, row in file.scan.chosen]), steps, strict=False):
            counted = counter.count(part, limit)
            rows += len(part)
            lengths.append(counted.lengths)
            silent += counted.without_answer
            refused += (Place(file=file.path.name, line=line) for line, _ in counted.refused)
            tokens.update(token for _, token in counted.refused)
    found = []
    if refused:
        names = list(tokens)
        found.append(find.finding("error", "control_refused", len(refused), refused, tokens=names))
    tokens_of = np.concatenate(lengths)
    positions = limit if counter.positions is None else counter.positions
    if limit > positions and (beyond := int(np.count_nonzero(tokens_of > positions))):
        found.append(find.finding("warning", "beyond_positions", beyond, positions=positions))
    return summary(tokens_of, "tokens", limit, silent), found


def _wrong_rows(file: ScannedFile) -> Iterator[WrongRow]:
    for row in file.scan.first_bad:
        params = dict(row.problem.get("params") or {})
        field = params.get("name")
        yield WrongRow(
            file=file.path.name,
            line=row.line,
            field=field if isinstance(field, str) else None,
            code=row.problem["code"],
            params=params,
        )


def _split_report(split: ScannedSplit) -> SplitReport:
    return SplitReport(
        name=split.name,
        file=split.file.path.name,
        format=split.file.format,
        encoding=split.file.encoding,
        rows=len(split.indices) + split.bad_rows,
        bad_rows=split.bad_rows,
        turns=int(split.file.scan.turns[split.indices].sum()),
    )


def _shown(file: ScannedFile, row: Conversation) -> Shown:
    return Shown(
        file=file.path.name,
        line=row.line,
        system=row.system,
        turns=[ShownTurn(question=turn.question, answer=turn.answer) for turn in row.turns],
    )


def run(values: Mapping[str, Any], progress: Progress = lambda stage, rows: None) -> Report:
    """Check what `values` (JSON) ask for, and write the cleaned copy where `fix` names a directory.

    Raises InvalidInput or Refused.
    """
    asked = dict(values)
    target = asked.pop("fix", None)
    drop_near = asked.pop("drop_near_duplicates", False)
    for name in ("dataset_path", "base_model"):
        asked[name] = Path(asked[name]) if asked.get(name) else None
    request = Request(**asked)
    with ExitStack() as stack:
        workspace = stack.enter_context(tempfile.TemporaryDirectory(prefix="tunesmith-check-"))
        if target:
            claim(Path(target))
        checked = check(request, Path(workspace), progress)
        if not target:
            return checked.report
        fixed = fix(checked, Path(target), drop_near)
        return checked.report.model_copy(update={"fixed": fixed})
