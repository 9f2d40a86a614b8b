import pytest
from pydantic import ValidationError

from tunesmith.hub.access import access_of, headers
from tunesmith.settings import Settings


def settings(**given):
    return Settings(data_dir="/d", **given)


def test_the_hubs_own_variables_count_where_ours_say_nothing():
    variables = {"HF_ENDPOINT": "https://hf-mirror.com/", "HF_TOKEN": "t", "HF_HUB_OFFLINE": "1"}
    access = access_of(settings(), variables)
    assert (access.endpoint, access.token, access.offline) == ("https://hf-mirror.com", "t", True)
    ours = settings(hub_endpoint="http://m/", hub_token="o", offline=False)
    access = access_of(ours, variables)
    assert (access.endpoint, access.token, access.offline) == ("http://m", "o", False)


def test_a_token_of_one_hub_is_not_for_the_other():
    access = access_of(settings(hub="modelscope"), {"HF_TOKEN": "t", "HF_ENDPOINT": "http://h"})
    assert (access.endpoint, access.token) == ("https://www.modelscope.cn", None)
    assert access_of(settings(), {}).endpoint == "https://huggingface.co"


def test_a_token_is_not_shown():
    assert "secret" not in repr(access_of(settings(hub_token="secret"), {}))
    assert "secret" not in repr(settings(hub_token="secret"))
    assert headers("modelscope", "t")["Cookie"] == "m_session_id=t"
    assert headers("huggingface", None) == {}


@pytest.mark.parametrize("url", ["huggingface.co", "ftp://x", "https://", "https://a:b@mirror/x"])
def test_an_endpoint_that_cannot_be_is_refused(url):
    with pytest.raises(ValidationError):
        settings(hub_endpoint=url)
