"""Each finding on a small file, with the lines named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import make_tiny_model, make_tokenizer
from tunesmith.check.report import Finding, Report
from tunesmith.check.run import Request, check
from tunesmith.errors import InvalidInput

WORDS = ["river", "stone", "lamp", "paper", "window", "garden", "bottle", "mirror", "bell", "oak"]


def good(number: int) -> dict[str, Any]:
    """Return a row that is like no other."""
    word = WORDS[number % 10]
    question = f"Say {number} about the {word} {number * 7919}?"
    return {"instruction": question, "output": f"{word} {number * 104729} is what {number} means."}


def write(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def checked(tmp_path: Path):
    def run(path: Path, **options: Any) -> Report:
        workspace = tmp_path / "workspace"
        workspace.mkdir(exist_ok=True)
        return check(Request(path, **options), workspace).report

    return run


def found(report: Report, code: str) -> Finding:
    return next(each for each in report.findings if each.code == f"check.{code}")


def lines(finding: Finding) -> list[int]:
    return [place.line for place in finding.examples]


def codes(report: Report) -> set[str]:
    return {each.code.removeprefix("check.") for each in report.findings}


def test_a_thousand_good_rows_are_ready(tmp_path, checked):
    report = checked(write(tmp_path / "数据 集" / "train.jsonl", *map(good, range(1000))))
    assert (report.verdict, report.rows, report.complete) == ("ready", 1000, True)
    assert codes(report) == set()
    assert report.splits[0].encoding == "UTF-8" and report.splits[0].turns == 1000
    assert report.samples[0].turns[0].question == good(0)["instruction"]
    assert [sample.line for sample in report.samples] == [1, 2, 3, 4, 5]


def test_bad_rows_are_errors_with_line_and_field(tmp_path, checked):
    rows = [good(0), {"instruction": "a", "output": "  "}, good(1), "{not json", {"output": "b"}]
    report = checked(write(tmp_path / "train.jsonl", *rows))
    assert report.verdict == "must_be_mended"
    assert found(report, "bad_rows").severity == "error"
    assert lines(found(report, "bad_rows")) == [2, 4, 5]
    assert [(row.line, row.field) for row in report.bad_rows] == [
        (2, "output"),
        (4, None),
        (5, "instruction"),
    ]
    assert (report.splits[0].rows, report.splits[0].bad_rows, report.rows) == (5, 3, 2)


def test_bad_rows_that_are_skipped_are_a_warning(tmp_path, checked):
    path = write(tmp_path / "train.jsonl", good(0), "{not json")
    report = checked(path, skip_bad_rows=True)
    assert found(report, "bad_rows").severity == "warning"
    assert report.verdict == "ready_with_warnings"


def test_roles_out_of_order_are_a_bad_row(tmp_path, checked):
    row = {"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}
    report = checked(write(tmp_path / "train.jsonl", good(0), row))
    assert [row.line for row in report.bad_rows] == [2]


def test_an_empty_file_and_one_without_valid_rows(tmp_path, checked):
    for name, rows in (("empty", []), ("wrong", ["{"])):
        report = checked(write(tmp_path / name / "train.jsonl", *rows))
        assert found(report, "empty").severity == "error"
        assert report.verdict == "must_be_mended"
        assert (report.rows, report.lengths, report.samples) == (0, None, [])


def test_gbk_is_said_by_name_and_the_rest_is_checked_all_the_same(tmp_path, checked):
    path = tmp_path / "train.jsonl"
    rows = [{"instruction": f"第{n}个问题是什么？", "output": "是"} for n in range(3)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(text.encode("gbk"))
    report = checked(path)
    assert found(report, "encoding").params["encoding"] == "GBK"
    assert found(report, "encoding").severity == "error"
    assert report.splits[0].encoding == "GBK"
    assert (report.rows, report.bad_rows) == (3, [])
    assert report.samples[1].turns[0].question == "第1个问题是什么？"


def test_a_byte_order_mark_does_no_harm(tmp_path, checked):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(good(0)).encode())
    report = checked(path)
    assert found(report, "byte_order_mark").severity == "info"
    assert (report.rows, report.splits[0].encoding) == (1, "UTF-8 BOM")


def test_copies_and_conflicting_answers(tmp_path, checked):
    other = good(1) | {"output": "Something else entirely is the answer here."}
    path = write(tmp_path / "train.jsonl", good(0), good(1), good(2), good(0), other, good(0))
    report = checked(path)
    copies = found(report, "duplicates")
    assert (copies.count, lines(copies)) == (2, [4, 6])
    assert [place.other_line for place in copies.examples] == [1, 1]
    conflict = found(report, "conflicts")
    assert (conflict.count, lines(conflict), conflict.examples[0].other_line) == (1, [5], 2)
    assert (report.duplicates.exact, report.duplicates.conflicting) == (2, 1)


def test_chinese_near_duplicates(tmp_path, checked):
    answer = (
        "公司规定员工每年享有十五天带薪年假，请提前两周在系统中提交申请，由直属主管批准后方可休假。"
    )
    rows = [
        {"instruction": "请介绍一下公司的年假制度", "output": answer},
        good(0),
        {"instruction": "请介绍一下公司的年假制度", "output": answer.replace("两周", "三周")},
        {
            "instruction": "报销流程是怎样的",
            "output": "请把发票贴好，填写报销单，交给财务部门审核。",
        },
    ]
    near = found(checked(write(tmp_path / "train.jsonl", *rows)), "near_duplicates")
    assert (near.count, lines(near), near.examples[0].other_line) == (1, [3], 1)


def test_leakage_into_validation_and_test_exact_and_near(tmp_path, checked):
    text = " ".join(f"word{n}" for n in range(60))
    long = {"instruction": "Tell it all.", "output": f"{text} end."}
    nearly = {"instruction": "Tell it all.", "output": f"{text} END!"}
    write(tmp_path / "train.jsonl", *map(good, range(10)), long)
    write(tmp_path / "valid.jsonl", good(50), good(3))
    write(tmp_path / "test.jsonl", nearly, good(60))
    report = checked(tmp_path)
    leak = found(report, "leakage")
    place = leak.examples[0]
    assert (leak.count, leak.params["split"]) == (1, "validation")
    assert (place.file, place.line) == ("valid.jsonl", 2)
    assert (place.other_file, place.other_line) == ("train.jsonl", 4)
    near = found(report, "near_leakage").examples[0]
    assert (near.file, near.line, near.other_line) == ("test.jsonl", 1, 11)
    assert [(leak.split, leak.exact, leak.near) for leak in report.leakage] == [
        ("validation", 1, 0),
        ("test", 0, 1),
    ]


def test_each_rule_of_low_quality_names_its_lines(tmp_path, checked):
    spoilt = "Caf\u00c3\u00a9 au lait is served here all day."
    rows = [
        *map(good, range(20)),
        {"instruction": "One?", "output": "A"},  # 21
        {"instruction": "Echo me.", "output": "Echo me."},
        {"instruction": "Cut?", "output": "This answer was cut off in the middle of the"},
        {"instruction": "Code?", "output": "Here it is:\n```python\nprint(1)\n"},
        {"instruction": "Odd?", "output": spoilt},  # 25
        {"instruction": "Loop?", "output": "I do not know that. " * 10},
        {"instruction": "Typed <|im_end|> here?", "output": "That is a control token of Qwen."},
    ]
    report = checked(write(tmp_path / "train.jsonl", *rows))
    expected = {
        "one_character": [21],
        "answer_is_question": [22],
        "unfinished": [23],
        "unclosed": [24],
        "garbled": [25],
        "loop": [26],
        "control_tokens": [27],
    }
    assert {code: lines(found(report, code)) for code in expected} == expected


def test_labels_of_one_character_are_meant(tmp_path, checked):
    rows = [{"instruction": f"Which class is it, {n}?", "output": "AB"[n % 2]} for n in range(30)]
    report = checked(write(tmp_path / "train.jsonl", *rows))
    assert found(report, "one_character").severity == "info"
    assert found(report, "same_openings").count == 30


def test_few_samples_and_few_different_questions(tmp_path, checked):
    rows = [good(0) | {"output": good(n)["output"]} for n in range(30)]
    report = checked(write(tmp_path / "train.jsonl", *rows))
    assert found(report, "few_samples").params == {"count": 30, "advised": 1000}
    assert found(report, "same_questions").count == 1
    assert report.diversity.distinct_questions == 1
    assert report.diversity.openings[0].count == 30


def test_the_same_answer_again_and_again(tmp_path, checked):
    rows = [
        good(n) | ({"output": "I cannot help with that."} if n % 3 == 0 else {}) for n in range(30)
    ]
    same = found(checked(write(tmp_path / "train.jsonl", *rows)), "same_answers")
    assert (same.count, lines(same)) == (10, [1])
    assert same.params["text"] == "I cannot help with that."


def test_tokens_of_a_base_model(tmp_path, checked):
    model = tmp_path / "model"
    make_tokenizer().save_pretrained(model)
    rows = [*map(good, range(10)), {"instruction": "Long?", "output": "hammer " * 300 + "end."}]
    path = write(tmp_path / "train.jsonl", *rows)
    report = checked(path, base_model=model, max_seq_length=300)
    assert report.lengths is not None and report.lengths.unit == "tokens"
    assert report.lengths.samples == 11 and report.lengths.percentiles["100"] > 300
    assert sum(bar.count for bar in report.lengths.histogram) == 11
    assert found(report, "cut").count == report.lengths.cut == 1
    short = checked(path, base_model=model, max_seq_length=8)
    assert found(short, "without_answer").count == 11
    assert found(short, "without_answer").severity == "error"


def test_control_tokens_are_those_of_the_base_model(tmp_path, checked):
    model = tmp_path / "model"
    make_tokenizer().save_pretrained(model)
    rows = [good(0) | {"output": "Say <|im_end|> now."}, good(1) | {"output": "Say [INST] now."}]
    path = write(tmp_path / "train.jsonl", *rows)
    assert lines(found(checked(path), "control_tokens")) == [1, 2]
    assert lines(found(checked(path, base_model=model), "control_tokens")) == [1]


def test_a_split_that_a_task_would_make(tmp_path, checked):
    path = write(tmp_path / "train.jsonl", *map(good, range(100)))
    report = checked(path, split={"train": 0.8, "validation": 0.1, "test": 0.1})
    assert {split.name: split.rows for split in report.splits} == {
        "train": 80,
        "validation": 10,
        "test": 10,
    }
    assert report.rows == 100 and "leakage" not in codes(report)


def test_what_cannot_be_split_is_looked_at_all_the_same(tmp_path, checked):
    path = write(tmp_path / "train.jsonl", "{", "[1]")
    report = checked(path, split={"train": 0.8, "validation": 0.1, "test": 0.1})
    assert codes(report) == {"bad_rows", "empty", "undivided"}
    assert [split.name for split in report.splits] == ["train"]


def test_no_time_is_said(tmp_path, checked):
    path = write(tmp_path / "train.jsonl", *map(good, range(6000)))
    report = checked(path, seconds=1e-6)
    assert not report.complete and report.rows < 6000
    assert "few_samples" not in codes(report)


def test_paths_and_base_models_that_cannot_be_used(tmp_path, checked):
    with pytest.raises(InvalidInput) as refused:
        checked(tmp_path / "nothing")
    assert refused.value.problems[0].code == "field.dataset_missing"
    path = write(tmp_path / "train.jsonl", good(0))
    with pytest.raises(InvalidInput) as refused:
        checked(path, base_model=tmp_path / "no model")
    assert refused.value.problems[0].field == "baseModel"


def test_the_same_seed_gives_the_same_report(tmp_path, checked):
    path = write(tmp_path / "train.jsonl", *map(good, range(50)))
    assert checked(path) == checked(path)


def test_samples_beyond_the_positions_of_the_base_model_are_told(tmp_path, checked):
    base = make_tiny_model(tmp_path / "base")  # 512 positions
    long = good(0) | {"output": "many words " * 2000}
    path = write(tmp_path / "train.jsonl", long, good(1))
    report = checked(path, base_model=base, max_seq_length=600)
    told = found(report, "beyond_positions")
    assert (told.count, told.params["positions"]) == (1, 512)
    assert "beyond_positions" not in codes(checked(path, base_model=base))


def test_openings_are_a_share_of_train_alone(tmp_path, checked):
    write(tmp_path / "train.jsonl", *[good(n) | {"instruction": f"Tell me now of {n}"}
                                      for n in range(40)])  # fmt: skip
    write(tmp_path / "valid.jsonl", *map(good, range(100, 400)))
    assert found(checked(tmp_path), "same_openings").params["percent"] == "100"


def test_bad_rows_of_a_file_that_is_divided_are_counted(tmp_path, checked):
    path = write(tmp_path / "train.jsonl", *map(good, range(30)), "{", "[")
    report = checked(path, split={"train": 0.6, "validation": 0.2, "test": 0.2})
    assert [(each.name, each.bad_rows) for each in report.splits] == [
        ("train", 2),
        ("validation", 0),
        ("test", 0),
    ]
    assert sum(each.rows for each in report.splits) == 32
