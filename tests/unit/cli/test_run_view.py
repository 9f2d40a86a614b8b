"""What a followed run shows in a pipe."""

from tunesmith.cli.run_view import RunView


def test_steps_are_told_of_the_planned_ones_as_soon_as_the_plan_is_there(capsys):
    with RunView() as view:
        # The server's snapshot was taken before the plan was there.
        view.show(doing="training", step=0, total_steps=None, elapsed=1.0, left=None)
        view.planned(24, 3, 12, "cpu")
        view.measured(3, 2.5, 4.0)
        view.show(doing="training", step=3, total_steps=None, elapsed=1.0, left=4.0)
        view.measured(4, 2.4, 3.0)
    lines = capsys.readouterr().out.splitlines()
    assert any("step 3/12: loss 2.5" in line for line in lines)
    assert any("step 4/12: loss 2.4" in line for line in lines)
