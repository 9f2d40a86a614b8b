import os
from pathlib import Path

import pytest

from tunesmith.errors import Misconfigured
from tunesmith.settings import PREFIX, Settings, load_settings, login_token

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TUNESMITH_DATA_DIR", str(tmp_path / "data"))


def refused(**flags):
    with pytest.raises(Misconfigured) as error:
        load_settings(flags=flags)
    return error.value


def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch, tmp_path):
    file = tmp_path / "data" / "tunesmith.toml"
    file.parent.mkdir()
    file.write_text("port = 1001\nhost = '127.0.0.2'\nlanguage = 'en'\n")
    monkeypatch.setenv("TUNESMITH_PORT", "1002")
    monkeypatch.setenv("TUNESMITH_HOST", "127.0.0.3")
    settings = load_settings(flags={"port": 1003, "host": None})
    assert (settings.port, settings.host, settings.language) == (1003, "127.0.0.3", "en")


def test_the_allowed_roots_are_colon_separated_and_hold_the_data_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("TUNESMITH_ALLOWED_ROOTS", f"{tmp_path}/a:{tmp_path}/b b")
    roots = load_settings().roots
    assert roots == (tmp_path / "a", tmp_path / "b b", tmp_path / "data")


def test_allowed_hosts_are_comma_separated_names(monkeypatch):
    assert load_settings().allowed_hosts == ()
    monkeypatch.setenv("TUNESMITH_ALLOWED_HOSTS", "Tunes.example.com., gpu7,,")
    assert load_settings().allowed_hosts == ("tunes.example.com", "gpu7")
    assert load_settings(flags={"allowed_hosts": ["a.example"]}).allowed_hosts == ("a.example",)


def test_the_home_is_allowed_by_default(tmp_path):
    assert load_settings().roots == (tmp_path / "home", tmp_path / "data")


def test_a_root_that_is_a_symlink_is_followed(monkeypatch, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("TUNESMITH_ALLOWED_ROOTS", f"{tmp_path}/link")
    assert load_settings().roots[0] == tmp_path / "real"


def test_an_unknown_variable_or_key_is_refused_with_the_nearest_one(monkeypatch, tmp_path):
    monkeypatch.setenv("TUNESMITH_PROT", "1")
    assert refused().params == {"name": "TUNESMITH_PROT", "nearest": "TUNESMITH_PORT"}
    monkeypatch.delenv("TUNESMITH_PROT")
    config = tmp_path / "x.toml"
    config.write_text("hots = '127.0.0.1'")
    with pytest.raises(Misconfigured) as error:
        load_settings(config)
    assert error.value.params["nearest"] == "host"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70000),
        ("devices", "simulated:4"),
        ("devices", "simulated:0x1GiB"),
        ("cpu_tasks", 0),
        ("allowed_hosts", "https://tunes.example.com"),
        ("allowed_hosts", "tunes.example.com:8443"),
        ("allowed_hosts", [1]),
        ("allowed_hosts", 1),
    ],
)
def test_a_value_that_cannot_be_names_its_setting(name, value):
    assert refused(**{name: value}).params["name"] == name


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "x.toml").write_text("= 1")
    with pytest.raises(Misconfigured) as error:
        load_settings(tmp_path / "x.toml")
    assert error.value.code == "config_unreadable"


def test_the_token_is_made_once_and_only_its_owner_can_read_it():
    settings = load_settings()
    token = login_token(settings)
    assert len(token) >= 32 and login_token(settings) == token
    assert settings.token_file.stat().st_mode & 0o777 == 0o600


def test_a_token_of_the_settings_is_not_written_down(monkeypatch):
    monkeypatch.setenv("TUNESMITH_TOKEN", "a-long-secret")
    settings = load_settings()
    assert login_token(settings) == "a-long-secret" and not settings.token_file.exists()


def test_every_setting_is_documented():
    text = (ROOT / "docs" / "settings.md").read_text()
    assert [n for n in Settings.model_fields if f"`{PREFIX}{n.upper()}`" not in text] == []


def test_the_data_directory_is_below_the_home_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("TUNESMITH_DATA_DIR")
    assert load_settings().data_dir == tmp_path / "home" / ".tunesmith"


def test_an_empty_token_file_is_refused_rather_than_letting_everybody_in():
    settings = load_settings()
    settings.data_dir.mkdir()
    settings.token_file.write_text("")
    with pytest.raises(Misconfigured):
        login_token(settings)
