import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "accelerate")


def loaded_after(imports: str) -> set[str]:
    """Return the modules of a fresh process that has imported `imports`."""
    code = f"import sys, {imports}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "imports",
    [
        "tunesmith.api.app, tunesmith.api.serve, tunesmith.api.server",
        "tunesmith.cli, tunesmith.cli.local_run, tunesmith.cli.follow, tunesmith.client",
    ],
)
def test_no_torch_outside_the_trainer(imports):
    assert loaded_after(imports).isdisjoint(HEAVY)


def test_help_loads_neither_http_nor_validation():
    loaded = loaded_after("tunesmith.cli")
    assert loaded.isdisjoint({"httpx", "pydantic", "rich", "yaml", "sqlalchemy", "fastapi"})
