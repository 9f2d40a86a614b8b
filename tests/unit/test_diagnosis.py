import pytest

from tests.specs import make_spec
from tunesmith.diagnosis import suggested_change, telling_lines, verdict
from tunesmith.events import Failed, Finished, Phase, PhaseChanged
from tunesmith.messages import catalogue
from tunesmith.status import Status


def finished(outcome):
    return Finished(
        outcome=outcome,
        output_path="/o",
        step=3,
        total_steps=3,
        train_seconds=1,
        peak_memory_bytes=1,
    )


CLEAN = {"exit_code": 0, "signal": None, "ended_at": 5.0}


def judge(exit=CLEAN, events=(), log=(), stop=False, of=None):
    return verdict(of or make_spec(), exit, events, log, stop)


def test_finished_is_completed():
    assert judge(events=[finished("completed")]).status is Status.COMPLETED


def test_a_task_that_finished_while_it_was_asked_to_stop_is_completed():
    assert judge(events=[finished("completed")], stop=True).status is Status.COMPLETED


def test_a_requested_stop_is_stopped_however_the_process_ended():
    assert judge(events=[finished("stopped")], stop=True).status is Status.STOPPED
    assert judge({"exit_code": None, "signal": 9}, stop=True).status is Status.STOPPED
    assert judge(None, stop=True).status is Status.STOPPED


def test_a_stop_that_nobody_asked_us_for_is_a_failure_by_signal():
    judged = judge(events=[finished("stopped")])
    assert judged.status is Status.FAILED
    assert judged.error["code"] == "killed_by_signal"
    assert judged.error["params"] == {"signal": "SIGTERM"}


def test_the_trainers_own_word_wins_over_its_exit_code():
    judged = judge({"exit_code": 1, "signal": None}, [Failed(code="nan_loss", params={"step": 3})])
    assert judged.error["code"] == "nan_loss"
    assert judged.error["suggested_change"] == {"learning_rate": 2e-4 / 4}


def test_sigkill_is_explained_and_a_smaller_batch_suggested():
    judged = judge({"exit_code": None, "signal": 9}, log=["step 3"])
    assert judged.error["code"] == "killed"
    assert judged.error["suggested_change"] == {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
    }
    assert judged.error["log_lines"] == ["step 3"]


def test_a_log_that_names_the_disk_explains_a_silent_death():
    judged = judge({"exit_code": 1}, log=["OSError: [Errno 28] No space left on device: '/o/x'"])
    assert judged.error["code"] == "disk_full"


def test_an_abort_over_memory_is_told_from_other_signals():
    log = ["terminate called after throwing an instance of 'std::bad_alloc'"]
    assert judge({"exit_code": None, "signal": 6}, log=log).error["code"] == "out_of_memory"
    assert judge({"exit_code": None, "signal": 6}).error["code"] == "killed_by_signal"


def test_a_silent_death_names_exit_code_and_phase():
    judged = judge({"exit_code": 7}, [PhaseChanged(phase=Phase.LOADING)])
    assert judged.error["code"] == "exited_unexpectedly"
    assert judged.error["params"] == {"exit_code": 7, "phase": "loading"}


def test_an_exit_of_0_without_a_word_is_no_success():
    assert judge().status is Status.FAILED


def test_no_exit_file_means_the_supervisor_was_lost():
    assert judge(None).error["code"] == "supervisor_lost"


@pytest.mark.parametrize(
    ("given", "suggested"), [((8, 2), (4, 4)), ((5, 1), (1, 5)), ((7, 2), (2, 7)), ((6, 1), (3, 2))]
)
def test_the_suggestion_against_memory_keeps_the_effective_batch(given, suggested):
    names = ("per_device_train_batch_size", "gradient_accumulation_steps")
    spec = make_spec(**dict(zip(names, given, strict=True)))
    assert suggested_change("out_of_memory", spec, {}) == dict(zip(names, suggested, strict=True))


def test_with_a_batch_of_one_checkpointing_then_a_leaner_method_then_length_are_suggested():
    one = make_spec(per_device_train_batch_size=1)
    assert suggested_change("out_of_memory", one, {}) == {"gradient_checkpointing": True}
    least = {"per_device_train_batch_size": 1, "gradient_checkpointing": True}
    for method, change in (
        ("full", {"method": "lora"}),
        ("lora", {"method": "qlora"}),
        ("qlora", {"max_seq_length": 256}),
    ):
        spec = make_spec(method=method, **least)
        assert suggested_change("out_of_memory", spec, {}) == change


@pytest.mark.parametrize(
    ("on_bad_rows", "problem", "change"),
    [
        ("error", "row.field_empty", {"on_bad_rows": "skip"}),
        ("error", "row.json_array", {}),  # the rest cannot be read: there is nothing to skip to
        ("skip", "row.too_long", {}),
    ],
)
def test_a_bad_row_can_be_skipped_where_more_can_be_read(on_bad_rows, problem, change):
    params = {"file": "train.json", "line": 3, "problem": {"code": problem, "params": {}}}
    assert suggested_change("bad_row", make_spec(on_bad_rows=on_bad_rows), params) == change


def test_log_lines_start_at_the_last_traceback():
    lines = ["a", "Traceback (most recent call last):", "  File x", "ValueError: y"]
    assert telling_lines(lines) == lines[1:]
    assert telling_lines([str(n) for n in range(50)]) == [str(n) for n in range(30, 50)]


def test_a_long_traceback_keeps_its_end():
    lines = ["Traceback (most recent call last):", *(f"frame {n}" for n in range(60)), "ValueError"]
    told = telling_lines(lines)
    assert told[0] == lines[0] and told[-1] == "ValueError" and len(told) == 20


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_failure_has_a_hint(language):
    texts = catalogue(language)
    for code in [
        "bad_row",
        "dataset_missing",
        "dataset_no_train",
        "dataset_unreadable",
        "dataset_empty",
        "dataset_ambiguous",
        "dataset_has_splits",
        "dataset_encoding",
        "dataset_all_bad",
        "split_impossible",
        "no_labels",
        "base_model_missing",
        "base_model_unreadable",
        "targets_missing",
        "template_mismatch",
        "out_of_memory",
        "killed",
        "killed_by_signal",
        "nan_loss",
        "disk_full",
        "trainer_crashed",
        "exited_unexpectedly",
        "supervisor_lost",
        "start_failed",
        "check_failed",
    ]:
        assert code in texts and f"hint.{code}" in texts
