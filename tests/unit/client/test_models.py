"""The client's calls about base models, answered as a server does."""

import pytest

from tests.unit.answers import Routes, refusal, success
from tunesmith import Client
from tunesmith.errors import NotFound
from tunesmith.model_list import inspect_model, list_models
from tunesmith.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, allowed_roots=(tmp_path,))


def connect(routes):
    return Client("http://127.0.0.1:8000", "secret-token", transport=routes)


def test_the_list_arrives_as_the_server_made_it(settings):
    made = list_models(settings, settings.roots, "en")
    routes = Routes(getModelList=lambda request: success(made.model_dump(by_alias=True)))
    with connect(routes) as client:
        assert client.model_list() == made


def test_an_inspection_asks_for_a_path_or_name(settings):
    made = inspect_model("THUDM/chatglm3-6b", settings, settings.roots, "en")
    routes = Routes(inspectModel=lambda request: success(made.model_dump(by_alias=True)))
    with connect(routes) as client:
        assert client.inspect_model("THUDM/chatglm3-6b") == made
    assert routes.queries() == [{"path": "THUDM/chatglm3-6b"}]


def test_a_model_that_nobody_knows_raises_not_found():
    routes = Routes(inspectModel=lambda request: refusal(404, "no"))
    with connect(routes) as client, pytest.raises(NotFound):
        client.inspect_model("nobody/knows-it")
