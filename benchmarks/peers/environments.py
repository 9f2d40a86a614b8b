"""A virtual environment per peer, outside the repository, with pinned versions from PyPI."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
PEERS = ("trl", "llamafactory", "ms-swift")
# First of all, alone: what is installed after it then finds it, and asks for no build with CUDA
# where pip finds one without.
TORCH = "torch==2.13.0"
# Its torchvision and torchaudio fit a torch with CUDA only, its gradio is for its page.
WITHOUT_DEPENDENCIES = {"llamafactory": "llamafactory==0.9.5"}


def prepare(peer: str, cache: Path) -> Path:
    """Return the Python of the peer's environment under `cache`, installed if it is not yet.

    Raises CalledProcessError when pip fails; what it has said is on standard error.
    """
    directory = cache / peer
    python, stamp = directory / "bin" / "python", directory / "installed.txt"
    requirements = REQUIREMENTS / f"{peer}.txt"
    alone = WITHOUT_DEPENDENCIES.get(peer)
    wanted = f"{TORCH}\n{alone}\n{requirements.read_text(encoding='utf-8')}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"Installing {peer} in {directory}", flush=True)
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(directory)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, TORCH])
    _run([*pip, "-r", str(requirements)])
    if alone:
        _run([*pip, "--no-deps", alone])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)
