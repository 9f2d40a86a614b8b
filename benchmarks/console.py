"""The console's first page in headless Chromium: from the address to what can be read and used.

    python -m benchmarks.console

Starts a server of its own and opens the sign-in page and the list of tasks, each time in a new
browser with nothing cached. Prints medians of RUNS. Run it on an idle machine, after
`make console`.
"""

import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

from tests.browser import chromium
from tests.browser.console import FLAGS
from tests.integration.server import Server

RUNS = 5
SIGN_IN = "/sign-in"


def seconds(playwright: Playwright, server: Server, path: str, heading: str) -> float:
    """Return the seconds until a new browser, signed in, shows `heading`."""
    browser = playwright.chromium.launch(executable_path=chromium.find(), args=FLAGS)
    try:
        context = browser.new_context(locale="zh-CN")
        if path != SIGN_IN:
            signing = f"{server.url}/finetuning/signIn"
            context.request.post(signing, data={"token": server.token})
        page = context.new_page()
        began = time.perf_counter()
        page.goto(server.url + path, wait_until="commit")
        page.get_by_role("heading", level=1, name=heading).wait_for()
        return time.perf_counter() - began
    finally:
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        server = Server(Path(root)).start()
        try:
            for path, heading in ((SIGN_IN, "登录"), ("/tasks", "微调任务")):
                took = [seconds(playwright, server, path, heading) for _ in range(RUNS)]
                print(f"{statistics.median(took):.2f} s  {path}")
        finally:
            server.close()


if __name__ == "__main__":
    main()
