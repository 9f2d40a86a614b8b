import logging

from tests.unit.api.parts import Api
from tunesmith.api.app import create_app
from tunesmith.errors import Misconfigured


def test_bad_json_is_a_bad_request(api):
    response = api(
        "POST",
        "/finetuning/createTask",
        content=b'{"name": }',
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 400
    assert response.json()["code"] == 400
    assert "not valid JSON" in response.json()["msg"]


def test_a_body_that_is_no_text_is_a_bad_request(api):
    for content in (b'{"name": "\xff"}', b"[" * 100_000):
        response = api(
            "POST",
            "/finetuning/createTask",
            content=content,
            headers={"content-type": "application/json"},
        )
        assert response.status_code == 400
        assert response.json()["data"] is None


def test_a_body_that_is_no_object_is_wrong_input(api):
    for content in (b"[]", b"null", b'"text"', b""):
        response = api("POST", "/finetuning/createTask", content=content)
        assert response.status_code == 422
        assert response.json()["data"]["errors"][0]["field"] == "body"


def test_half_a_character_in_a_name_is_wrong_input(api, body):
    content = b'{"name": "\\ud800", "baseModel": "/m", "datasetPath": "/d"}'
    response = api("POST", "/finetuning/createTask", content=content)
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["type"] == "string_unicode"


def test_a_thousand_unknown_names_are_answered_with_the_first_fifty(api, body):
    many = body | {f"unknown{number}": 1 for number in range(1000)}
    response = api("POST", "/finetuning/createTask", json=many)
    assert response.status_code == 422
    assert len(response.json()["data"]["errors"]) == 50


def test_too_large_a_body_is_refused_whether_its_length_is_stated_or_not(api):
    async def chunks():
        for _ in range(20):
            yield b" " * (1 << 16)

    for content in (b" " * ((1 << 20) + 1), chunks()):
        response = api("POST", "/finetuning/createTask", content=content)
        assert response.status_code == 413
        assert response.json()["code"] == 413
        assert "1 MiB" in response.json()["msg"]


def test_an_unknown_route_and_a_wrong_method_are_answered_in_the_envelope(api):
    response = api("GET", "/finetuning/getTsak")
    assert (response.status_code, response.json()["code"]) == (404, 404)
    assert "/finetuning/getTsak" in response.json()["msg"]
    response = api("GET", "/finetuning/createTask")
    assert (response.status_code, response.json()["code"]) == (405, 405)
    assert response.headers["allow"] == "POST"
    assert api("GET", "/finetuning/getTask/").status_code == 404
    assert api("GET", "/nowhere.json").json()["code"] == 404


def test_an_unknown_error_has_a_number_that_the_log_knows(state, caplog):
    app = create_app(state)

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    @app.get("/misconfigured")
    def misconfigured() -> None:
        raise Misconfigured("setting_invalid", name="x", reason="y")

    api = Api(app, state)
    with caplog.at_level(logging.ERROR):
        response = api("GET", "/broken")
    assert response.status_code == 500
    answer = response.json()
    assert (answer["code"], answer["data"]) == (500, None)
    assert "secret detail" not in response.text
    record = caplog.records[-1]
    number = record.getMessage().split()[1].rstrip(":")
    assert number in answer["msg"]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert api("GET", "/misconfigured").status_code == 500


def test_sentences_are_chinese_unless_english_is_preferred(api):
    headers = {"accept-language": ""}
    chinese = api("GET", "/finetuning/getTask", params={"id": 9}, headers=headers)
    assert chinese.json()["msg"] == "任务 9 不存在"
    headers = {"accept-language": "zh;q=0.4, en-GB;q=0.8"}
    english = api("GET", "/finetuning/getTask", params={"id": 9}, headers=headers)
    assert english.json()["msg"] == "There is no task 9"


def test_a_body_that_is_no_json_is_told_in_the_readers_language(api):
    answer = api("POST", "/finetuning/createTask", content=b'{"name": }', params={"lang": "zh"})
    assert answer.status_code == 400
    assert answer.json()["msg"] == "请求体不是有效的 JSON：此处缺少值，或写的不是 JSON 的值"
