"""checkDataset: the report in the reader's language, kept inside the allowed roots."""

from pathlib import Path
from typing import Any

from tests.unit.api.parts import Api

PATH = "/finetuning/checkDataset"


def test_the_report_has_samples_and_sentences(api: Api, body: dict[str, Any]) -> None:
    response = api("POST", PATH, json={"datasetPath": body["datasetPath"]})
    assert response.status_code == 200, response.text
    report = response.json()["data"]
    assert (report["complete"], report["rows"], report["verdict"]) == (
        True,
        1,
        "ready_with_warnings",
    )
    assert report["samples"][0]["turns"] == [{"question": "Who are you?", "answer": "Tunesmith."}]
    assert [each["code"] for each in report["findings"]] == ["check.few_samples"]
    assert "1000" in report["findings"][0]["message"] and report["message"]


def test_sentences_are_chinese_when_asked(api: Api, body: dict[str, Any]) -> None:
    asked = {"datasetPath": body["datasetPath"]}
    response = api("POST", PATH, json=asked, headers={"accept-language": "zh"})
    assert response.json()["data"]["findings"][0]["message"].startswith("只有 1 条样本")


def test_training_arguments_count(api: Api, body: dict[str, Any]) -> None:
    train = Path(body["datasetPath"]) / "train.jsonl"
    train.write_text(train.read_text() + '{"question": \n')
    asked = {"datasetPath": body["datasetPath"]}
    data = api("POST", PATH, json=asked).json()["data"]
    assert data["verdict"] == "must_be_mended"
    assert [(row["line"], row["code"]) for row in data["badRows"]] == [(2, "row.json")]
    skipping = asked | {"trainingArgs": {"on_bad_rows": "skip"}, "seconds": 5}
    assert api("POST", PATH, json=skipping).json()["data"]["verdict"] == "ready_with_warnings"


def test_what_is_refused_is_named(api: Api, body: dict[str, Any], tmp_path: Path) -> None:
    def field(**changes: Any) -> str:
        response = api("POST", PATH, json={"datasetPath": body["datasetPath"]} | changes)
        assert response.status_code == 422, response.text
        return response.json()["data"]["errors"][0]["field"]

    assert field(datasetPath="/etc/passwd") == "datasetPath"
    assert field(datasetPath=str(tmp_path / "nothing")) == "datasetPath"
    assert field(baseModel="/etc") == "baseModel"
    assert field(seconds=500) == "seconds"
    assert field(rows=5) == "rows"
    # Files inside that lead outside.
    (Path(body["baseModel"]) / "chat_template.jinja").symlink_to("/etc/passwd")
    assert field(baseModel=body["baseModel"]) == "baseModel"
    (Path(body["datasetPath"]) / "valid.jsonl").symlink_to("/etc/passwd")
    assert field() == "datasetPath"
