"""getModelList and inspectModel over real directories."""

import json
import shutil

import pytest

from tests.tiny_models import make_tiny_model
from tunesmith import wire
from tunesmith.families import CATALOGUE


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", "qwen2")


@pytest.fixture
def there(state, tiny):
    """Return a function that puts the tiny model into the models directory."""

    def put(name):
        return shutil.copytree(tiny, state.settings.models_dir / name)

    return put


def listed(api, **options):
    response = api("GET", "/finetuning/getModelList", **options)
    assert response.status_code == 200, response.text
    return wire.ModelList.model_validate(response.json()["data"])


def variants(models, name):
    entry = next(entry for entry in models.catalogue if entry.name == name)
    return {variant.kind: variant for variant in entry.variants}


def test_the_list_is_the_catalogue_where_no_model_is_on_the_disk(api):
    models = listed(api)
    assert [entry.name for entry in models.catalogue] == [entry.name for entry in CATALOGUE]
    assert models.local == []
    first = models.catalogue[0]
    assert (first.series, first.size, first.memory) == ("LLaMA", "7B", "~16GB")
    base = variants(models, "LLaMA 2-7B")["base"]
    assert base.local is None and base.gated
    assert base.base_model == base.huggingface == "meta-llama/Llama-2-7b-hf"


def test_the_remark_is_in_the_requests_language(api):
    assert listed(api).catalogue[0].remark == "Basic version"
    chinese = listed(api, headers={"accept-language": "zh"})
    assert chinese.catalogue[0].remark == "基础版本"


def test_the_catalogue_tells_which_directory_holds_a_model(api, there):
    path = there("Qwen/Qwen2-7B")
    other = there("chatglm3-6b")
    models = listed(api)
    qwen = variants(models, "Qwen2-7B")
    assert qwen["base"].local == qwen["base"].base_model == str(path)
    assert qwen["chat"].local is None
    assert variants(models, "ChatGLM3-6B")["chat"].local == str(other)
    assert [(model.name, model.catalogue) for model in models.local] == [
        ("chatglm3-6b", "ChatGLM3-6B"),
        ("Qwen/Qwen2-7B", "Qwen2-7B"),
    ]


def test_what_the_server_may_not_read_is_not_listed(api, state, tiny):
    state.settings.models_dir.mkdir()
    (state.settings.models_dir / "linked").symlink_to(tiny)
    assert not any(tiny.is_relative_to(root) for root in state.settings.roots)
    assert listed(api).local == []
    response = api.get("inspectModel", path="linked")
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["type"] == "path_outside_roots"


@pytest.mark.parametrize("by_path", [True, False])
def test_an_inspection_by_path_or_name(api, there, by_path):
    path = there("org/smol")
    found = api.data("inspectModel", path=str(path) if by_path else "org/smol")
    assert found["name"] == "org/smol" and found["path"] == found["baseModel"] == str(path)
    assert found["family"] == "qwen2" and found["familyTitle"] == "Qwen2"
    assert found["parameters"] > 90_000 and not found["parametersEstimated"]
    assert found["promptFormat"] == "template" and found["stopTokens"][0] == "<|im_end|>"
    assert found["loraTargets"][0] == "q_proj" and found["problems"] == []


def test_an_inspection_says_what_is_wrong_in_the_requests_language(api, there):
    path = there("broken")
    (path / "tokenizer.json").unlink()
    (path / "tokenizer.model").symlink_to("/etc/hostname")
    problems = api.data("inspectModel", path="broken")["problems"]
    assert [problem["code"] for problem in problems] == ["base_model_file_outside"]
    (path / "tokenizer.model").unlink()
    (english,) = api.data("inspectModel", path="broken")["problems"]
    assert english["code"] == "base_model_no_tokenizer" and "has no tokenizer" in english["message"]
    chinese = api(
        "GET",
        "/finetuning/inspectModel",
        params={"path": "broken"},
        headers={"accept-language": "zh"},
    )
    assert "没有分词器" in chinese.json()["data"]["problems"][0]["message"]


def test_what_a_chatglm_cannot_be_converted_from_is_told(api, there):
    path = there("old")
    config = {"model_type": "chatglm", "position_encoding_2d": True, "inner_hidden_size": 16384}
    (path / "config.json").write_text(json.dumps(config))
    (problem,) = api.data("inspectModel", path="old")["problems"]
    assert "position_encoding_2d" in problem["message"]
    assert not problem["message"].startswith("field.")


def test_a_model_of_a_hub_is_told_from_the_catalogue(api, there):
    found = api.data("inspectModel", path="THUDM/chatglm3-6b")
    assert found["path"] is None and found["baseModel"] == found["name"] == "zai-org/chatglm3-6b"
    assert (found["catalogue"], found["family"]) == ("ChatGLM3-6B", "chatglm3")
    assert found["parameters"] == 6_243_584_000 and found["sizeBytes"] is None
    pinned = api.data("inspectModel", path="THUDM/chatglm3-6b@v1.0")
    assert pinned["baseModel"] == "zai-org/chatglm3-6b@v1.0"
    path = there("ZhipuAI/chatglm3-6b")  # the same model, from the other hub
    assert api.data("inspectModel", path="THUDM/chatglm3-6b")["path"] == str(path)


@pytest.mark.parametrize("path", ["nobody/knows-it", "x" * 300, "/nowhere/else"])
def test_a_model_that_nobody_knows_is_not_found(api, state, path):
    if path.startswith("/"):
        path = str(state.settings.data_dir / "nowhere")
    response = api.get("inspectModel", path=path)
    assert response.status_code == 404
    assert path in response.json()["msg"]


def test_an_answer_does_not_tell_which_directories_are_elsewhere(api, state, tmp_path):
    state.settings.models_dir.mkdir()
    (tmp_path / "there").mkdir()
    answers = [api.get("inspectModel", path=f"../../{name}") for name in ("there", "missing")]
    assert {response.status_code for response in answers} == {404}


@pytest.mark.parametrize("path", ["/etc", "../../../../../../etc", "~root"])
def test_nothing_outside_the_roots_is_inspected(api, state, path):
    state.settings.models_dir.mkdir()
    response = api.get("inspectModel", path=path)
    assert response.status_code in (404, 422), response.text
    assert response.json()["code"] != 0


def test_a_path_is_required(api):
    for query in ({}, {"path": ""}, {"path": " "}):
        response = api.get("inspectModel", **query)
        assert response.status_code == 422
        assert response.json()["data"]["errors"][0]["field"] == "path"


def test_a_hostile_name_is_refused_and_not_an_error_of_the_server(api):
    for path in (
        "a\0b",
        "~nobody-of-that-name/x",
        "/a\0b",
        "\ud800".encode("utf-16", "surrogatepass"),
    ):
        assert api.get("inspectModel", path=path).status_code in (404, 422)


def test_a_task_is_refused_for_a_link_out_of_the_roots(api, body, tmp_path):
    model = tmp_path / "model"
    (model / "generation_config.json").symlink_to("/etc/hostname")
    response = api("POST", "/finetuning/createTask", json=body)
    assert response.status_code == 422
    (error,) = response.json()["data"]["errors"]
    assert (error["field"], error["type"]) == ("baseModel", "base_model_file_outside")
    (model / "generation_config.json").unlink()
    (model / "generation_config.json").symlink_to("config.json")
    assert api("POST", "/finetuning/createTask", json=body).status_code == 200
