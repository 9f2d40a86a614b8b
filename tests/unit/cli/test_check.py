"""`tunesmith check`: what a person reads, what a script reads, and the exit code."""

import json
from pathlib import Path

from tests.unit.check.test_check import good, write
from tunesmith.draft import draft_of


def test_errors_are_shown_with_their_lines_and_give_exit_code_1(run, tmp_path):
    write(
        tmp_path / "数据 集" / "train.jsonl", good(0), {"instruction": "a", "output": ""}, good(0)
    )
    done = run("check", str(tmp_path / "数据 集"))
    assert done.exit_code == 1, done.output
    assert "train.jsonl:2  the field output is empty" in done.stdout
    assert "train.jsonl:3 = train.jsonl:1" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("The data set must be mended first: 1 error")


def test_warnings_alone_give_exit_code_0_and_json_has_the_wires_names(run, tmp_path):
    path = write(tmp_path / "train.jsonl", good(0))
    done = run("check", str(path), "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["verdict"] == "ready_with_warnings"
    assert report["splits"][0]["badRows"] == 0
    assert report["findings"][0]["message"].startswith("1 samples are few")


def test_fix_says_what_it_dropped_and_refuses_a_full_directory(run, tmp_path):
    path = write(tmp_path / "train.jsonl", good(0), "{")
    done = run("check", str(path), "--fix", str(tmp_path / "out"))
    assert "1 rows kept, 1 dropped" in done.stdout
    assert (tmp_path / "out" / "dropped.jsonl").is_file()
    again = run("check", str(path), "--fix", str(tmp_path / "out"))
    assert again.exit_code == 2 and "is not empty" in again.stderr


def test_wrong_usage_is_told_by_name(run, tmp_path):
    missing = run("check", str(tmp_path / "nothing"))
    assert missing.exit_code == 2 and "does not exist" in missing.stderr
    path = str(write(tmp_path / "train.jsonl", good(0)))
    assert run("check", path, "--drop-near-duplicates").exit_code == 2
    parts = run("check", path, "--split", "0.5,0.1")
    assert parts.exit_code == 2 and "split" in parts.stderr
    model = run("check", path, "--base-model", str(Path(tmp_path)))
    assert model.exit_code == 2 and "cannot be loaded" in model.stderr


def test_ctrl_c_leaves_nothing_of_a_cleaned_copy(run, tmp_path, monkeypatch):
    out = tmp_path / "out"
    data = write(tmp_path / "train.jsonl", good(0))

    def interrupted(*_, **__):
        draft_of(out).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("tunesmith.side_process.ask", interrupted)
    run("check", str(data), "--fix", str(out))
    assert list(tmp_path.iterdir()) == [data]
