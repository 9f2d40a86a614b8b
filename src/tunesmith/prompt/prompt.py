"""Samples -> token ids, split into prompt and answer. The one place that knows how.

Prompt and answer are encoded apart, as they are at inference, where the answer does not exist
yet when the prompt is encoded. Texts of users and data sets never become control tokens.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.dataset import Sample
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.prompt.template import ANSWER, QUESTION, ChatTemplate, Rendered

ROWS_AT_ONCE = 2000

Tokens = NDArray[np.int32]
Row = tuple[Tokens, Tokens]


@dataclass(frozen=True)
class Encoded:
    """The encoded samples of a file, and what had to be done to fit them."""

    samples: EncodedSamples
    read: int
    truncated: int
    longest: int
    """Tokens of the longest sample before it was cut."""
    skipped: int
    first_skipped: int | None
    """Line of the first sample that has no answer token left."""


class Prompt:
    """Encodes conversations for one tokenizer, template and system text."""

    def __init__(self, tokenizer: Any, system_prompt: str | None) -> None:
        self.template = ChatTemplate(tokenizer, system_prompt)
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        # Indexed by token id.
        self._is_control = np.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=bool)
        for text in self.template.control_tokens:
            if (known := self._backend.token_to_id(text)) is not None:
                self._is_control[known] = True
        self._without_controls: Any = None
        self._joined = self._needs_joining()

    @property
    def end_token_id(self) -> int | None:
        """The token that ends an answer."""
        end = self.template.end_token
        return None if end is None else self._backend.token_to_id(end)

    def prompt_ids(self, question: str) -> list[int]:
        """Return the token ids a model must see to answer `question`."""
        masked = self.template.render_prompt(question)
        if not self.template.is_masked(masked):
            return [*self._backend.encode(masked, add_special_tokens=False).ids]
        return [int(token) for token in self._encode_masked(masked)]

    def encode(self, samples: Iterable[Sample], max_seq_length: int) -> Encoded:
        """Encode `samples`, cutting each to `max_seq_length` tokens."""
        tokens: list[Tokens] = []
        answers: list[int] = []
        read = truncated = longest = skipped = 0
        first_skipped = None
        for sample, (prompt, answer) in self._rows(iter(samples)):
            read += 1
            length = len(prompt) + len(answer)
            longest = max(longest, length)
            # The first token of all follows from nothing, so it cannot be learnt.
            before = max(len(prompt), 1)
            if min(length, max_seq_length) <= before:
                skipped += 1
                first_skipped = first_skipped or sample.line
                continue
            truncated += length > max_seq_length
            # Cut before they are joined: a view would keep the whole sample in memory.
            tokens.append(np.concatenate([prompt, answer[: max_seq_length - len(prompt)]]))
            answers.append(before)
        starts = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
        joined = np.concatenate(tokens) if tokens else np.zeros(0, dtype=np.int32)
        learnt = np.ones(len(joined), dtype=np.bool_)
        for start, before in zip(starts[:-1], answers, strict=True):
            learnt[start : start + before] = False
        encoded = EncodedSamples(joined, starts, learnt)
        return Encoded(encoded, read, truncated, longest, skipped, first_skipped)

    def _rows(self, samples: Iterator[Sample]) -> Iterator[tuple[Sample, Row]]:
        while chunk := list(islice(samples, ROWS_AT_ONCE)):
            rendered = [self.template.render(row.prompt, row.output) for row in chunk]
            rows = self._encode_all(rendered)
            for sample, text, row in zip(chunk, rendered, rows, strict=True):
                # More control tokens than the template wrote: somebody typed one.
                found = sum(int(np.count_nonzero(self._is_control[part])) for part in row)
                masked = self.template.is_masked(text.prompt + text.answer)
                if masked or found != text.controls:
                    yield sample, self._encode_guarded(sample)
                else:
                    yield sample, row

    def _encode_all(self, rendered: list[Rendered]) -> list[Row]:
        prompts = self._encode_batch([text.prompt for text in rendered])
        if not self._joined:
            answers = self._encode_batch([text.answer for text in rendered])
            return list(zip(prompts, answers, strict=True))
        whole = self._encode_batch([text.prompt + text.answer for text in rendered])
        return [_cut(ids, prompt) for ids, prompt in zip(whole, prompts, strict=True)]

    def _encode_batch(self, texts: list[str]) -> list[Tokens]:
        encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]

    def _encode_guarded(self, sample: Sample) -> Row:
        text = self.template.render_masked(sample.prompt, sample.output)
        return self._encode_masked(text.prompt), self._encode_masked(text.answer)

    def _encode_masked(self, text: str) -> Tokens:
        """Encode segment by segment: the template's control tokens, and plain text between them.

        Only for texts that hold control tokens. A tokenizer that puts a blank before the first
        word of a text puts one before each segment here.
        """
        ids: list[int] = []
        for place, part in enumerate(self.template.split_controls(text)):
            if place % 2:
                ids.append(self._backend.token_to_id(part))
            elif part:
                plain = self.template.unmask(part)
                ids += self._plain_backend().encode(plain, add_special_tokens=False).ids
        return np.array(ids, dtype=np.int32)

    def _plain_backend(self) -> Any:
        """The same tokenizer, blind to control tokens."""
        if self._without_controls is None:
            state = json.loads(self._backend.to_str())
            for token in state["added_tokens"]:
                token["special"] = token["content"] in self.template.control_tokens
            self._without_controls = type(self._backend).from_str(json.dumps(state))
            self._without_controls.encode_special_tokens = True
        return self._without_controls

    def _needs_joining(self) -> bool:
        """Whether encoding the answer apart gives tokens that a model would never produce.

        SentencePiece-like tokenizers (Llama 2) put a blank before the first word of any text, so
        an answer encoded apart begins with one too many.
        """
        text = self.template.render(QUESTION, ANSWER)
        prompt, answer, whole = self._encode_batch(
            [text.prompt, text.answer, text.prompt + text.answer]
        )
        return not np.array_equal(np.concatenate([prompt, answer]), whole) and np.array_equal(
            whole[: len(prompt)], prompt
        )


def _cut(whole: Tokens, prompt: Tokens) -> Row:
    """Split `whole` where it stops being `prompt`."""
    length = min(len(whole), len(prompt))
    differs = np.flatnonzero(whole[:length] != prompt[:length])
    place = int(differs[0]) if len(differs) else length
    return whole[:place], whole[place:]
