"""Encodes spans of text so that none of them can become a control token."""

import json
import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.prompt.pieces import Span

Tokens = NDArray[np.int32]
Text = tuple[str, bool]
"""A text, and whether it opens (`Span.opens`)."""


class SegmentEncoder:
    """The tokenizer's backend, blind to control tokens, twice: one puts the blank before the
    first word that some tokenizers put there, the other does not."""

    def __init__(self, tokenizer: Any, controls: Iterable[str]) -> None:
        backend = tokenizer.backend_tokenizer
        self._token_to_id = backend.token_to_id
        self.controls = frozenset(controls)
        state = json.loads(backend.to_str())
        state["truncation"] = state["padding"] = None
        for token in state["added_tokens"]:
            # Only special ones are left alone by `encode_special_tokens`.
            token["special"] = token["content"] in self.controls
        self.state = json.dumps(state, ensure_ascii=False, sort_keys=True)
        """The tokenizer as text, for a fingerprint."""
        self._opening = _blind(type(backend), self.state)
        unprefixed = {
            **state,
            "normalizer": _without_prefix(state["normalizer"]),
            "pre_tokenizer": _without_prefix(state["pre_tokenizer"]),
        }
        changed = unprefixed != state
        self._continuing = (
            _blind(type(backend), json.dumps(unprefixed, ensure_ascii=False))
            if changed
            else self._opening
        )
        self._prefixes = changed
        highest = max(tokenizer.get_vocab().values(), default=0)
        self._is_control = np.zeros(highest + 1, dtype=bool)
        ids = {self.control_id(token) for token in self.controls}
        # Any text may hold something unknown; that does not make it a control token.
        ids -= {tokenizer.unk_token_id} - {tokenizer.eos_token_id, tokenizer.bos_token_id}
        self._is_control[sorted(ids)] = True
        longest_first = sorted(self.controls, key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def control_id(self, token: str) -> int:
        known = self._token_to_id(token)
        assert known is not None, f"{token} is no token"
        return int(known)

    def is_control(self, token: int) -> bool:
        return bool(self._is_control[token])

    def encode(self, texts: Sequence[Text]) -> tuple[Tokens, NDArray[np.int64]]:
        """Return the ids of all `texts` end to end, and how many each has."""
        return self.collect(texts, self.start(texts))

    def start(self, texts: Sequence[Text]) -> list[Any]:
        """Let the tokenizer do its part, which needs no interpreter: other threads go on."""
        encodings: list[Any] = [None] * len(texts)
        for opens, backend in ((True, self._opening), (False, self._continuing)):
            places = [
                place
                for place, (_, text_opens) in enumerate(texts)
                if (text_opens or not self._prefixes) is opens
            ]
            found = backend.encode_batch_fast(
                [texts[place][0] for place in places], add_special_tokens=False
            )
            for place, encoding in zip(places, found, strict=True):
                encodings[place] = encoding
        return encodings

    def collect(
        self, texts: Sequence[Text], encodings: list[Any]
    ) -> tuple[Tokens, NDArray[np.int64]]:
        """Return what `encode` does from what `start` made."""
        lengths = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
        ids = array("i")
        for encoding in encodings:
            ids.fromlist(encoding.ids)  # twice as fast as numpy takes lists
        flat = np.frombuffer(ids, dtype=np.int32) if ids else np.zeros(0, dtype=np.int32)
        if not self._is_control[flat].any():
            return flat, lengths
        # Vocabularies that hold a control token as a word, too: it is spelt out in two halves.
        spelt: list[list[int]] = []
        for text, encoding in zip(texts, encodings, strict=True):
            found = encoding.ids
            typed = bool(found) and bool(self._is_control[found].any())
            spelt.append(self._spell(*text) if typed else found)
        lengths = np.fromiter(map(len, spelt), dtype=np.int64, count=len(spelt))
        return np.fromiter(chain.from_iterable(spelt), dtype=np.int32), lengths

    def prefixes_after_control(self, tokenizer: Any, token: str) -> bool:
        """Whether the tokenizer begins a text anew after the control token `token`."""
        if not self._prefixes:
            return True
        text = "Tunesmith"
        whole = tokenizer.backend_tokenizer.encode(f"{token}{text}", add_special_tokens=False).ids
        apart = self._opening.encode(text, add_special_tokens=False).ids
        return list(whole) == [self.control_id(token), *apart]

    def _spell(self, text: str, opens: bool) -> list[int]:
        cuts = [match.start() + 1 for match in self._pattern.finditer(text)]
        ids: list[int] = []
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            backend = self._opening if opens and start == 0 else self._continuing
            ids += backend.encode(text[start:end], add_special_tokens=False).ids
        return [each for each in ids if not self._is_control[each]]


def literal(span: Span) -> Text | None:
    """Return the span's text where it has no contents."""
    if all(isinstance(part, str) for part in span.parts):
        return "".join(map(str, span.parts)), span.opens
    return None


def _blind(kind: Any, state: str) -> Any:
    backend = kind.from_str(state)
    backend.encode_special_tokens = True
    return backend


def _without_prefix(part: Any) -> Any:
    """The state of a normalizer or pre-tokenizer without the blank before the first word."""
    if not isinstance(part, dict):
        return part
    match part.get("type"):
        case "Prepend":
            return None
        case "Metaspace":
            return {**part, "prepend_scheme": "never"}
        case "ByteLevel":
            return {**part, "add_prefix_space": False}
        case "Sequence":
            key = "normalizers" if "normalizers" in part else "pretokenizers"
            kept = [_without_prefix(each) for each in part[key]]
            return {**part, key: [each for each in kept if each is not None]}
    return part
