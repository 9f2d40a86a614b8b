"""JSON arrays, CSV and Parquet: read in a stream, broken ones told, encodings said by name."""

import json
import tracemalloc

import pyarrow
import pytest
from pyarrow import parquet

from tests.unit.dataset.files import ROW, rows, write
from tunesmith.dataset import BadRow, Conversation, read_rows
from tunesmith.dataset.formats import half_character_in
from tunesmith.errors import RunFailure

CHINESE = {"instruction": "请介绍一下你自己的名字", "output": "我是一个人工智能助手。"}


def questions(file):
    return [row.turns[0].question for row in read_rows(file)]


def array(path, *values, text=None):
    path.write_text(text or json.dumps(values, indent=1), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["train.json", "train.jsonl"])
def test_a_json_array_is_seen_by_its_bracket(tmp_path, name):
    found = list(read_rows(array(tmp_path / name, *rows(3))))
    assert [row.turns[0].question for row in found] == ["Question 0", "Question 1", "Question 2"]
    assert [row.line for row in found] == [1, 2, 3]


def test_lines_under_the_name_json_are_read_as_lines(tmp_path):
    assert len(questions(write(tmp_path / "train.json", *rows(3)))) == 3


def test_a_json_array_is_the_same_wherever_the_pieces_end(tmp_path, monkeypatch):
    file = array(tmp_path / "train.json", *[CHINESE, ROW | {"instruction": 'a "b" \\ 😀'}] * 5)
    whole = list(read_rows(file))
    for size in (1, 2, 3, 7, 50):
        monkeypatch.setattr("tunesmith.dataset.source.BLOCK", size)
        assert list(read_rows(file)) == whole


def test_memory_for_a_json_array_does_not_grow_with_it(tmp_path):
    def peak(count):
        file = tmp_path / f"{count}.json"
        file.write_text(json.dumps([ROW | {"output": "x" * 2000}] * count), encoding="utf-8")
        tracemalloc.start()
        assert sum(1 for _ in read_rows(file)) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(12_000) < 1.5 * peak(2_000) < 24e6


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('[{"instruction": "a", "output": "b"}, {"instruction": }]', 2),
        ('[{"instruction": "a", "output": "b"}', 2),
        ('[{"instruction": "a", "output": "b"} {}]', 2),
        ('[{"instruction": "a", "output": "b"}] x', 2),
        ('[{"instruction": "a", "output": "', 1),
    ],
)
def test_where_a_json_array_is_broken_the_rest_is_not_silently_left_out(tmp_path, text, row):
    *_, last = read_rows(array(tmp_path / "train.json", text=text))
    assert isinstance(last, BadRow) and last.ends_file
    assert (last.line, last.unit, last.problem["code"]) == (row, "row", "row.json_array")


def test_a_value_of_an_array_that_is_no_sample_is_one_bad_row(tmp_path):
    found = list(read_rows(array(tmp_path / "train.json", ROW, 3, {"text": "a"}, ROW)))
    assert [type(row) for row in found] == [Conversation, BadRow, BadRow, Conversation]
    assert not found[1].ends_file


def test_csv_columns_are_text_and_empty_cells_are_not_given(tmp_path):
    file = tmp_path / "train.csv"
    file.write_bytes(
        b"\xef\xbb\xbfinstruction,input,output,history,system,id\r\n"
        b'"two\r\nlines, ""quoted""",,007,,,1\r\n\r\n'
        b"a,b,c,,be kind,2\r\n"
    )
    first, second = read_rows(file)
    assert first.turns == (('two\r\nlines, "quoted"', "007"),) and first.system is None
    assert second.turns == (("a\nb", "c"),) and second.system == "be kind"
    assert second.line == 2


def test_a_csv_row_of_another_length_is_bad_and_an_open_quotation_ends_the_file(tmp_path):
    file = tmp_path / "train.csv"
    file.write_text('prompt,completion\na\nb,c,d\ne,f\n"g,h\n', encoding="utf-8")
    short, long, good, last = read_rows(file)
    assert short.problem["params"] == {"expected": 2, "found": 1}
    assert long.problem["params"] == {"expected": 2, "found": 3}
    assert good.turns == (("e", "f"),)
    assert last.problem["code"] == "row.csv" and last.ends_file


