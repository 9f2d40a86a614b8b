"""A plan decides as the run would: whether the weights are divided, and what would help."""

from typing import Any

import pytest

from tunesmith import wire
from tunesmith.devices import Device
from tunesmith.plan_memory import PlanRequest, plan_memory
from tunesmith.settings import Settings

GIB = 2**30


def planned(
    model: str = "LLaMA 2-7B", there: int = 0, used: int = 0, gib: float | None = None, **given: Any
) -> wire.MemoryPlan:
    """Plan on a machine with so many devices of 80 GiB, of which `used` GiB are taken."""
    machine = [
        Device(index, "A GPU", 80 * GIB, used * GIB, None, None, simulated=True)
        for index in range(there)
    ]
    names = PlanRequest.model_fields
    arguments = {name: value for name, value in given.items() if name not in names}
    request = {name: value for name, value in given.items() if name in names}
    request |= {"base_model": model, "training_args": arguments, "device_memory_gib": gib}
    return plan_memory(PlanRequest(**request), Settings(devices="none"), None, machine)


def more_devices(found: wire.MemoryPlan) -> list[int]:
    return [each.arguments["devices"] for each in found.changes if "devices" in each.arguments]


def test_a_run_that_one_device_cannot_hold_is_planned_divided() -> None:
    one, four = (planned(gib=80, method="full", devices=count) for count in (1, 4))
    assert not one.sharded and one.fits is False
    assert four.sharded and four.fits is True
    for part in ("weights", "gradients", "optimizer"):
        assert getattr(four, part) * 4 == getattr(one, part)


def test_sharding_is_done_as_it_was_asked_for() -> None:
    one = planned(gib=80, method="full")
    whole = planned(gib=80, method="full", devices=4, sharding="none")
    assert (whole.sharded, whole.fits, whole.peak) == (False, False, one.peak)
    assert more_devices(whole) == []
    # What one device can hold is divided if that is asked for; quantised weights never are.
    assert not planned(gib=80, devices=4).sharded
    assert planned(gib=80, devices=4, sharding="full").sharded
    assert not planned(gib=80, devices=4, sharding="full", method="qlora").sharded
    assert not planned(gib=80, devices=1, sharding="full").sharded


def test_a_divided_run_is_planned_by_the_formula() -> None:
    traced = planned(gib=80, method="full", devices=4, mode="trace")
    assert (traced.mode, traced.sharded) == ("formula", True)
    assert traced == planned(gib=80, method="full", devices=4)


def test_what_is_free_does_not_decide_about_dividing() -> None:
    """A run asks how much a device has; so a device that is taken is not helped by others."""
    found = planned(there=4, used=70, devices=4)
    assert not found.sharded and found.fits is False
    assert more_devices(found) == []


@pytest.mark.parametrize(("there", "advised"), [(1, []), (2, []), (3, [3]), (8, [3])])
def test_as_many_devices_are_advised_as_the_machine_has(there: int, advised: list[int]) -> None:
    found = planned("LLaMA 2-13B", there, method="full", gradient_checkpointing=True)
    assert found.fits is False
    assert more_devices(found) == advised


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("given", [1, 3])
def test_advised_devices_fit_and_no_fewer_would(method: str, given: int) -> None:
    [count] = more_devices(planned("LLaMA 2-70B", gib=40, method=method, devices=given))
    assert planned("LLaMA 2-70B", gib=40, method=method, devices=count).fits is True
    assert planned("LLaMA 2-70B", gib=40, method=method, devices=count - 1).fits is False


def test_advice_keeps_the_effective_batch() -> None:
    arguments = {"per_device_train_batch_size": 7, "gradient_accumulation_steps": 2}
    for gib in range(6, 30):
        for change in planned(gib=gib, max_seq_length=2048, **arguments).changes:
            together = arguments | change.arguments
            batch = together["per_device_train_batch_size"]
            assert batch * together["gradient_accumulation_steps"] == 14
