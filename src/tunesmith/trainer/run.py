"""A run from top to bottom: check, load, prepare, train, save.

torch and what needs it are imported on the way, when the data has been found good: a wrong row
is told within a second, and a run imports nothing it does not use.
"""

import contextlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.advice import FEW_SAMPLES
from tunesmith.dataset import (
    BadRowList,
    Dataset,
    Split,
    check,
    open_dataset,
)
from tunesmith.errors import RunFailure
from tunesmith.events import EventWriter, Finished, Phase, Planned
from tunesmith.run_directory import RunDirectory, read_json, write_json
from tunesmith.spec import Spec
from tunesmith.trainer import environment, imports, memory
from tunesmith.trainer.base_directory import find_or_download, native
from tunesmith.trainer.encoding import encode_split, refused_rows
from tunesmith.trainer.failures import describe
from tunesmith.trainer.rank_failures import leave_failure
from tunesmith.trainer.ranks import ALONE, Alone, Group, Place, Ranks
from tunesmith.trainer.report import Report
from tunesmith.trainer.schedule import Plan, make_plan
from tunesmith.trainer.stop import Stop, StopRequested

if TYPE_CHECKING:
    from tunesmith.prompt.prompt import Encoded, Prompt
    from tunesmith.trainer.forward import Forward
    from tunesmith.trainer.loading import Loaded
    from tunesmith.trainer.loop import Outcome

BAD_SHOWN = 10  # rows left out that the warning names; BAD_ROWS in the output has all
SPLIT, BAD_ROWS = "split.json", "bad_rows.jsonl"


def main(
    directory: RunDirectory, stop: Stop, place: Place = ALONE, tokens_at_once: int | None = None
) -> int:
    """Do the run of `directory`, or what falls to `place` of it; return the exit code.

    `tokens_at_once`: of a micro-batch, where as many as the spec says did not fit.

    Everything is reported: by the first of several processes alone, and why they fail by the one
    that started them.
    """
    report = Report(EventWriter.append_to(directory.events) if place.first else None)
    report.started()
    where = {"device": "cpu", "output_path": ""}
    try:
        spec = Spec.model_validate(read_json(directory.spec))
        where["output_path"] = spec.output_path
        report.finished(run(spec, report, stop, where, place, tokens_at_once))
    except StopRequested:
        # Of several ranks each may be told to stop because another has failed.
        if place.world_size == 1:
            report.phase(Phase.STOPPING)
            report.finished(stopped_before_training(where["output_path"]))
    except BaseException as error:
        memory.lift_cap()
        code, params = describe(error, **where)
        if place.world_size > 1:
            leave_failure(directory, place, error, code, params)
            return 1
        # The event first: where the disk is full, the log may be full too.
        report.failed(code, params)
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return 1
    return 0


def run(
    spec: Spec,
    report: Report,
    stop: Stop,
    where: dict[str, str],
    place: Place = ALONE,
    tokens_at_once: int | None = None,
) -> Finished:
    """Do the whole run of `spec`. Raises RunFailure, or StopRequested before training began.

    `where["device"]` is set as soon as it is known, for what a failure says.
    """
    report.phase(Phase.CHECKING)
    left_out = BadRowList()
    with stop.at_once():
        dataset, counts = _check(spec, report, left_out)
    if counts["train"] < FEW_SAMPLES:
        report.warning("few_samples", count=counts["train"])

    environment.prepare()
    with stop.at_once():
        ranks = _meet(spec, place)
        base = ranks.in_turn(lambda: find_or_download(spec, report, stop))

    report.phase(Phase.LOADING)
    # What is kept would count against a cap.
    if (not spec.devices or spec.simulated) and spec.gpu.max_memory_gib is None:
        memory.keep_freed()
    unused = imports.unused(spec.training)
    with stop.at_once(), imports.uncollected(), imports.left_out(unused):
        there = ranks.in_turn(lambda: native(base, spec, report))
        spec = spec.model_copy(update={"base_model": str(there)})
        from tunesmith.trainer.loading import load

        loaded = load(spec, report, where, ranks)

    report.phase(Phase.PREPARING)
    with stop.at_once():
        prepared = _prepare(spec, dataset, loaded, report, ranks)

    if place.first:
        _record(spec, dataset, prepared, left_out)
    report.phase(Phase.TRAINING)
    try:
        outcome = _train(spec, loaded, prepared, report, stop, ranks, tokens_at_once)
    except RunFailure as failure:
        if loaded.sharded is not None:
            raise
        raise loaded.memory_plan.explained(failure, loaded.checkpointing) from failure

    if not outcome.stopped:
        report.phase(Phase.SAVING)
        _save(spec, counts, loaded, prepared, outcome, ranks)
    return Finished(
        outcome="stopped" if outcome.stopped else "completed",
        output_path=spec.output_path,
        step=outcome.step,
        total_steps=prepared.plan.total_steps,
        train_seconds=outcome.seconds,
        # The last that ranks tell each other: none ends before the first one has written all.
        peak_memory_bytes=ranks.highest(memory.peak(loaded.device, loaded.before)),
        measured_memory_bytes=ranks.highest(memory.taken(loaded.device, loaded.before)),
        final=outcome.final,
    )


