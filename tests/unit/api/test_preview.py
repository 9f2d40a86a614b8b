"""previewSample: paths are held inside the roots, errors name their fields."""

from pathlib import Path
from typing import Any

from tests.tiny_models import make_tokenizer
from tests.unit.api.parts import Api

PATH = "/finetuning/previewSample"


def ask(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    response = api("POST", PATH, json=body)
    assert response.status_code == 200, response.text
    return response.json()["data"]


def refused_field(api: Api, body: dict[str, Any]) -> str:
    response = api("POST", PATH, json=body)
    assert response.status_code == 422, response.text
    return response.json()["data"]["errors"][0]["field"]


def test_a_row_and_a_given_sample_are_shown(api: Api, body: dict[str, Any]) -> None:
    make_tokenizer().save_pretrained(body["baseModel"])
    asked = {"baseModel": body["baseModel"], "datasetPath": body["datasetPath"]}
    shown = ask(api, asked | {"trainingArgs": {"system_prompt": "Be brief."}})
    assert shown["text"].startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert "".join(token["text"] for token in shown["tokens"] if token["learnt"]) == (
        "Tunesmith.<|im_end|>"
    )
    given = {"baseModel": body["baseModel"], "sample": {"instruction": "Hi", "output": "Ho"}}
    assert "Ho<|im_end|>" in ask(api, given)["text"]


def test_paths_outside_the_roots_are_refused(api: Api, body: dict[str, Any]) -> None:
    given = {"sample": {"instruction": "a", "output": "b"}, "baseModel": "/etc"}
    assert refused_field(api, given) == "baseModel"
    asked = {"baseModel": body["baseModel"], "datasetPath": str(Path("/etc/passwd"))}
    assert refused_field(api, asked) == "datasetPath"


def test_data_set_or_sample_must_be_given_and_not_both(api: Api, body: dict[str, Any]) -> None:
    for given in ({}, {"datasetPath": body["datasetPath"], "sample": {"output": "b"}}):
        asked = {"baseModel": body["baseModel"], **given}
        assert refused_field(api, asked) == "datasetPath"


def test_a_base_model_with_links_out_of_the_roots_is_not_read(
    api: Api, body: dict[str, Any]
) -> None:
    (Path(body["baseModel"]) / "chat_template.jinja").symlink_to("/etc/passwd")
    given = {"sample": {"instruction": "a", "output": "b"}, "baseModel": body["baseModel"]}
    assert refused_field(api, given) == "baseModel"
