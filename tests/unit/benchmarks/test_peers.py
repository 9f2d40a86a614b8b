"""The pure parts of the comparison with peers: arithmetic, order of samples, ratios."""

from dataclasses import replace

import pytest

from benchmarks.peers import figures, flops, goals, plot, report, workloads
from benchmarks.peers.figures import Cell, Run
from benchmarks.peers.job import BATCH_SIZE, SEED, Measured
from tunesmith.trainer.batches import steps

SHAPE = flops.Shape({(8, 4): 2, (4, 4): 1}, head=400, layers=2, attention=4)
MEASURED = Measured(
    seconds=[9.0, 2.0, 2.0],
    tokens=[100, 120, 80],
    labels=[50, 60, 40],
    losses=[2.0, 1.5, 1.0],
    first_batch=["a", "b"],
    peak_bytes=300 << 20,
    before_model_bytes=100 << 20,
    first_step_seconds=12.0,
    versions={"torch": "2"},
)


def run(peer: str, mode: str = "plain", measured: Measured | None = MEASURED, **other: int) -> Run:
    cell = Cell("mixed", "lora", peer, mode)
    failed = None if measured else "refused"
    return Run(cell, other.get("round", 0), 1000.0, [0.0, 400.0, 600.0], 0.0, measured, failed)


def test_lora_training_needs_two_products_of_frozen_weights_and_three_of_its_own() -> None:
    linear, lora = 2 * 32 + 16, 8 * (2 * 12 + 8)
    attention = 6 * 2 * 4 * 100 * 30
    assert flops.training_flops(SHAPE, "lora", 100, 50, 30) == (
        (4 * linear + 6 * lora) * 100 + 4 * 400 * 50 + attention
    )


def test_full_training_needs_three_products_of_all_weights() -> None:
    assert flops.training_flops(SHAPE, "full", 100, 50, 0) == 6 * 80 * 100 + 6 * 400 * 50


def test_tunesmith_learns_arranged_rows_in_the_order_given() -> None:
    rows = [{"row": number} for number in range(3 * BATCH_SIZE)]
    placed = workloads.arranged(rows, SEED)
    learnt = [
        [placed[index] for index in step.indices]
        for step in steps(len(rows), 3, BATCH_SIZE, 1, SEED)
    ]
    for number, step in enumerate(learnt):
        wanted = rows[number * BATCH_SIZE : (number + 1) * BATCH_SIZE]
        assert sorted(step, key=lambda row: row["row"]) == wanted


def test_too_few_rows_start_again() -> None:
    assert workloads.taken([{"a": 1}, {"a": 2}, {"a": 3}], 1)[-1] == {"a": 1}


def test_a_summary_is_of_medians_without_the_first_step() -> None:
    slow = replace(MEASURED, seconds=[1.0, 4.0, 4.0])
    made = figures.summary([run("trl"), run("trl", round=1), run("trl", measured=slow, round=2)])
    assert made is not None
    assert made.tokens_per_second == 200 / 4
    assert made.seconds_per_step == 2.0
    assert made.share_of_limit == pytest.approx(1000 / 4 / 1000)
    assert (made.peak_mib, made.above_mib, made.rounds) == (300, 200, 3)


def test_other_work_than_ours_is_told() -> None:
    def words(measured: Measured, mode: str = "plain") -> str:
        return " ".join(figures.differences([run("tunesmith"), run("trl", mode, measured)]))

    assert words(MEASURED) == ""
    assert "other samples" in words(replace(MEASURED, first_batch=["a", "c"]))
    assert "tokens" in words(replace(MEASURED, tokens=[1, 2, 3]))
    assert "mean loss" in words(replace(MEASURED, losses=[2.0, 1.5, 1.1]))
    assert words(replace(MEASURED, losses=[2.0, 1.5, 1.0001])) == ""
    assert words(replace(MEASURED, tokens=[1, 2, 3]), "packing") == ""


def test_cells_that_are_run_again_replace_the_old_ones() -> None:
    old = [run("trl"), run("tunesmith")]
    new = [run("trl", round=1)]
    assert figures.merged(old, new) == [old[1], new[0]]
    again = [
        figures.from_json(figures.to_json(each)) for each in [*old, run("trl", "packing", None)]
    ]
    assert again == [*old, run("trl", "packing", None)]


def test_goals_compare_with_the_fastest_and_the_leanest() -> None:
    fast = replace(MEASURED, seconds=[9.0, 1.0, 1.0], peak_bytes=600 << 20)
    made = figures.summaries(
        [run("tunesmith"), run("llamafactory"), run("ms-swift", measured=fast)]
    )
    peers = ("llamafactory", "ms-swift")
    assert goals.speed(made, "mixed", "lora", peers) == 0.5
    assert goals.speed(made, "mixed", "lora", ("trl",)) is None
    assert goals.memory_ratio(made, "lora", peers, "plain") == 1.0
    told = [goal.sentence for goal in goals.goals(made)]
    assert "mixed, lora: speed, TRL: >= 2.4 x, not measured" in told
    assert any(each.endswith("0.5 x: **not reached**") for each in told)


def test_the_documents_hold_figures_ratios_and_refusals() -> None:
    runs = [run("tunesmith"), run("trl"), run("ms-swift", "packing", None)]
    text = report.markdown(runs, {"cores": "2"}, ["make bench"])
    assert "| trl | plain | 50 |" in text
    assert "1.00x" in text
    assert "- ms-swift packing: `refused`" in text
    assert "Yes: same samples" in text
    picture = plot.svg("title", figures.summaries(runs))
    assert picture.count("<rect") == 1 + 2 * 2
