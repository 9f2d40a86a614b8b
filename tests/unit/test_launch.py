import pytest

from tests.specs import make_spec
from tunesmith.launch import environment_of
from tunesmith.settings import Settings
from tunesmith.spec import HubModel

TOKEN = "TUNESMITH_HUB_TOKEN"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def spec(endpoint=None):
    hub = HubModel(source="huggingface", repo="o/n", revision="a" * 40, endpoint=endpoint or "")
    return make_spec().model_copy(update={"devices": (1, 0), "hub": hub if endpoint else None})


def test_a_trainer_sees_its_gpus():
    variables = environment_of(spec(), Settings(data_dir="/d", hub_token="secret"))
    assert variables == {"CUDA_VISIBLE_DEVICES": "1,0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_the_token_goes_to_a_download_from_the_hub_that_it_was_set_for(monkeypatch):
    settings = Settings(data_dir="/d", hub_endpoint="https://mirror", hub_token="secret")
    assert environment_of(spec("https://mirror"), settings)[TOKEN] == "secret"
    assert TOKEN not in environment_of(spec("https://huggingface.co"), settings)
    monkeypatch.setenv("HF_TOKEN", "standard")
    standard = environment_of(spec("https://huggingface.co"), Settings(data_dir="/d"))
    assert standard[TOKEN] == "standard"