def test_parquet_is_read_with_lists_of_messages(tmp_path):
    table = {
        "messages": [
            [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            None,
        ],
        "image": [b"\x89PNG", b""],
        "instruction": [None, "i"],
        "output": [None, "o"],
    }
    file = tmp_path / "train.parquet"
    parquet.write_table(pyarrow.table(table), file)
    first, second = read_rows(file)
    assert (first.turns, first.line) == ((("q", "a"),), 1)
    assert (second.turns, second.line) == ((("i", "o"),), 2)


def test_parquet_without_a_known_column_is_all_bad_rows_that_name_its_columns(tmp_path):
    file = tmp_path / "train.parquet"
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "id": [1, 2]}), file)
    found = list(read_rows(file))
    assert [row.problem["params"]["found"] for row in found] == [["text", "id"]] * 2


def test_what_is_no_parquet_file_is_unreadable(tmp_path):
    file = tmp_path / "train.parquet"
    file.write_bytes(b"PAR1 but no more")
    with pytest.raises(RunFailure) as raised:
        list(read_rows(file))
    assert raised.value.code == "dataset_unreadable"


@pytest.mark.parametrize("name", ["train.jsonl", "train.json", "train.csv"])
@pytest.mark.parametrize(
    ("codec", "said"),
    [("gbk", "GBK"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16-LE"), ("utf-16-be", "UTF-16-BE")],
)
def test_other_encodings_are_said_by_name(tmp_path, name, codec, said):
    text = json.dumps(CHINESE, ensure_ascii=False) + "\n"
    if name == "train.json":
        text = json.dumps([CHINESE] * 3, ensure_ascii=False)
    elif name == "train.csv":
        text = "instruction,output\n" + ",".join(CHINESE.values()) + "\n"
    file = tmp_path / name
    file.write_bytes(text.encode(codec))
    with pytest.raises(RunFailure) as raised:
        list(read_rows(file))
    assert raised.value.code == "dataset_encoding"
    assert raised.value.params == {"file": name, "encoding": said}


def test_a_damaged_row_among_good_ones_is_a_bad_row_and_no_other_encoding(tmp_path):
    damaged = json.dumps(CHINESE, ensure_ascii=False).encode().replace("名".encode(), b"\xe5\x90")
    found = list(read_rows(write(tmp_path / "train.jsonl", CHINESE, damaged, CHINESE)))
    assert [type(row) for row in found] == [Conversation, BadRow, Conversation]
    assert found[1].problem["code"] == "row.encoding"


def test_pyarrow_is_not_imported_for_lines(tmp_path):
    import subprocess
    import sys

    file = write(tmp_path / "train.jsonl", ROW)
    code = (
        "import sys; from pathlib import Path; from tunesmith.dataset import check, open_dataset;"
        f"check(open_dataset(Path({str(file)!r})));"
        "sys.exit(any(name.split('.')[0] in ('pyarrow', 'torch') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "problem", "params"),
    [
        ("instruction;output\na;b\n", "csv_separator", {"separator": "';'"}),
        ("instruction\toutput\na\tb\n", "csv_separator", {"separator": "'\\t'"}),
        ("instruction,output,output\na,b,c\n", "csv_column_twice", {"name": "output"}),
    ],
)
def test_a_csv_header_that_spoils_all_rows_is_told_once(tmp_path, text, problem, params):
    file = tmp_path / "train.csv"
    file.write_text(text, encoding="utf-8")
    (found,) = read_rows(file)
    assert found.ends_file and found.problem == {"code": f"row.{problem}", "params": params}


def test_unknown_columns_of_the_same_name_do_no_harm(tmp_path):
    file = tmp_path / "train.csv"
    file.write_text("instruction,output,,\na,b,,\n", encoding="utf-8")
    assert questions(file) == ["a"]


def test_an_object_over_several_lines_is_named_so(tmp_path):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(ROW, indent=1), encoding="utf-8")
    assert next(read_rows(file)).problem["code"] == "row.over_lines"


def test_values_nested_deeper_than_calls_may_be_are_searched():
    value = "\ud800"
    for _ in range(100_000):
        value = [value]
    found = half_character_in({"a": "b", "x": value})
    assert found is not None and found[0].startswith("x[0][0]") and found[1] == "\ud800"
    order = {"one": ["ok", {"\udfff": 1}], "two": "\ud800"}
    assert half_character_in(order) == ("one[1].\\udfff", "\udfff")
    assert half_character_in({"a": ["b", {"c": None}], "d": 1}) is None
