import pytest

from tunesmith.trainer.pace import Pace


def test_the_first_step_counts_only_as_long_as_it_is_alone() -> None:
    pace = Pace()
    assert pace.eta(10, 1) == 0
    pace.stepped(9.0, 100)
    assert pace.eta(2, 0) == 18
    pace.stepped(1.0, 100)
    pace.stepped(2.0, 100)
    pace.evaluated(5.0)
    assert pace.eta(4, 2) == pytest.approx(4 * 1.5 + 2 * 5)


def test_tokens_per_second_are_those_of_the_window() -> None:
    pace = Pace()
    pace.stepped(1.0, 300)
    pace.stepped(1.0, 100)
    assert pace.tokens_per_second == 200
    pace.next_window()
    assert pace.tokens_per_second == 0
    pace.stepped(2.0, 100)
    assert pace.tokens_per_second == 50