def _check(spec: Spec, report: Report, left_out: BadRowList) -> tuple[Dataset, Mapping[str, int]]:
    """Return the data set, divided if that is asked for, and the samples of each split."""
    training = spec.training
    dataset = open_dataset(Path(spec.dataset_path), training.split, training.seed)
    found = check(dataset, training.on_bad_rows, on_bad=left_out.add)
    if found.skipped:
        shown = [row.shown() for row in found.skipped_rows[:BAD_SHOWN]]
        report.warning("bad_rows_skipped", count=found.skipped, first=shown[0], rows=shown)
    return dataset, found.counts


def _meet(spec: Spec, place: Place) -> Ranks:
    if place.world_size == 1:
        return Alone()
    from tunesmith.trainer.model import choose_device

    return Group(place, choose_device(spec, place.rank))


@dataclass(frozen=True)
class _Prepared:
    """The data as token ids, and what will be done with it."""

    prompt: "Prompt"
    train: "Encoded"
    valid: "Encoded | None"
    plan: Plan
    forward: "Forward"


def _prepare(
    spec: Spec, dataset: Dataset, loaded: "Loaded", report: Report, ranks: Ranks
) -> _Prepared:
    import torch

    from tunesmith.families import family_of
    from tunesmith.prompt.prompt import Prompt
    from tunesmith.trainer.forward import Forward
    from tunesmith.trainer.model import be_strictly_deterministic, count_parameters

    training = spec.training
    prompt = Prompt(loaded.tokenizer, family_of(Path(spec.base_model)), training.system_prompt)
    if prompt.is_plain:
        report.warning("no_chat_template")
    elif prompt.own_template is not None:
        report.warning("family_format", format=prompt.format_name)

    def encode(split: Split) -> "Encoded":
        if not spec.cache_dir:
            return encode_split(prompt, split, spec, report)
        return ranks.in_turn(lambda: encode_split(prompt, split, spec, report))

    train = encode(dataset.train)
    if not len(train.samples):
        raise RunFailure("no_labels", samples=train.read, max_seq_length=training.max_seq_length)
    held_out = dataset.validation
    valid = encode(held_out) if held_out else None
    _check_vocabulary(loaded.base, Path(spec.base_model), train, valid)
    if training.early_stopping_patience is not None and not (valid and len(valid.samples)):
        raise RunFailure("early_stopping_without_validation")
    plan = make_plan(len(train.samples), training, spec.given, ranks.place.world_size)
    if (given := plan.warmup_refused) is not None:
        steps = {"total_steps": plan.total_steps, "used": plan.warmup_steps}
        report.warning("warmup_too_long", given=given, **steps)

    def make_forward() -> Forward:
        return Forward(
            loaded.adapted,
            loaded.tokenizer.pad_token_id or 0,
            autocast=training.method == "full" and loaded.dtype == "bf16",
            neftune_noise_alpha=training.neftune_noise_alpha,
            kernels=training.kernels,
        )

    if loaded.sharded is None:
        forward = make_forward()
    else:
        with torch.no_grad():
            forward = loaded.sharded.call(make_forward)
        loaded.sharded.join(forward, train.samples)
    if forward.way == "layers":
        be_strictly_deterministic(loaded.device)
    if forward.passed_over and not forward.by_kernels and training.kernels == "auto":
        reasons = "; ".join(f"{way}: {reason}" for way, reason in forward.passed_over.items())
        report.warning("kernels_refused", reason=reasons)
    if not forward.packed:
        report.warning("padded")
    trainable, total = count_parameters(loaded.adapted)
    report.planned(
        Planned(
            total_steps=plan.total_steps,
            warmup_steps=plan.warmup_steps,
            samples=len(train.samples),
            eval_samples=len(valid.samples) if valid else 0,
            tokens_per_epoch=len(train.samples.tokens),
            trainable_parameters=trainable,
            total_parameters=total,
            device=loaded.device_name,
            dtype=loaded.dtype,
            packed=forward.packed,
            way=forward.way,
            devices=ranks.place.world_size,
            sharded=loaded.sharded is not None,
        )
    )
    loaded.memory_plan.record(
        forward,
        train.samples,
        loaded.checkpointing,
        report,
        devices=ranks.place.world_size,
        sharded=loaded.sharded is not None,
    )
    return _Prepared(prompt, train, valid, plan, forward)


