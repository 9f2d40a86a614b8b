"""A Chromium for the tests: found, else installed where that can be done; `make test` asks.

Debian's own, as root, because it brings the libraries that it needs; else the one that Playwright
downloads. A machine that gets neither is told so, and the browser's tests are skipped there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-noto-cjk")
# A machine without a network shall say so in seconds, not minutes.
APT = ("apt-get", "-y", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=30")
PATIENCE = 900  # seconds for an installation
LACKING = "NO BROWSER: the web console is not tested. Install Chromium, or run `make browser`."


def find() -> str | None:
    """Return the path of a Chromium that starts, if there is one."""
    from playwright.sync_api import sync_playwright  # tests that need no browser do not need it

    for path in map(shutil.which, NAMES):
        if path and _starts(path):
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if _starts(path) else None


def can_install() -> bool:
    """Tell whether the system's packages are ours to install."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install() -> None:
    """Try the ways there are, one after the other."""
    if can_install():
        print(f"Installing {' and '.join(PACKAGES)} with apt-get ...", flush=True)
        _run(*APT, "update")
        _run(*APT, "install", "--no-install-recommends", *PACKAGES)
        if find():
            return
    print("Playwright downloads its Chromium ...", flush=True)
    _run(sys.executable, "-m", "playwright", "install", "chromium")


def _run(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command[0]}: {error}", flush=True)


def _starts(path: str) -> bool:
    # Ubuntu's package is a program that asks for a snap.
    if not Path(path).is_file():
        return False
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main() -> None:
    if find() is None:
        install()
        if find() is None:
            print(f"\n{'*' * len(LACKING)}\n{LACKING}\n{'*' * len(LACKING)}\n", flush=True)


if __name__ == "__main__":
    main()
