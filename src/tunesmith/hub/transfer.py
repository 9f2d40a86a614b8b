"""Fetches files over HTTP: several at once, each taken up again where it broke off, verified.

Not by the hubs' own libraries: huggingface_hub 2 begins a file anew in each process, and
ModelScope's answers no question about progress.
"""

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx

import tunesmith
from tunesmith.errors import RunFailure
from tunesmith.hub.files import RemoteFile

AT_ONCE = 4  # files
PART = ".part"  # a file that is not whole, or not verified
# Seconds of waiting after each failure in a row; data that came in between starts them anew.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
REPORT_EVERY = 1.0  # seconds
WINDOW = 10.0  # seconds that the speed is measured over
DAMAGED_AT_MOST = 1  # times that a file may come damaged and is fetched again


class _Broken(Exception):
    """Worth another try. `code` and `params` are a message."""

    def __init__(self, code: str, damaged: bool = False, **params: Any) -> None:
        super().__init__(code)
        self.reason = {"code": f"hub.{code}", "params": params}
        self.damaged = damaged


class _Cancelled(Exception):
    """Another file has failed for good."""


def fetch(
    files: Sequence[RemoteFile],
    directory: Path,
    headers: Mapping[str, str],
    repo: str,
    tell: Callable[[int, int, float], None],
    pauses: Sequence[float] = PAUSES,
) -> None:
    """Fetch `files` into `directory`; whole ones that are there already are not asked for.

    `tell` hears bytes there, bytes in all and bytes a second, at most once a second. Raises
    RunFailure `download_failed`; what has come stays for the next time.
    """
    transfer = _Transfer(directory, repo, pauses)
    total = sum(file.size for file in files)
    sent = {**headers, "User-Agent": f"tunesmith/{tunesmith.__version__}"}
    # No compression: sizes and ranges are those of the file.
    sent["Accept-Encoding"] = "identity"
    with httpx.Client(headers=sent, timeout=TIMEOUT, follow_redirects=True) as client:
        transfer.note(files)
        speed = _Speed(transfer.there())
        with ThreadPoolExecutor(AT_ONCE) as workers:
            pending = {workers.submit(transfer.get, client, file) for file in files}
            try:
                while pending:
                    done, pending = wait(pending, REPORT_EVERY, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    there = transfer.there()
                    tell(there, total, speed.at(there))
            except BaseException:
                transfer.cancelled.set()
                workers.shutdown(cancel_futures=True)
                raise


class _Transfer:
    """What the workers share."""

    def __init__(self, directory: Path, repo: str, pauses: Sequence[float]) -> None:
        self._directory, self._repo, self._pauses = directory, repo, pauses
        self._sizes: dict[str, int] = {}
        self.cancelled = threading.Event()

    def note(self, files: Sequence[RemoteFile]) -> None:
        """Take in what an earlier attempt has left."""
        for file in files:
            whole = self._directory / file.path
            path = whole if whole.is_file() else self._part(file)
            self._sizes[file.path] = _size(path)

    def there(self) -> int:
        """Return how many bytes are on the disk."""
        return sum(self._sizes.values())

    def get(self, client: httpx.Client, file: RemoteFile) -> None:
        whole, part = self._directory / file.path, self._part(file)
        if whole.is_file() and whole.stat().st_size == file.size:
            return
        failures = damaged = 0
        while True:
            before = _size(part)
            try:
                self._stream(client, file, part, before)
                self._verify(file, part)
                part.replace(whole)
                return
            except httpx.TransportError as error:
                reason: dict[str, Any] = {"code": "hub.connection", "params": {}}
                reason["params"] = {"reason": f"{type(error).__name__}: {error}"}
            except _Broken as broken:
                reason = broken.reason
                if broken.damaged:
                    part.unlink(missing_ok=True)
                    self._sizes[file.path] = 0
                    damaged += 1
                    if damaged > DAMAGED_AT_MOST:
                        raise self._failure(file, reason) from None
            failures = 1 if _size(part) > before else failures + 1
            if failures > len(self._pauses):
                raise self._failure(file, reason) from None
            if self.cancelled.wait(self._pauses[failures - 1]):
                raise _Cancelled

    def _stream(self, client: httpx.Client, file: RemoteFile, part: Path, have: int) -> None:
        if have == file.size and part.is_file():
            return
        if have > file.size:
            raise _Broken("size_differs", True, found=have, expected=file.size)
        range_ = {"Range": f"bytes={have}-"} if have else {}
        with client.stream("GET", file.url, headers=range_) as response:
            self._check_status(file, response, have)
            if have and not _continues(response, have):
                have = 0
            with part.open("r+b" if have else "wb") as out:
                out.seek(have)
                # As they come: in pieces of a size, what is not a whole one is lost with a break.
                for chunk in response.iter_raw():
                    if self.cancelled.is_set():
                        raise _Cancelled
                    out.write(chunk)
                    have += len(chunk)
                    self._sizes[file.path] = have
                    if have > file.size:
                        break
                out.flush()
                os.fsync(out.fileno())

    def _check_status(self, file: RemoteFile, response: httpx.Response, have: int) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        if status == 416 and have:
            raise _Broken("size_differs", True, found=have, expected=file.size)
        if status in (408, 429) or status >= 500:
            raise _Broken("status", status=status)
        code = "hub.not_allowed" if status in (401, 403) else "hub.status"
        raise self._failure(file, {"code": code, "params": {"status": status}})

    def _verify(self, file: RemoteFile, part: Path) -> None:
        size = _size(part)
        if size != file.size:
            more = size > file.size
            raise _Broken("size_differs", more, found=size, expected=file.size)
        if file.sha256:
            with part.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            if found != file.sha256.lower():
                raise _Broken("hash_differs", True)

    def _failure(self, file: RemoteFile, reason: dict[str, Any]) -> RunFailure:
        reason = {"code": reason["code"], "params": {"file": file.path} | reason["params"]}
        return RunFailure("download_failed", repo=self._repo, reason=reason)

    def _part(self, file: RemoteFile) -> Path:
        return self._directory / f"{file.path}{PART}"


class _Speed:
    """Bytes a second over the last seconds."""

    def __init__(self, there: int) -> None:
        self._seen = deque([(time.monotonic(), there)])

    def at(self, there: int) -> float:
        now = time.monotonic()
        self._seen.append((now, there))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        return max(0.0, (there - before) / max(now - since, 1e-3))


def _continues(response: httpx.Response, offset: int) -> bool:
    """Whether the answer is the rest of the file from `offset` on, as was asked."""
    told = response.headers.get("content-range", "")
    return response.status_code == 206 and told.startswith(f"bytes {offset}-")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
