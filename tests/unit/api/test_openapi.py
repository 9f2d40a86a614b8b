"""The committed OpenAPI document, from which the console's types are made, is the server's."""

import subprocess
import sys
from pathlib import Path

COMMITTED = Path(__file__).parents[3] / "frontend" / "openapi.json"


def test_the_committed_document_is_the_servers():
    command = [sys.executable, "-m", "tunesmith.api.openapi"]
    told = subprocess.run(command, capture_output=True, check=True).stdout
    assert told == COMMITTED.read_bytes(), (
        "write it anew: python -m tunesmith.api.openapi > frontend/openapi.json"
    )
