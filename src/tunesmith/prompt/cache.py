"""Keeps encoded data sets on disk, so that the same data need not be encoded twice.

An entry is a directory of .npy files, opened without being read, named by a hash of everything
that decides what is in it. The data's own hash is remembered by path, size and time of change.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.prompt.prompt import Encoded

VERSION = 1  # another one when the same input gives other tokens
MOST_BYTES = 20 << 30
MOST_ENTRIES = 50
MOST_REMEMBERED = 1000  # hashes of files
SETTLED_NS = 2_000_000_000  # a file changed this lately may change again within its time stamp
ARRAYS = ("tokens", "starts", "learnt")


class TokenCache:
    """Encoded data under `directory`. What it cannot keep or read, it does without."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._hashes = directory / "hashes.json"

    def encoded(self, key: str, encode: Callable[[], Encoded]) -> Encoded:
        """Return the entry `key`, made by `encode` where there is none that can be read."""
        entry = self._directory / key
        if (found := _load(entry)) is not None:
            return found
        made = encode()
        try:
            self._keep(entry, made)
        except OSError:  # a full disk: it is a cache
            return made
        return made

    def data_hash(self, file: Path) -> str:
        """Return the hash of `file`, read only when its size or time of change is new."""
        stat = file.stat()
        path = str(file.resolve())
        seen = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        remembered = self._remembered()
        known = remembered.get(path)
        if isinstance(known, list) and len(known) == 2 and known[0] == seen:
            return str(known[1])
        with file.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        after = file.stat()
        unchanged = [after.st_size, after.st_mtime_ns, after.st_ino] == seen
        if unchanged and time.time_ns() - stat.st_mtime_ns > SETTLED_NS:
            remembered.pop(path, None)
            remembered[path] = [seen, digest]
            self._remember(remembered)
        return digest

    def _remembered(self) -> dict[str, Any]:
        try:
            found = json.loads(self._hashes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _remember(self, hashes: dict[str, Any]) -> None:
        newest = dict(list(hashes.items())[-MOST_REMEMBERED:])
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            draft = self._hashes.with_name(f".hashes.{os.getpid()}")
            draft.write_text(json.dumps(newest, ensure_ascii=False), encoding="utf-8")
            draft.replace(self._hashes)
        except OSError:
            return

    def _keep(self, entry: Path, made: Encoded) -> None:
        """Write the entry whole or not at all."""
        self._directory.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self._directory))
        try:
            for name in ARRAYS:
                np.save(draft / f"{name}.npy", getattr(made.samples, name), allow_pickle=False)
            facts = {
                "read": made.read,
                "truncated": made.truncated,
                "longest": made.longest,
                "skipped": made.skipped,
                "first_skipped": made.first_skipped,
                "refused": made.refused,
                "with_system": made.with_system,
            }
            (draft / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
            shutil.rmtree(entry, ignore_errors=True)  # a damaged one
            draft.rename(entry)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._make_room(entry)

    def _make_room(self, newest: Path) -> None:
        """Remove what was not used for longest. Who has it open keeps it (the files live on)."""
        entries = [each for each in self._directory.iterdir() if each.is_dir()]
        entries.sort(key=_last_used, reverse=True)
        size = 0
        for count, entry in enumerate(entries, start=1):
            size += sum(file.stat().st_size for file in entry.iterdir() if file.is_file())
            is_old_draft = entry.name.startswith(".") and time.time() - _last_used(entry) > 86_400
            too_much = count > MOST_ENTRIES or size > MOST_BYTES
            if is_old_draft or (too_much and entry != newest and not entry.name.startswith(".")):
                shutil.rmtree(entry, ignore_errors=True)


def cache_key(parts: Iterable[str | bytes]) -> str:
    """Return the name of the entry that `parts` decide."""
    digest = hashlib.sha256(str(VERSION).encode())
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:32]


def _load(entry: Path) -> Encoded | None:
    """Return the entry, or None where it is missing or damaged."""
    try:
        facts = json.loads((entry / "facts.json").read_text(encoding="utf-8"))
        arrays = [
            np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS
        ]
        tokens, starts, learnt = arrays
        facts["refused"] = tuple((int(line), str(token)) for line, token in facts["refused"])
        encoded = Encoded(EncodedSamples(tokens, np.array(starts), learnt), **facts)
        types = (tokens.dtype, starts.dtype, learnt.dtype)
        whole = (
            types == (np.int32, np.int64, np.bool_)
            and starts[0] == 0
            and int(starts[-1]) == len(tokens) == len(learnt)
            and bool((np.diff(starts) > 0).all())
        )
        if not whole:
            return None
        os.utime(entry)
    except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError):
        return None
    return encoded


def _last_used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0
