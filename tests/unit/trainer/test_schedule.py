import pytest

from tunesmith.spec import TrainingArguments
from tunesmith.trainer.schedule import learning_rate, make_plan


def arguments(**given: object) -> TrainingArguments:
    return TrainingArguments.model_validate(given)


def test_an_epochs_last_step_may_be_smaller() -> None:
    plan = make_plan(9, arguments(num_train_epochs=2, gradient_accumulation_steps=2), ())
    assert (plan.steps_per_epoch, plan.total_steps) == (2, 4)


@pytest.mark.parametrize(("epochs", "total"), [(0.001, 1), (0.1, 3), (2.5, 75), (1, 30)])
def test_epochs_may_be_fractions(epochs: float, total: int) -> None:
    plan = make_plan(30, arguments(num_train_epochs=epochs, per_device_train_batch_size=1), ())
    assert plan.total_steps == total


def test_max_steps_caps_the_epochs_and_never_adds_to_them() -> None:
    assert make_plan(40, arguments(max_steps=7), ()).total_steps == 7
    assert make_plan(4, arguments(max_steps=700), ()).total_steps == 3


@pytest.mark.parametrize(
    ("given", "samples", "warmup", "refused"),
    [
        ({}, 400, 10, None),  # not given: a tenth of 100 steps
        ({}, 40_000, 100, None),  # not given: 100 at most
        ({"warmup_steps": 30}, 400, 30, None),
        ({"warmup_steps": 0}, 400, 0, None),
        ({"warmup_steps": 100}, 400, 10, 100),  # as long as the run
        ({"warmup_ratio": 0.03}, 400, 3, None),
        ({"warmup_ratio": 0.1, "warmup_steps": 500}, 400, 10, None),
    ],
)
def test_warmup(given: dict[str, float], samples: int, warmup: int, refused: int | None) -> None:
    plan = make_plan(samples, arguments(num_train_epochs=1, **given), tuple(given))
    assert (plan.warmup_steps, plan.warmup_refused) == (warmup, refused)


@pytest.mark.parametrize(
    ("kind", "last"), [("constant", 1.0), ("linear", 1 / 90), ("cosine", 0.000304587)]
)
def test_the_learning_rate_rises_to_its_peak_and_falls(kind: str, last: float) -> None:
    training = arguments(num_train_epochs=1, learning_rate=1, lr_scheduler_type=kind)
    plan = make_plan(400, training, ())
    rates = [learning_rate(step, plan, training) for step in range(1, 101)]
    assert rates[:11] == pytest.approx([step / 11 for step in range(1, 12)])
    assert rates[-1] == pytest.approx(last, rel=1e-3)
    assert max(rates) == 1 and min(rates) > 0
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_evaluations_are_after_each_epoch_and_at_the_end() -> None:
    plan = make_plan(40, arguments(num_train_epochs=2.5), ())
    assert [step for step in range(1, 26) if plan.evaluates_after(step)] == [10, 20, 25]
    assert [plan.evaluations_after(step) for step in (0, 9, 10, 20, 24)] == [3, 3, 2, 1, 1]


def test_eval_steps_replace_epochs() -> None:
    plan = make_plan(40, arguments(num_train_epochs=1, eval_steps=4), ("eval_steps",))
    assert [step for step in range(1, 11) if plan.evaluates_after(step)] == [4, 8, 10]
