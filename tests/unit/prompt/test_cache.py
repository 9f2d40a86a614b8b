"""The cache of encoded data: found again, rebuilt when damaged, never wrong, bounded."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.families.family import GENERIC
from tunesmith.prompt.cache import TokenCache, cache_key
from tunesmith.prompt.prompt import Encoded, Prompt


def made(tokenizer: Any, rows: int = 3) -> Encoded:
    conversations = (Conversation((Turn("a", "b" * (40 * n + 1)),), None, n) for n in range(rows))
    return Prompt(tokenizer, GENERIC, None).encode(conversations, 60)


def never() -> Encoded:
    raise AssertionError("encoded again")


def test_an_entry_is_found_again_with_all_its_counts(tokenizer: Any, tmp_path: Path) -> None:
    cache, first = TokenCache(tmp_path / "tokens"), made(tokenizer)
    assert cache.encoded("key", lambda: first) is first
    second = cache.encoded("key", never)
    for name in ("tokens", "starts", "learnt"):
        assert np.array_equal(getattr(first.samples, name), getattr(second.samples, name))
    assert first.truncated == second.truncated > 0
    assert (second.read, second.longest, second.skipped) == (3, first.longest, 0)


@pytest.mark.parametrize("name", ["tokens.npy", "starts.npy", "learnt.npy", "facts.json"])
@pytest.mark.parametrize("harm", ["cut", "emptied", "gone"])
def test_a_damaged_entry_is_made_again(
    tokenizer: Any, tmp_path: Path, name: str, harm: str
) -> None:
    cache, encoded = TokenCache(tmp_path), made(tokenizer)
    cache.encoded("key", lambda: encoded)
    file = tmp_path / "key" / name
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: -1 if harm == "cut" else 0])
    again = []
    cache.encoded("key", lambda: again.append(1) or encoded)  # type: ignore[func-returns-value]
    assert again == [1]
    cache.encoded("key", never)


def test_a_changed_file_has_another_hash_and_an_unchanged_one_is_not_read(tmp_path: Path) -> None:
    cache, file = TokenCache(tmp_path / "tokens"), tmp_path / "data.jsonl"
    file.write_text("one")
    os.utime(file, ns=(10**18, 10**18))
    first = cache.data_hash(file)
    file.chmod(0)  # reading it would fail, but not for root
    if os.geteuid():
        assert cache.data_hash(file) == first
    file.chmod(0o600)
    file.write_text("two")
    assert cache.data_hash(file) != first
    # Changed just now: it may change again within the same time stamp.
    assert "two" not in (tmp_path / "tokens" / "hashes.json").read_text()


def test_keys_tell_everything_apart() -> None:
    keys = [cache_key(parts) for parts in (["a", "b"], ["ab"], ["a", b"b", ""], ["b", "a"])]
    assert len(set(keys)) == 4


def test_the_oldest_entries_make_room(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.prompt.cache.MOST_ENTRIES", 2)
    cache, encoded = TokenCache(tmp_path), made(tokenizer)
    for place, key in enumerate("abc"):
        cache.encoded(key, lambda: encoded)
        os.utime(tmp_path / key, (place + 1, place + 1))
    cache.encoded("a2", lambda: encoded)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a2", "c"]


def test_a_directory_that_cannot_be_written_costs_nothing_but_time(
    tokenizer: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    encoded = made(tokenizer)
    assert TokenCache(tmp_path / "file" / "x").encoded("key", lambda: encoded) is encoded
