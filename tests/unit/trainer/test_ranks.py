"""Decisions about several devices. No process is started here."""

import signal

import numpy as np
import pytest

from tests.specs import make_spec
from tunesmith.memory_plan.division import must_be_sharded
from tunesmith.trainer.rank_failures import Ending, Failure, first_cause, next_room
from tunesmith.trainer.ranks import divide, is_lost_peer
from tunesmith.trainer.schedule import make_plan

GIB = 2**30


def test_ranks_get_about_as_many_tokens_each_and_every_sample_once() -> None:
    lengths = np.array([500, 10, 20, 480, 30, 250, 240, 5])
    parts = divide(lengths, 3)
    assert sorted(np.concatenate(parts)) == list(range(8))
    tokens = [int(lengths[part].sum()) for part in parts]
    assert max(tokens) - min(tokens) <= 30
    assert [len(part) for part in divide(np.array([7]), 3)] == [1, 0, 0]


def test_a_step_takes_the_batch_of_every_device() -> None:
    training = make_spec(per_device_train_batch_size=2, gradient_accumulation_steps=3).training
    assert [make_plan(48, training, (), devices).steps_per_epoch for devices in (1, 2, 4)] == [
        8,
        4,
        2,
    ]


def failure(rank: int, code: str, lost_peer: bool = False, at: float = 1.0) -> Failure:
    return Failure(rank, at, code, {"reason": code}, lost_peer)


def ending(rank: int, exit_code: int, ended_here: bool = False) -> Ending:
    return Ending(rank, exit_code, ended_here)


def test_the_first_cause_is_told_and_not_what_came_of_it() -> None:
    lost = failure(0, "trainer_crashed", lost_peer=True, at=0.5)
    code, params = first_cause([ending(0, 1), ending(1, -signal.SIGKILL)], [lost], 2)
    assert (code, params) == ("rank_killed", {"rank": 1, "ranks": 2, "signal": "SIGKILL"})

    memory = failure(1, "out_of_memory", at=2.0)
    aborted = [ending(0, -signal.SIGABRT), ending(1, 1), ending(2, -signal.SIGKILL, True)]
    assert first_cause(aborted, [lost, memory], 3)[0] == "out_of_memory"
    # Told to end because another had failed.
    assert first_cause([ending(0, -signal.SIGTERM), ending(1, 1)], [memory], 2)[0] == memory.code
    assert first_cause([ending(0, 1), ending(1, -signal.SIGSEGV)], [lost], 2)[0] == "rank_killed"
    code, params = first_cause([ending(0, 1), ending(1, 3)], [lost], 2)
    assert code == "trainer_crashed" and "rank 1 of 2" in params["reason"]


def test_only_a_rehearsal_that_did_not_fit_begins_again() -> None:
    smaller = {"before": 64, "now": 32, "reason": "out of memory"}
    memory = Failure(1, 2.0, "out_of_memory", {"device": "cuda:1", "smaller": smaller}, False)
    lost = failure(0, "trainer_crashed", lost_peer=True, at=0.5)
    ended = [ending(0, -signal.SIGABRT), ending(1, 1)]
    assert next_room(ended, [lost, memory], 2) == smaller
    # In the middle of the training; by the kernel; not of memory at all.
    assert next_room(ended, [lost, failure(1, "out_of_memory")], 2) is None
    assert next_room([ending(0, 1), ending(1, -signal.SIGKILL)], [memory], 2) is None
    assert next_room([ending(1, 1)], [failure(1, "nan_loss")], 2) is None
    assert next_room([], [], 2) is None


def test_errors_of_collectives_are_no_causes() -> None:
    gone = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer"
    assert is_lost_peer(RuntimeError(gone))
    assert not is_lost_peer(RuntimeError("can't allocate memory"))


@pytest.mark.parametrize(
    ("wanted", "method", "devices", "planned", "expected"),
    [
        ("auto", "full", 2, 90, True),
        ("auto", "full", 2, 60, False),
        ("full", "lora", 2, 1, True),
        ("none", "full", 8, 900, False),
        ("auto", "full", 1, 900, False),
        ("full", "qlora", 2, 900, False),
    ],
)
def test_weights_are_divided_where_one_device_could_not_hold_the_run(
    wanted: str, method: str, devices: int, planned: int, expected: bool
) -> None:
    assert must_be_sharded(wanted, method, devices, planned * GIB, 80 * GIB) == expected
