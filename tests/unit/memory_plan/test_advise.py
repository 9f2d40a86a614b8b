"""What to change when a plan does not fit, and what past runs say of the next."""

from dataclasses import replace
from typing import Any

import pytest

from tunesmith.memory_plan.advise import ARGUMENTS, advise
from tunesmith.memory_plan.architecture import config_of
from tunesmith.memory_plan.checkpointing import decide
from tunesmith.memory_plan.formula import plan
from tunesmith.memory_plan.history import MemoryRun, learnt_ratio
from tunesmith.memory_plan.records import Workload

GIB = 2**30
LLAMA = config_of("LLaMA 2-7B") or {}


def peak(work: Workload) -> int:
    divided = work.devices > 1 and work.method != "qlora"
    return plan(LLAMA, replace(work, sharded=divided)).peak


def changes(work: Workload, gib: float, devices: int = 1) -> list[dict[str, object]]:
    found = advise(plan(LLAMA, work), work, int(gib * GIB), peak, devices)
    for change in found.changes:
        assert change.peak <= gib * GIB
    return [change.arguments for change in found.changes]


def test_what_fits_needs_no_change() -> None:
    work = Workload()
    assert changes(work, 200) == []
    found = advise(plan(LLAMA, work), work, None, lambda w: 0)
    assert found.fits is None and found.changes == ()


def test_a_smaller_batch_comes_first_and_keeps_the_effective_batch() -> None:
    work = Workload(per_device_train_batch_size=8, gradient_accumulation_steps=2)
    needed = plan(LLAMA, replace(work, per_device_train_batch_size=2)).needed
    first = changes(work, needed / GIB + 0.5)[0]
    assert set(first) == {"per_device_train_batch_size", "gradient_accumulation_steps"}
    batch, accumulation = first.values()
    assert isinstance(batch, int) and isinstance(accumulation, int)
    assert batch < 8 and batch * accumulation == 16


@pytest.mark.parametrize(
    ("batch", "accumulation", "fitting", "expected"),
    [(5, 1, 2, (1, 5)), (7, 2, 3, (2, 7)), (6, 1, 4, (3, 2)), (8, 1, 4, (4, 2)), (3, 4, 2, (2, 6))],
)
def test_a_smaller_batch_learns_from_exactly_as_many_samples_a_step(
    batch: int, accumulation: int, fitting: int, expected: tuple[int, int]
) -> None:
    work = Workload(per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation)

    def predicted(other: Workload) -> int:
        return 1 if other.per_device_train_batch_size <= fitting else GIB

    found = advise(replace(plan(LLAMA, work), peak=GIB), work, work.overhead + 1, predicted)
    names = ("per_device_train_batch_size", "gradient_accumulation_steps")
    assert found.changes[0].arguments == dict(zip(names, expected, strict=True))


def test_more_passes_than_are_allowed_are_not_advised() -> None:
    work = Workload(per_device_train_batch_size=4, gradient_accumulation_steps=32_768)
    found = advise(replace(plan(LLAMA, work), peak=GIB), work, work.overhead + 1, lambda w: 2)
    assert found.changes == ()
    for change in changes(work, 16):
        assert change.get("gradient_accumulation_steps", 0) in (0, 65_536)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_only_what_differs_is_told(checkpointing: bool) -> None:
    work = Workload(
        per_device_train_batch_size=8,
        max_seq_length=4096,
        method="full",
        gradient_checkpointing=checkpointing,
    )
    given = {name: getattr(work, name) for name in ARGUMENTS if name != "quantization_bits"}
    found = [each for gib in range(8, 120, 4) for each in changes(work, gib)]
    assert found
    for each in found:
        assert each and not each.items() & given.items()
        # As many bits as is the default are told, too: there were none before.
        assert ("quantization_bits" in each) == (each.get("method") == "qlora")


def test_checkpointing_then_length_then_quantised_weights() -> None:
    found = changes(Workload(per_device_train_batch_size=1, max_seq_length=4096), 16)
    kinds = [min(each, key=lambda name: name != "method") for each in found]
    assert "gradient_checkpointing" in found[0]
    assert kinds[-1] == "method" and found[-1]["method"] == "qlora"


@pytest.mark.parametrize("method", ["full", "lora"])
def test_as_many_devices_are_advised_as_are_needed(method: Any) -> None:
    work = Workload(method=method, gradient_checkpointing=True)
    for count in range(2, 12):
        gib = (peak(replace(work, devices=count)) + work.overhead) / GIB + 0.001
        # Also where they are all that there are, and from what was not enough.
        for most, given in ((count, 1), (64, count - 1)):
            asked = replace(work, devices=given, sharded=given > 1)
            assert changes(asked, gib, most)[-1] == {"devices": count}
        assert all("devices" not in each for each in changes(work, gib, count - 1))


def test_more_devices_do_not_help_quantised_weights() -> None:
    assert changes(Workload(method="qlora"), 2, devices=64) == []


def test_nothing_helps_where_the_weights_alone_are_too_much() -> None:
    assert changes(Workload(method="qlora"), 2) == []


@pytest.mark.parametrize("wanted", [True, False])
def test_what_was_asked_for_is_done(wanted: bool) -> None:
    assert decide(LLAMA, Workload(), wanted, 1).gradient_checkpointing is wanted


def test_auto_recomputes_only_where_memory_needs_it() -> None:
    work = Workload()
    without = plan(LLAMA, work).needed
    plenty = decide(LLAMA, work, "auto", 2 * without)
    assert not plenty.gradient_checkpointing
    scarce = decide(LLAMA, work, "auto", without)  # no margin left
    assert scarce.gradient_checkpointing
    assert scarce.plan.peak < without == scarce.without
    assert not decide(LLAMA, work, "auto", None).gradient_checkpointing
    # Past runs of this kind took half as much again.
    assert decide(LLAMA, work, "auto", int(1.3 * without), ratio=1.5).gradient_checkpointing


def run(planned: int, measured: int) -> MemoryRun:
    return MemoryRun(
        task_id=1,
        attempt=1,
        ended_at=0.0,
        base_model="m",
        family="llama",
        method="lora",
        device_type="cpu",
        mode="formula",
        gradient_checkpointing=False,
        planned=planned,
        ratio=1.0,
        measured=measured,
    )


def test_the_median_of_past_runs_corrects_the_next_plan_within_bounds() -> None:
    assert learnt_ratio([]) == 1.0
    assert learnt_ratio([run(100, 110), run(100, 90), run(100, 105)]) == pytest.approx(1.05)
    assert learnt_ratio([run(100, 900)]) == 1.5
    assert run(100, 80).error == pytest.approx(0.25)
    corrected = plan(LLAMA, Workload()).corrected(1.1)
    assert corrected.peak == round(1.1 * plan(LLAMA, Workload()).peak)
