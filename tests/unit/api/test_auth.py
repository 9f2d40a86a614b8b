import pytest

from tests.unit.api.parts import TOKEN


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer  {TOKEN}"},
        {"x-token": TOKEN},
        {"authorization": "Basic abc", "x-token": TOKEN},
    ],
)
def test_the_token_signs_in(api, headers):
    assert api("GET", "/finetuning/getTaskList", token=None, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-token": ""},
        {"x-token": "wrong"},
        {"x-token": TOKEN[:-1]},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"x-token": "日本".encode()},
    ],
)
def test_anything_else_does_not(api, headers):
    response = api("GET", "/finetuning/getTaskList", token=None, headers=headers)
    assert response.status_code == 401
    assert response.json()["code"] == 401
    assert response.json()["data"] is None
    assert response.headers["www-authenticate"] == "Bearer"


def test_everything_under_finetuning_is_guarded_before_the_body_is_read(api):
    for method, name in (
        ("POST", "createTask"),
        ("DELETE", "deleteTask"),
        ("GET", "streamTask"),
        ("HEAD", "downloadTaskLog"),
        ("GET", "unknown"),
        ("OPTIONS", "getTask"),
    ):
        content = b"no json" if method == "POST" else None
        assert api(method, f"/finetuning/{name}", token=None, content=content).status_code == 401


def test_health_and_documentation_are_open(api):
    for path in ("/health", "/docs", "/openapi.json"):
        assert api("GET", path, token=None).status_code == 200


def test_a_token_of_any_script_signs_in(state):
    from dataclasses import replace

    from tests.unit.api.parts import Api
    from tunesmith.api.app import create_app

    state = replace(state, token="密码密码密码密码")
    headers = {"x-token": state.token.encode()}
    response = Api(create_app(state), state)(
        "GET", "/finetuning/getTaskList", token=None, headers=headers
    )
    assert response.status_code == 200
