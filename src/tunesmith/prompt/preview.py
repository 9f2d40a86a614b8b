"""One sample as a model will see it: each token, its text, and whether it is learnt."""

from dataclasses import dataclass
from typing import Any

from tunesmith.dataset.conversation import Conversation
from tunesmith.errors import RunFailure
from tunesmith.prompt.prompt import Prompt
from tunesmith.prompt.template import RowAltered

WINDOW = 8  # tokens before one that its text may hang on: a blank, a part of a character


@dataclass(frozen=True)
class PreviewToken:
    id: int
    text: str
    """"" for a token that is a part of a character which ends later."""
    learnt: bool
    control: bool


@dataclass(frozen=True)
class Preview:
    """A sample, cut as in training."""

    tokens: tuple[PreviewToken, ...]
    total: int
    """Tokens before it was cut."""

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    @property
    def learnt(self) -> int:
        return sum(token.learnt for token in self.tokens)


def preview(
    prompt: Prompt, tokenizer: Any, conversation: Conversation, max_seq_length: int
) -> Preview:
    """Return the tokens of `conversation`.

    Raises RunFailure `control_token_kept` for a row that training would refuse.
    """
    try:
        tokens, learnt = prompt.encode_one(conversation)
    except RowAltered as altered:
        raise RunFailure("control_token_kept", token=altered.token) from None
    ids = tokens[:max_seq_length].tolist()
    shown = zip(ids, _texts(tokenizer.backend_tokenizer, ids), learnt.tolist(), strict=False)
    return Preview(
        tuple(PreviewToken(id, text, mask, prompt.is_control(id)) for id, text, mask in shown),
        len(tokens),
    )


def _texts(backend: Any, ids: list[int]) -> list[str]:
    """Return each token's part of the text; a character of several tokens is the last one's."""
    texts: list[str] = []
    done = 0  # tokens whose text is out
    for end in range(1, len(ids) + 1):
        start = max(0, done - WINDOW)
        before = backend.decode(ids[start:done], skip_special_tokens=False) if done else ""
        whole = backend.decode(ids[start:end], skip_special_tokens=False)
        if whole.endswith("\ufffd") and end < len(ids) and end - done < WINDOW:
            texts.append("")
            continue
        texts.append(whole[len(before) :])
        done = end
    return texts
