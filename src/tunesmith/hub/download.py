"""Downloads a base model: `python -m tunesmith.hub.download`, the trainer's child (`fetch`).

The request is JSON on standard input, the token is in the environment. Standard output tells, one
JSON object a line: {"progress": {...}}, {"waits": path}, and last {"done": revision} or
{"failed": {"code", "params"}}. Killed at any moment, it leaves what the next one goes on with.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.draft import flush_one
from tunesmith.errors import InvalidInput, RunFailure, TunesmithError
from tunesmith.hub import marker
from tunesmith.hub.access import TOKEN_VARIABLE, headers
from tunesmith.hub.files import RemoteFile
from tunesmith.hub.listing import list_files
from tunesmith.hub.space import draft_of, shortage
from tunesmith.hub.transfer import PART, fetch
from tunesmith.spec import HubModel

LOCK = ".tunesmith-download.lock"
_KEPT = frozenset({LOCK, marker.MARKER})

Tell = Callable[[dict[str, Any]], None]


def download(model: HubModel, directory: Path, token: str | None, tell: Tell) -> str | None:
    """Make `directory` hold `model` if nothing is there; return the revision that is there now.

    None means that the directory does not say. Raises RunFailure.
    """
    draft = draft_of(directory)
    with _locked(draft, directory, tell) as free:
        if free:
            _fill(directory, model, token, tell)
            draft.rename(directory)
            flush_one(directory.parent)
    return marker.read(directory).get("revision")


def _fill(directory: Path, model: HubModel, token: str | None, tell: Tell) -> None:
    draft = draft_of(directory)
    try:
        listing = list_files(model.source, model.repo, model.revision, model.endpoint, token)
    except InvalidInput as refused:
        problem = refused.problems[0]
        reason = {"code": problem.code, "params": problem.params}
        raise RunFailure("download_failed", repo=model.repo, reason=reason) from None
    if not marker.same(draft, model):
        _empty(draft)
    marker.write(draft, model, listing.files)
    _remove_others(draft, listing.files)
    if missing := shortage(directory, listing.files):
        raise RunFailure("download_no_space", repo=model.repo, **missing)

    def progress(there: int, total: int, speed: float) -> None:
        left = (total - there) / speed if speed else None
        told = {"downloaded_bytes": there, "total_bytes": total}
        tell({"progress": told | {"bytes_per_second": speed, "eta_seconds": left}})

    fetch(listing.files, draft, headers(model.source, token), model.repo, progress)
    flush_one(draft)


@contextmanager
def _locked(draft: Path, directory: Path, tell: Tell) -> Iterator[bool]:
    """Hold the right to fill `draft`; give False if `directory` is there.

    The lock lies in the draft, so that nothing is left of it when that becomes the directory.
    """
    waited = False
    while not directory.is_dir():
        draft.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(draft / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # renamed in this moment
            continue
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waited:
                    tell({"waits": str(directory)})
                waited = True
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is(draft / LOCK, lock):  # the draft has become the directory meanwhile
                continue
            if directory.is_dir():
                shutil.rmtree(draft)
                continue
            yield True
            (directory / LOCK).unlink(missing_ok=True)
            return
        finally:
            os.close(lock)
    yield False


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _empty(draft: Path) -> None:
    """Remove what another revision or repository has left."""
    for path in draft.iterdir():
        if path.name not in _KEPT:
            path.unlink()


def _remove_others(draft: Path, files: Sequence[RemoteFile]) -> None:
    names = {file.path for file in files}
    for path in draft.iterdir():
        if path.name not in _KEPT and path.name.removesuffix(PART) not in names:
            path.unlink()


def main() -> None:
    # The trainer decides about a stop; Ctrl-C at a terminal reaches it too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is for the log

    def tell(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    request = json.load(sys.stdin)
    token = os.environ.pop(TOKEN_VARIABLE, None)
    try:
        model = HubModel.model_validate(request["model"])
        tell({"done": download(model, Path(request["directory"]), token, tell)})
    except TunesmithError as error:
        tell({"failed": {"code": error.code, "params": error.params}})
    except BrokenPipeError:
        pass  # the trainer is gone
    except OSError as error:
        path = str(error.filename or request["directory"])
        params = {"path": path, "reason": error.strerror or str(error)}
        tell({"failed": {"code": "download_unwritable", "params": params}})
    os._exit(0)  # threads may still wait for the network


if __name__ == "__main__":
    main()