def _train(
    spec: Spec,
    loaded: "Loaded",
    prepared: _Prepared,
    report: Report,
    stop: Stop,
    ranks: Ranks,
    tokens_at_once: int | None,
) -> "Outcome":
    from tunesmith.trainer import disk
    from tunesmith.trainer.checkpoint import Checkpoints, find_resume, require_same_data
    from tunesmith.trainer.loop import Training

    resume = find_resume(spec)
    if resume is not None:
        require_same_data(resume, prepared.train.samples)
        step, total = resume.state.step, prepared.plan.total_steps
        if step >= total:
            raise RunFailure("nothing_to_resume", path=str(resume.path), step=step, total=total)
        report.warning("resumed", path=str(resume.path), step=step, total=total)
        if resume.state.total_steps != total:
            report.warning("resumed_other_plan", before=resume.state.total_steps, now=total)
        if (before := resume.state.devices) != ranks.place.world_size:
            report.warning("resumed_other_devices", before=before, now=ranks.place.world_size)
    output = Path(spec.output_path)
    checkpoints = Checkpoints(output, spec.training.save_total_limit, writes=ranks.place.first)
    if ranks.place.first:
        output.mkdir(parents=True, exist_ok=True)
        disk.remove_drafts(output)
        disk.require_space(output, checkpoints.needed_bytes(loaded.adapted))
    valid = prepared.valid
    return Training(
        prepared.forward,
        prepared.train.samples,
        valid.samples if valid and len(valid.samples) else None,
        plan=prepared.plan,
        spec=spec,
        checkpoints=checkpoints,
        report=report,
        stop=stop,
        resume=resume,
        ranks=ranks,
        sharded=loaded.sharded,
        tokens_at_once=tokens_at_once,
    ).train()


def _save(
    spec: Spec,
    counts: Mapping[str, int],
    loaded: "Loaded",
    prepared: _Prepared,
    outcome: "Outcome",
    ranks: Ranks,
) -> None:
    from tunesmith.trainer.card import Facts, model_card
    from tunesmith.trainer.result import write_result

    samples = prepared.train.samples
    used = {"train": (counts["train"], len(samples)), "test": (counts.get("test", 0), 0)}
    if prepared.valid is not None:
        used["valid"] = (counts["validation"], len(prepared.valid.samples))
    facts = Facts(
        splits={name: used[name] for name in ("train", "valid", "test") if used.get(name, [0])[0]},
        tokens=len(samples.tokens),
        labels=int(samples.labels.sum()),
        results={
            "optimiser steps": str(outcome.step),
            **({} if outcome.best_step is None else {"best step": str(outcome.best_step)}),
            **{name: f"{value:.4f}" for name, value in outcome.final.items()},
            "training time": f"{outcome.seconds:.0f} s on {loaded.device_name}, {loaded.dtype}",
        },
        stop_token_ids=prepared.prompt.stop_token_ids,
    )
    # A template of our own goes with the result: the base model has none.
    template = prepared.prompt.own_template
    write_result(
        Path(spec.output_path),
        loaded.adapted,
        Path(spec.base_model),
        model_card(spec, facts),
        tokenizer=loaded.tokenizer,
        chat_template=template,
        stop_token_ids=prepared.prompt.stop_token_ids,
        writes=ranks.place.first,
    )


def _record(spec: Spec, dataset: Dataset, prepared: _Prepared, left_out: BadRowList) -> None:
    """Write into the output how the data was divided and which rows were left out."""
    for split, encoded in ((dataset.train, prepared.train), (dataset.validation, prepared.valid)):
        if split is not None and encoded is not None:
            for row in refused_rows(split, encoded):
                left_out.add(row)
    output, divided = Path(spec.output_path), dataset.record()
    if divided is not None or left_out.count:
        output.mkdir(parents=True, exist_ok=True)
    if divided is not None:
        write_json(output / SPLIT, divided)
    if left_out.count:
        left_out.write(output / BAD_ROWS)


def _check_vocabulary(base: Any, path: Path, train: "Encoded", valid: "Encoded | None") -> None:
    known = base.get_input_embeddings().weight.shape[0]
    splits = [split.samples for split in (train, valid) if split and len(split.samples)]
    highest = max(int(samples.tokens.max()) for samples in splits)
    if highest >= known:
        reason = f"its tokenizer gives token {highest}, but the model knows {known} tokens only"
        raise RunFailure("base_model_unreadable", path=str(path), reason=reason)


def stopped_before_training(output_path: str) -> Finished:
    return Finished(
        outcome="stopped",
        output_path=output_path,
        step=0,
        total_steps=0,
        train_seconds=0.0,
        peak_memory_bytes=0,
    )
