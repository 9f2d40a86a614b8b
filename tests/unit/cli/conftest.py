import functools
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from tests.unit.answers import Routes
from tunesmith import client
from tunesmith.cli.app import app

REAL_CLIENT = client.Client


@pytest.fixture(autouse=True)
def english(monkeypatch, tmp_path):
    monkeypatch.setenv("TUNESMITH_DATA_DIR", str(tmp_path / "data"))
    for name in ("TUNESMITH_URL", "TUNESMITH_TOKEN", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_US.UTF-8")


@pytest.fixture
def run(monkeypatch) -> Callable[..., Result]:
    """Run a command line against `routes`, by default without a server."""
    monkeypatch.setattr("tunesmith.client.connection.RETRY_DELAYS", (0.001, 0.002))

    def invoke(*arguments: str, routes: Routes | None = None, input: str | None = None) -> Result:
        if routes is not None:
            connected = functools.partial(
                REAL_CLIENT, "http://127.0.0.1:8000", "secret-token", transport=routes
            )
            monkeypatch.setattr(client, "Client", connected)
        return CliRunner().invoke(app, arguments, input=input)

    return invoke
