"""The committed OpenAPI document, from which the console's types are made, is the server's."""

import json
import subprocess
import sys
from pathlib import Path

COMMITTED = Path(__file__).parents[3] / "frontend" / "openapi.json"


def test_every_endpoint_is_in_the_documentation():
    text = (COMMITTED.parents[1] / "docs" / "api.md").read_text()
    document = json.loads(COMMITTED.read_bytes())
    names = [path.rpartition("/")[2] for path in document["paths"]]
    assert [name for name in names if name not in text] == []


def test_the_committed_document_is_the_servers():
    command = [sys.executable, "-m", "tunesmith.api.openapi"]
    told = subprocess.run(command, capture_output=True, check=True).stdout
    assert told == COMMITTED.read_bytes(), (
        "write it anew: python -m tunesmith.api.openapi > frontend/openapi.json"
    )
