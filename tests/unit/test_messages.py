import string

from tunesmith.messages import catalogue, hint, sentence
from tunesmith.spec import TrainingArguments


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys():
    assert catalogue("zh").keys() == catalogue("en").keys()


def test_both_languages_have_the_same_placeholders():
    zh, en = catalogue("zh"), catalogue("en")
    assert {key for key in zh if placeholders(zh[key]) != placeholders(en[key])} == set()


def test_every_training_argument_has_a_hint():
    missing = {
        name
        for name in TrainingArguments.model_fields
        if f"args.{name}.hint" not in catalogue("en")
    }
    assert missing == set()


def test_a_parameter_can_be_a_message_itself():
    problem = {"code": "row.field_missing", "params": {"name": "output", "found": ["a", "b"]}}
    unit = {"code": "unit.line", "params": {}}
    text = sentence("bad_row", "en", {"file": "f", "line": 3, "unit": unit, "problem": problem})
    assert text == "f, line 3: the field output is missing; the row has a, b"


def test_a_missing_parameter_or_key_is_shown_rather_than_raised():
    assert sentence("task_not_found", "zh") == "任务 {id} 不存在"
    assert sentence("nothing.like_it", "zh", {"a": 1}) == "nothing.like_it {'a': 1}"
    assert hint("task_not_found", "en") is None


def test_braces_in_a_parameter_stay_as_they_are():
    assert sentence("trainer_crashed", "en", {"reason": "{x}"}).endswith("failed: {x}")
