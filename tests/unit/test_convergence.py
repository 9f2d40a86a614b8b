import math
import random

import pytest

from tunesmith.convergence import Point, judge
from tunesmith.messages import LANGUAGES, catalogue, sentence


def curve(function, points=100, noise=0.0, seed=1):
    random.seed(seed)
    return [Point(step, function(step / points) + random.gauss(0, noise)) for step in range(points)]


def code(training, evaluation=()):
    verdict = judge(training, [Point(step, loss) for step, loss in evaluation])
    for language in LANGUAGES:
        assert f"convergence.{verdict.key}" in catalogue(language)
        assert "{" not in sentence(f"convergence.{verdict.key}", language, verdict.params)
    return verdict.code


def decay(speed):
    return lambda part: 1 + 2 * math.exp(-speed * part)


def test_no_points_say_nothing_and_few_say_so():
    assert judge([], []) is None
    for count in (1, 3, 9):
        assert code(curve(decay(3), count)) == "too_short"


@pytest.mark.parametrize("points", [10, 30, 1000])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_loss_that_goes_down_is_falling(points, noise):
    assert code(curve(lambda part: 3 - 2 * part, points, noise)) == "falling"
    assert code(curve(decay(2), points, noise)) == "falling"


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_a_loss_that_stays_where_it_is_has_settled(noise, seed):
    assert code(curve(decay(15), 200, noise, seed)) == "settled"


def test_a_flat_loss_has_settled_too():
    assert code(curve(lambda _: 2.0)) == "settled"
    assert code(curve(lambda _: 0.0)) == "settled"


@pytest.mark.parametrize("seed", range(10))
def test_noise_alone_is_no_divergence(seed):
    assert code(curve(lambda _: 2.0, 50, 0.3, seed)) in ("settled", "falling")


@pytest.mark.parametrize("points", [10, 20, 50])
def test_the_noise_of_single_samples_is_hardly_ever_taken_for_divergence(points):
    codes = [code(curve(lambda _: 2.0, points, 0.5, seed)) for seed in range(200)]
    assert codes.count("diverging") <= 8


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_next_to_nothing_wavers_without_diverging(seed):
    by_heart = curve(lambda part: 0.001 + 3 * math.exp(-20 * part), 100, 0.0004, seed)
    assert code(by_heart) == "settled"


def test_a_loss_that_climbs_from_its_lowest_diverges():
    for points, noise in ((10, 0.0), (20, 0.2), (100, 0.3)):
        climbing = curve(lambda part: abs(part - 0.5) * 4 + 0.5, points, noise)
        assert code(climbing) == "diverging"
    # One spike that is over is none.
    spiked = curve(decay(15), 200)
    spiked[100] = Point(100, 50.0)
    assert code(spiked) == "settled"
    # Nor is one that comes down again at the end.
    assert code(curve(lambda part: 3 if 0.4 < part < 0.6 else decay(15)(part), 200)) == "settled"


def test_a_loss_that_is_no_number_diverges_at_once():
    verdict = judge([Point(1, 2.0), Point(2, None)], [])
    assert (verdict.code, verdict.key, verdict.params) == ("diverging", "not_finite", {"step": 2})
    middle = [*curve(decay(15), 200)]
    middle[50] = Point(50, None)
    assert code(middle) == "settled"


def test_a_validation_loss_that_rises_for_good_is_overfitting():
    training = curve(lambda part: 3 - 2.5 * part)
    rising = [(20, 2.0), (40, 1.5), (60, 1.4), (80, 1.6), (99, 1.9)]
    assert code(training, rising) == "overfitting"
    verdict = judge(training, [Point(*each) for each in rising])
    assert verdict.params == {"best_step": 60, "best": 1.4, "now": 1.9}
    # One higher evaluation may be noise, and so may a hair's breadth.
    assert code(training, rising[:4]) == "falling"
    assert code(training, [(20, 1.40), (40, 1.41), (60, 1.405), (80, 1.41)]) == "falling"
    assert code(training, [(20, 1.0), (40, 2.0)]) == "falling"
    # It came back.
    assert code(training, [*rising, (100, 1.35)]) == "falling"
    assert code(training, [(20, None), (40, 1.4), (60, 1.6), (80, None), (99, 1.7)]) == (
        "overfitting"
    )


def test_digits_that_say_nothing_are_left_out():
    verdict = judge(curve(lambda part: 3 - 2 * part + 1 / 3), [])
    assert all(len(str(value)) <= 6 for value in verdict.params.values())
