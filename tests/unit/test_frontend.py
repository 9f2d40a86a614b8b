"""The console's own tests (vitest) pass; that both languages have the same texts is one of them."""

import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

FRONTEND = Path(__file__).parents[2] / "frontend"
VITEST = FRONTEND / "node_modules" / "vitest" / "vitest.mjs"


def node() -> str:
    """Return the Node of this machine, else the one inside Playwright: it is there for tests."""
    return shutil.which("node") or str(Path(playwright.__file__).parent / "driver" / "node")


@pytest.mark.skipif(not VITEST.is_file(), reason="the console's packages are not installed")
def test_the_consoles_own_tests_pass() -> None:
    done = subprocess.run(
        [node(), str(VITEST), "run"],
        cwd=FRONTEND,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
